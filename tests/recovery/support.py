"""Real processes for the recovery tests: each has a home of its own, in a path with a space."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from config import embedded

CHECKOUT = Path(__file__).parents[2]
started: list[subprocess.Popen[str]] = []  # a test that fails halfway leaves them to the fixture `place`
FAST = {"fsync": "off"}  # the machine does not lose power here, only processes die


def environment(place: Path, **variables: str) -> dict[str, str]:
    """Ours without what would lead a child to another database, and with a home of its own."""
    ours = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "MIGRATOR_DATABASE_URL"}}
    fixed = {"DJANGO_SETTINGS_MODULE": "config.settings", "GATEHOUSE_HOME": str(place), "PYTHONUNBUFFERED": "1"}
    return {**ours, **fixed, **variables}


def python(place: Path, code: str) -> subprocess.Popen[str]:
    return popen([sys.executable, "-c", code], environment(place))


def manage(place: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    return popen([sys.executable, "manage.py", *arguments], environment(place, **variables))


def popen(command: list[str], variables: dict[str, str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    child = subprocess.Popen(
        command, cwd=CHECKOUT, env=variables, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )
    started.append(child)
    return child


def holder(place: Path) -> subprocess.Popen[str]:
    """A process that needs the server until its standard input ends; returns when the server is up."""
    child = python(
        place,
        "import sys; from config import embedded\n"
        "with embedded.running(options={'fsync': 'off'}): print('up', flush=True); sys.stdin.read()",
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    return child


def leave(child: subprocess.Popen[str]) -> None:
    child.communicate(timeout=60)
    assert child.returncode == 0


def kill_group(child: subprocess.Popen[str]) -> None:
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


def query(place: Path, statement: str) -> list[tuple[Any, ...]]:
    address = embedded.url("postgres", home=place)
    with psycopg.connect(address, autocommit=True, connect_timeout=10) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def server_processes(place: Path) -> list[int]:
    """Every process that works in the home's data directory: the server and its children."""
    data, found = place / "pgdata", []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.path.samefile(entry / "cwd", data):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def soon(condition: Callable[[], object], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
