"""The embedded server survives what happens to processes: kills, stale files, company, crowds."""

import os
import signal
import sys
from pathlib import Path

import dj_database_url
import psycopg
import pytest

from config import embedded
from tests.recovery.support import (
    FAST,
    holder,
    kill_group,
    leave,
    python,
    query,
    send,
    server_processes,
    soon,
)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def test_its_address_is_understood_by_django_and_by_psycopg(place: Path) -> None:
    parsed = dj_database_url.parse(embedded.url("gatehouse_migrator", home=place))
    assert (parsed["HOST"], parsed["USER"], parsed["NAME"]) == (
        str(embedded.socket_dir(place)),
        "gatehouse_migrator",
        "gatehouse",
    )
    with (
        embedded.running(place, FAST),
        psycopg.connect(embedded.url("gatehouse_migrator", home=place)) as connection,
    ):
        assert connection.info.server_version // 10_000 == 18


def test_it_listens_on_no_network_and_keeps_its_socket_private(place: Path) -> None:
    with embedded.running(place, FAST):
        assert query(place, "SHOW listen_addresses") == [("",)]
        assert embedded.socket_dir(place).stat().st_mode & 0o777 == 0o700


def test_the_last_one_out_stops_it_and_no_one_before(place: Path) -> None:
    first, second = holder(place), holder(place)
    leave(first)
    assert query(place, "SELECT 1") == [(1,)]
    leave(second)
    assert server_processes(place) == []


def test_a_holder_that_was_killed_does_not_count(place: Path) -> None:
    killed, other = holder(place), holder(place)
    kill_group(killed)
    assert query(place, "SELECT 1") == [(1,)]
    leave(other)
    assert server_processes(place) == []


def test_a_server_that_lost_its_only_holder_is_taken_over(place: Path) -> None:
    kill_group(holder(place))
    orphans = set(server_processes(place))
    assert orphans
    with embedded.running(place, FAST):
        assert orphans & set(server_processes(place))  # the same server, not a new one
    assert server_processes(place) == []


def test_what_was_committed_is_there_after_everything_was_killed(place: Path) -> None:
    only = holder(place)
    query(place, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    send([only.pid, *server_processes(place)], signal.SIGKILL)
    only.communicate(timeout=60)
    with embedded.running(place, FAST):
        assert query(place, "SELECT count(*) FROM kept") == [(1000,)]


def test_it_comes_back_when_only_the_server_was_killed(place: Path) -> None:
    only = holder(place)
    query(place, "CREATE TABLE kept AS SELECT 1 AS number")
    os.kill(int((place / "pgdata" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    other = holder(place)
    assert query(place, "SELECT * FROM kept") == [(1,)]
    leave(only)
    leave(other)
    assert server_processes(place) == []


@pytest.mark.parametrize("everything", [True, False], ids=["with initdb", "but not initdb"])
def test_an_initdb_that_was_killed_is_done_again(place: Path, everything: bool) -> None:
    child = python(place, "from config import embedded; embedded.start()")
    assert soon(lambda: (place / "pgdata.new" / "PG_VERSION").exists() or (place / "pgdata.new" / "base").exists())
    if everything:
        os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.communicate(timeout=60)
    assert not (place / "pgdata").exists()
    with embedded.running(place, FAST):
        assert query(place, "SELECT 1") == [(1,)]


def test_a_stale_file_that_names_a_living_stranger_fools_nobody(place: Path) -> None:
    pid_file = place / "pgdata" / "postmaster.pid"
    with embedded.running(place, FAST):
        lines = pid_file.read_text().splitlines()
    stranger = python(place, "import sys; sys.stdin.read()")  # of the same user, and no relative of the server's
    pid_file.write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
    embedded.stop(place)
    with embedded.running(place, FAST):
        assert query(place, "SELECT 1") == [(1,)]
    assert server_processes(place) == []
    leave(stranger)  # which nobody has sent a signal


def test_many_first_starts_at_once_make_one_server(place: Path) -> None:
    code = "from config import embedded\nwith embedded.running(): print(embedded.secret_key())"
    children = [python(place, code) for _ in range(4)]
    keys = {child.communicate(timeout=120)[0] for child in children}
    assert [child.returncode for child in children] == [0] * 4
    assert len(keys) == 1
    assert server_processes(place) == []


def test_one_secret_key_however_many_ask_first(place: Path) -> None:
    code = "from config import embedded\nprint(embedded.secret_key())"
    children = [python(place, code) for _ in range(6)]
    keys = {child.communicate(timeout=60)[0].strip() for child in children}
    assert len(keys) == 1
    assert len(keys.pop()) >= 50
    assert (place / "secret_key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in place.iterdir()] == ["secret_key"]


def test_preparing_a_database_again_changes_nothing(place: Path) -> None:
    with embedded.running(place, FAST):
        for _ in range(2):
            embedded.prepare_database(place, "another")
        assert query(place, "SELECT datname FROM pg_database WHERE datname IN ('another', 'gatehouse')") != []


@pytest.mark.parametrize("how", ["DISABLE TRIGGER rule", "DISABLE TRIGGER ALL", "ENABLE REPLICA TRIGGER rule"])
def test_the_owner_cannot_switch_a_trigger_off(place: Path, how: str) -> None:
    with (
        embedded.running(place, FAST),
        psycopg.connect(embedded.url("gatehouse_migrator", home=place), autocommit=True) as owner,
    ):
        owner.execute("CREATE TABLE ruled (number int)")
        owner.execute("CREATE FUNCTION rule() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
        owner.execute("CREATE TRIGGER rule BEFORE INSERT ON ruled FOR EACH ROW EXECUTE FUNCTION rule()")
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
            owner.execute(f"ALTER TABLE ruled {how}")
        assert refused.value.diag.constraint_name == "gatehouse_triggers_enabled"
        owner.execute("ALTER TABLE ruled ADD COLUMN another int")  # all else is allowed
        query(place, f"ALTER TABLE ruled {how}")  # a superuser may


def test_a_server_that_cannot_start_says_why(place: Path) -> None:
    with pytest.raises(embedded.ServerProblem, match="invalid value for parameter") as problem:
        embedded.start(place, {"shared_buffers": "nonsense"})
    assert "server.log" in str(problem.value)


def test_a_socket_directory_of_somebody_else_is_refused(place: Path) -> None:
    directory = embedded.socket_dir(place.resolve())
    directory.symlink_to(place.parent)
    try:
        with pytest.raises(embedded.ServerProblem, match="belongs to user"):
            embedded.start(place, FAST)
    finally:
        directory.unlink()
