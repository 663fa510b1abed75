"""`manage.py serve`: the web server with the clock beside it, until Ctrl-C."""

import errno
import http.client
import io
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser
from contextlib import nullcontext, suppress
from ipaddress import ip_address
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, close_old_connections

from config import embedded
from config.management.commands.setup import remembered_login

log = logging.getLogger(__name__)

EVERY_SECONDS = {"run_due": 15, "rotate_partitions": 24 * 3600}
GRACE_SECONDS = 5  # how long requests under way may take when the server ends
READY_SECONDS = 60
WORKERS = 2


class Command(BaseCommand):
    help = "Serve the console and the API, and do what cron does elsewhere, until Ctrl-C."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="first do what `setup --demo` does")

    def handle(self, *args: Any, demo: bool, **options: Any) -> None:
        end_on_signals()
        with listen() as listener:  # first of all: nothing is begun on a port in use
            try:
                with embedded.running(settings.HOME) if settings.EMBEDDED else nullcontext():
                    if demo:
                        call_command("setup", demo=True, stdout=self.stdout)
                    self.serve(listener)
            except embedded.ServerProblem as problem:
                raise CommandError(str(problem)) from None

    def serve(self, listener: socket.socket) -> None:
        """Gunicorn as a child, whatever ends us: its `when_ready` watches the pipe that only we hold open."""
        watched, ours = os.pipe()
        environment = {**os.environ, "GATEHOUSE_PARENT_PIPE": str(watched)}
        child = subprocess.Popen(  # noqa: S603 - the program and its arguments are ours
            [*gunicorn_command(listener), "config.wsgi"],
            env=environment,
            cwd=settings.BASE_DIR,
            pass_fds=[listener.fileno(), watched],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches us alone; we end it in order
        )
        os.close(watched)
        try:
            wait_until_ready(child, listener)
            self.stdout.write(f"Gatehouse is at {address(listener)} (Ctrl-C stops it).")
            if login := remembered_login():
                self.stdout.write(login)
            self.stdout.flush()
            keep_the_clock(child)
        finally:
            end(child)
            os.close(ours)


def end_on_signals() -> None:
    """SIGINT also where a script started us in the background, which ignores it; SIGHUP unless nohup ignores it."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        signal.signal(number, leave)


def leave(number: int, frame: FrameType | None) -> None:
    """Not KeyboardInterrupt: Python remembers one that it meets within exec(), and kills itself at the end."""
    raise SystemExit(0)


def listen() -> socket.socket:
    host = os.environ.get("HOST") or "127.0.0.1"
    try:
        family = socket.getaddrinfo(host, settings.PORT, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, settings.PORT), family=family, backlog=512)
    except PermissionError:
        raise CommandError(f"PORT {settings.PORT} may not be used by this user; choose one above 1023.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CommandError(f"PORT {settings.PORT} is in use; stop what listens there or set another.") from None
        raise CommandError(f"HOST must be an address of this machine; it is {host!r}.") from None


def gunicorn_command(listener: socket.socket) -> list[str]:
    quiet = "ignore:No directory at:UserWarning"  # WhiteNoise, where nobody ran collectstatic and nobody has to
    command = [
        sys.executable,
        "-W",
        quiet,
        "-m",
        "gunicorn",
        "--config",
        "python:config.gunicorn",
        "--no-control-socket",
    ]
    command += ["--bind", f"fd://{listener.fileno()}", "--worker-class", "gthread", "--log-level", "warning"]
    command += [f"--workers={WORKERS}", f"--threads={settings.WEB_THREADS}", "--keep-alive=75"]
    return [*command, f"--graceful-timeout={GRACE_SECONDS}"]


def reachable(listener: socket.socket) -> tuple[str, int]:
    """Host and port to call; one that listens everywhere is called at home."""
    host, port = listener.getsockname()[:2]
    everywhere = ip_address(host).is_unspecified
    return ("::1" if ":" in host else "127.0.0.1") if everywhere else host, port


def address(listener: socket.socket) -> str:
    host, port = reachable(listener)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def wait_until_ready(child: subprocess.Popen[bytes], listener: socket.socket) -> None:
    host, port = reachable(listener)
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        refuse_when_ended(child)
        connection = http.client.HTTPConnection(host, port, timeout=1)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status < 500:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    raise CommandError(f"The web server does not answer after {READY_SECONDS} seconds.")


def keep_the_clock(child: subprocess.Popen[bytes]) -> None:
    """What cron does elsewhere. Months are made for the server of our own only: another's owner is not our login."""
    due = {"run_due": 0.0} | ({"rotate_partitions": 0.0} if settings.EMBEDDED else {})
    while True:
        refuse_when_ended(child)
        for job, moment in due.items():
            if time.monotonic() >= moment:
                do_due_work(job)
                due[job] = time.monotonic() + EVERY_SECONDS[job]
        time.sleep(0.2)


def do_due_work(job: str) -> None:
    """A failure is written down and tried again at the next stroke: the console stays up without its clock."""
    try:
        if settings.EMBEDDED:
            embedded.start(settings.HOME)  # where it is up, this costs some milliseconds; killed alone, it comes back
        call_command(job, **({} if job == "run_due" else {"stdout": io.StringIO()}))
    except (CommandError, DatabaseError, embedded.ServerProblem) as error:
        log.warning("Due work failed: %s", str(error).strip().partition("\n")[0])
    except Exception:
        log.exception("Due work failed")
    finally:
        close_old_connections()


def refuse_when_ended(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        raise CommandError(f"The web server ended by itself (status {child.returncode}); the lines above say why.")


def end(child: subprocess.Popen[bytes]) -> None:
    """Lets requests under way finish; a second Ctrl-C does not leave processes behind."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    child.terminate()
    try:
        child.wait(GRACE_SECONDS + 2)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
