"""Real processes for the recovery tests: each has a home of its own, in a path with a space."""

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from config import embedded

CHECKOUT = Path(__file__).parents[2]
started: list[subprocess.Popen[str]] = []  # a test that fails halfway leaves them to the fixture `place`
FAST = {"fsync": "off"}  # the machine does not lose power here, only processes die
# The command itself, without the seconds in which Python starts: a kill shall meet what it does.
WARM = """
import sys, django
django.setup()
from django.core.management import CommandError, call_command
from django.db import Error
import metrics.services.restore, metrics.services.files, adbc_driver_postgresql.dbapi, pyarrow.parquet
print('ready', flush=True)
sys.stdin.readline()
try:
    call_command(*COMMAND)
except CommandError as problem:
    sys.exit(str(problem))
except Error as problem:
    from manage import what_to_do
    if not what_to_do(problem):
        raise
    sys.exit(what_to_do(problem))
"""
PARENTS = """
    INSERT INTO agent (agent_id, status) VALUES ('writer-1', 'active');
    INSERT INTO campaign (name, goal, target_platforms, budget_cap_etb, status)
    VALUES ('Coffee', 'Sell it.', '["tiktok"]', 1, 'active');
    INSERT INTO task (campaign_id, agent_id, task_type, priority, status, context)
    SELECT campaign_id, 'writer-1', 'draft_post', 'high', 'pending', '{}' FROM campaign;
    INSERT INTO artifact (campaign_id, task_id, artifact_type, version, content_ref, content_sha256)
    SELECT campaign_id, task_id, 'text', 1, 'x', repeat('a', 64) FROM task;
"""


def environment(place: Path, **variables: str) -> dict[str, str]:
    """Ours without what would lead a child to another database, or is a browser test's, and with a home of its own."""
    not_theirs = {"DATABASE_URL", "MIGRATOR_DATABASE_URL", "DJANGO_ALLOW_ASYNC_UNSAFE"}
    ours = {name: value for name, value in os.environ.items() if name not in not_theirs}
    fixed = {"DJANGO_SETTINGS_MODULE": "config.settings", "GATEHOUSE_HOME": str(place), "PYTHONUNBUFFERED": "1"}
    return {**ours, **fixed, **variables}


def python(place: Path, code: str) -> subprocess.Popen[str]:
    return popen([sys.executable, "-c", code], environment(place))


def manage(place: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    return popen([sys.executable, "manage.py", *arguments], environment(place, **variables))


def start(place: Path, *arguments: str) -> subprocess.Popen[str]:
    """That command, at the moment where it begins."""
    child = python(place, WARM.replace("COMMAND", repr(arguments)))
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline() == "ready\n"
    child.stdin.write("go\n")
    child.stdin.flush()
    return child


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
    assert first_line(child) == "up\n"
    return child


def first_line(child: subprocess.Popen[str], seconds: float = 120) -> str:
    assert child.stdout is not None
    assert select.select([child.stdout], [], [], seconds)[0], f"It said nothing in {seconds} seconds: {child.args!r}"
    return child.stdout.readline()


def run(
    command: Sequence[str | Path], variables: Mapping[str, str], seconds: float = 120, place: Path = CHECKOUT
) -> subprocess.CompletedProcess[str]:
    """A command that comes to its end in time, or is killed with all that it has started.

    What it says goes into files: whatever it leaves behind would keep a pipe open, and its reader waiting.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen(
            command,
            cwd=place,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            text=True,
            start_new_session=True,
        )
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            ended = child.poll() is not None
            if not ended:
                kill_group(child)
        out.seek(0)
        err.seek(0)
        done = subprocess.CompletedProcess(command, child.returncode, out.read(), err.read())
        assert ended, f"Not done in {seconds} seconds: {command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done


def leave(child: subprocess.Popen[str]) -> None:
    child.communicate(timeout=60)
    assert child.returncode == 0


def kill_group(child: subprocess.Popen[str]) -> None:
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate(timeout=60)


def query(place: Path, statement: str) -> list[tuple[Any, ...]]:
    address = embedded.url("postgres", home=place)
    with psycopg.connect(address, autocommit=True, connect_timeout=10) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def write_parents(connection: psycopg.Connection[Any]) -> None:
    """One campaign with one artifact, and nothing else."""
    for table in ("agent", "campaign", "task", "artifact"):
        connection.execute(f"DELETE FROM {table}")
    for statement in PARENTS.split(";\n"):
        if statement.strip():
            connection.execute(statement)


def end_started(before: int = 0) -> None:
    """Kills what was started since then and still runs, and closes the pipes of all of it."""
    while len(started) > before:
        with started.pop() as child:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)


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


def children(pid: int, name: str = "") -> list[int]:
    """The processes that it has started itself and that still live, those with such a command line."""
    found = []
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with suppress(OSError):
                if name in Path(f"/proc/{child}/cmdline").read_text():
                    found.append(int(child))
    return found


def send(processes: Iterable[int], number: signal.Signals) -> None:
    """To each that still lives: one may end by itself between two looks."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


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
