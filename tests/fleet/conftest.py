"""A Gatehouse of its own, served for real: nothing here knows more of it than its address and its commands."""

import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from config import embedded
from tests.recovery.support import CHECKOUT, end_started, environment, free_port, holder, query, run, soon, started


@dataclass
class Gatehouse:
    place: Path
    port: int
    server: "subprocess.Popen[Any]" = field(init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.place, PORT=str(self.port))

    @property
    def log(self) -> Path:
        return self.beside("server.log")

    def beside(self, name: str) -> Path:
        """Where a test keeps what is its own."""
        return self.place.parent / name

    def run(self, *command: str, **variables: str) -> str:
        """What a command says that comes to its end."""
        done = run(command, self.environment | variables)
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def python(self, *arguments: str, **variables: str) -> str:
        return self.run(sys.executable, *arguments, **variables)

    def manage(self, *arguments: str) -> str:
        return self.python("manage.py", *arguments)

    def start(self, *command: str, output: Path) -> "subprocess.Popen[Any]":
        """A command that goes on beside the test; what it says goes into a file, since nobody reads a pipe."""
        with output.open("ab") as stream:
            child = subprocess.Popen(
                command,
                cwd=CHECKOUT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        started.append(child)
        return child

    def answers(self) -> bool:
        try:
            return bool(urllib.request.urlopen(f"{self.url}/healthz", timeout=5).status == 200)
        except OSError:
            return False

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        return query(self.place, statement)


@contextmanager
def served(*arguments: str) -> Iterator[Gatehouse]:
    """Everything ends with it, and nothing of it stays."""
    parent = Path(tempfile.mkdtemp(prefix="gatehouse fleet "))
    parent.chmod(0o755)
    gatehouse = Gatehouse(parent / "home", free_port())
    before = len(started)
    try:
        holder(gatehouse.place)
        gatehouse.manage("setup", *arguments)
        gatehouse.server = gatehouse.start(sys.executable, "manage.py", "serve", output=gatehouse.log)
        assert soon(gatehouse.answers, 60), gatehouse.log.read_text()
        yield gatehouse
    finally:
        end_started(before)
        embedded.stop(gatehouse.place)
        shutil.rmtree(parent)


@pytest.fixture(scope="session")
def demo() -> Iterator[Gatehouse]:
    """As `make run` starts it."""
    with served("--demo") as gatehouse:
        yield gatehouse


@pytest.fixture(scope="session")
def empty() -> Iterator[Gatehouse]:
    """For fleets that leave things behind."""
    with served() as gatehouse:
        yield gatehouse


@pytest.fixture
def gatehouse() -> Iterator[Gatehouse]:
    """An empty one for a single test."""
    with served() as alone:
        yield alone
