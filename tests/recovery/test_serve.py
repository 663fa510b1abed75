"""`manage.py serve` begins in order, ends in order, and leaves nothing behind when it is killed."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.recovery.support import children, first_line, free_port, kill_group, manage, send, server_processes, soon

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def serving(place: Path, port: int) -> subprocess.Popen[str]:
    """A server that has said where it is."""
    child = manage(place, "serve", PORT=str(port))
    assert f"http://127.0.0.1:{port}/" in first_line(child)
    return child


def answers(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as response:
        return bool(response.status == 200)


def is_free(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_without_remainder(place: Path, number: signal.Signals) -> None:
    port = free_port()
    child = serving(place, port)
    assert answers(port)
    os.killpg(child.pid, number)  # as a terminal does: the whole group
    _, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    assert "Traceback" not in err
    assert is_free(port)
    assert server_processes(place) == []


def test_its_web_server_ends_with_it_when_it_is_killed(place: Path) -> None:
    port = free_port()
    kill_group(serving(place, port))
    assert soon(lambda: is_free(port))
    again = serving(place, port)
    assert answers(port)
    again.terminate()
    again.communicate(timeout=30)
    assert server_processes(place) == []


def test_a_port_in_use_is_told_before_anything_is_begun(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        child = manage(place, "serve", "--demo", PORT=str(port))
        _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert err.strip() == f"CommandError: PORT {port} is in use; stop what listens there or set another."
    assert not (place / "pgdata").exists()


def test_it_ends_when_its_web_server_does(place: Path) -> None:
    port = free_port()
    child = serving(place, port)
    send(children(child.pid, "gunicorn"), signal.SIGKILL)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "The web server ended by itself" in err
    assert "Traceback" not in err
    assert server_processes(place) == []


def test_it_brings_back_a_database_that_was_killed_alone(place: Path) -> None:
    child = serving(place, free_port())
    killed = postmaster(place)
    os.kill(killed, signal.SIGKILL)
    assert soon(lambda: server_processes(place) and postmaster(place) not in (0, killed), seconds=40)
    child.terminate()
    child.communicate(timeout=60)
    assert child.returncode == 0
    assert server_processes(place) == []


def postmaster(place: Path) -> int:
    try:
        return int((place / "pgdata" / "postmaster.pid").read_text().split()[0])
    except (OSError, IndexError):
        return 0
