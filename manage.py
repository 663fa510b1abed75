#!/usr/bin/env python
"""Every command starts here; `manage.py help` lists them."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    from config import embedded

    try:
        with embedded.server_for_command(sys.argv[1:]):
            execute_from_command_line(sys.argv)
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # Ctrl-C needs no stack trace


if __name__ == "__main__":
    main()
