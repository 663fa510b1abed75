#!/usr/bin/env python
"""Every command starts here; `manage.py help` lists them."""

import io
import os
import sys

UNDEFINED_TABLE = "42P01"  # SQLSTATE


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line
    from django.db import Error

    from config import embedded

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without “quotes” is told what was done all the same
    try:
        with embedded.server_for_command(sys.argv[1:]):
            execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # Ctrl-C needs no stack trace
    except BrokenPipeError:  # as after `| head`: whoever read has what they wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # and Python says nothing of it at its end
        raise SystemExit(141) from None
    except Error as error:
        sentence = what_to_do(error)
        if not sentence or "--traceback" in sys.argv:
            raise
        raise SystemExit(sentence) from None


def what_to_do(error: Exception) -> str:
    """A sentence for an error of the database that no command foresaw; empty where it is a fault of Gatehouse."""
    from django.conf import settings
    from django.db import InterfaceError, OperationalError

    from config.env import APP_ROLE

    reason = (str(error).strip().splitlines() or ["no reason given"])[0]
    if getattr(error.__cause__, "sqlstate", None) == UNDEFINED_TABLE or f'role "{APP_ROLE}" does not exist' in reason:
        return f"Gatehouse is not set up in this database: run manage.py setup first. PostgreSQL says: {reason}"
    if not isinstance(error, OperationalError | InterfaceError):
        return ""
    if settings.EMBEDDED:
        return f"The embedded PostgreSQL cannot be used: {reason}"
    names = " or ".join(name for name in ("DATABASE_URL", "MIGRATOR_DATABASE_URL") if getattr(settings, name))
    return f"The database of {names} cannot be used: {reason}"


if __name__ == "__main__":
    main()
