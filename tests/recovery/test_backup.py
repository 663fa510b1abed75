"""Backups for real: what was written comes back up to a chosen second, and half a backup is never taken for a whole."""

import hashlib
import json
import os
import random
import shutil
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyrage
import pytest

from config import embedded
from config.backup.store import Store
from config.backup.wal import directory, segments
from tests.recovery.support import (
    holder,
    kill_group,
    manage,
    python,
    query,
    send,
    server_processes,
    soon,
    write_parents,
)
from tests.recovery.test_settings import ELSEWHERE, NOBODY_LISTENS, refusal

KILLS = int(os.environ.get("KILLS", "2"))
ROWS = "SELECT n, word FROM kept ORDER BY n"


@pytest.fixture
def keys(place: Path) -> dict[str, str]:
    """The variables of a house that is backed up, and of those who may read its backups."""
    identity = pyrage.x25519.Identity.generate()
    public, secret = place.parent / "public", place.parent / "secret"
    public.write_text(f"{identity.to_public()}\n")
    secret.write_text(f"{identity}\n")
    return {
        "BACKUP_URL": (place.parent / "back up").as_uri(),
        "BACKUP_RECIPIENTS_FILE": str(public),
        "BACKUP_IDENTITY_FILE": str(secret),
    }


@pytest.fixture
def house(place: Path, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("BACKUP_URL", "BACKUP_RECIPIENTS_FILE"):
        monkeypatch.setenv(name, keys[name])
    holder(place)
    query(place, "CREATE TABLE kept (n int PRIMARY KEY, word text)")
    return place


def command(place: Path, *words: str, **variables: str) -> Any:
    child = manage(place, *words, "--json", **variables)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    return json.loads(out.strip().splitlines()[-1])


def write(place: Path, first: int, last: int) -> None:
    query(place, f"INSERT INTO kept SELECT n, md5(n::text) FROM generate_series({first}, {last}) n")


def keep(place: Path, text: str) -> Path:
    """The content of an artifact, and its row."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    path = place / "content" / "sha256" / digest[:2] / digest
    path.parent.mkdir(parents=True)
    path.write_text(text)
    options = "-c session_replication_role=replica"
    with psycopg.connect(embedded.url("postgres", home=place), autocommit=True, options=options) as connection:
        write_parents(connection)
        statement = "UPDATE artifact SET content_ref = %s, content_sha256 = %s"
        connection.execute(statement, [f"sha256/{digest[:2]}/{digest}", digest])
    return path


def archived(place: Path) -> None:
    """All that was written until now is in the backup directory."""
    ((name,),) = query(place, "SELECT pg_walfile_name(pg_switch_wal())")
    assert soon(lambda: query(place, f"SELECT last_archived_wal >= '{name}' FROM pg_stat_archiver") == [(True,)])


def lose(place: Path) -> None:
    send(server_processes(place), signal.SIGKILL)
    assert soon(lambda: not server_processes(place))
    shutil.rmtree(place / "pgdata")


def set_up(place: Path) -> None:
    child = manage(place, "setup")
    _, err = child.communicate(timeout=120)
    assert (child.returncode, err) == (0, "")


def test_a_lost_server_comes_back_as_it_was_at_a_chosen_second(house: Path, keys: dict[str, str]) -> None:
    set_up(house)
    write(house, 1, 1000)
    cold = {"BACKUP_COLD_URL": (house.parent / "cold").as_uri()}
    made = command(house, "backup", **cold, **keys)
    write(house, 1001, 2000)
    kept = keep(house, "Buy the coffee.")
    assert command(house, "backup_files", **keys)["files"] == 1
    archived(house)
    write(house, 2001, 3000)
    wanted = query(house, ROWS)
    at = query(house, "SELECT clock_timestamp() FROM pg_sleep(0.01)")[0][0].isoformat()
    write(house, 3001, 3500)
    query(house, "DROP TABLE audit_log CASCADE")
    archived(house)

    drilled = command(house, "restore_drill", "--at", at, **{**keys, "BACKUP_RECIPIENTS_FILE": ""})  # as elsewhere
    assert (drilled["faults"], drilled["amcheck"]) == ([], "whole")
    assert (drilled["content"]["expected"], drilled["content"]["compared"]) == (1, 1)
    assert drilled["seconds_lost"] < 900
    assert drilled["seconds_until_it_serves"] < 3600
    assert list((house.parent / "back up" / "drills").glob("*.json"))

    secret = (house / "secret_key").read_text()
    lose(house)
    shutil.rmtree(house / "content")
    there = house.parent / "there"
    told = command(house, "restore", "--to", str(there), "--at", at, **keys)
    assert told["backup"] == made["id"]
    with embedded.running(there, {"archive_mode": "off"}):
        assert query(there, ROWS) == wanted
        assert query(there, "SELECT pg_is_in_recovery()") == [(False,)]
    assert (there / kept.relative_to(house)).read_text() == "Buy the coffee."
    assert (there / "secret_key").read_text() == secret
    assert not (house / "pgdata").exists()
    again = refusal(house, "restore", "--to", str(there), **keys)
    assert "is not empty" in again
    assert "What was restored there is whole; restored.json in it says what." in again

    everything = house.parent / "everything"
    command(house, "restore", "--to", str(everything), **keys)
    with embedded.running(everything, {"archive_mode": "off"}):
        assert query(everything, "SELECT count(*) FROM kept") == [(3500,)]

    week = house.parent / "week"
    command(house, "restore", "--from", "cold", "--to", str(week), **cold, **keys)
    with embedded.running(week, {"archive_mode": "off"}):
        assert query(week, "SELECT count(*) FROM kept") == [(1000,)]

    # A segment that is missing, and a file that was damaged, are told; they never shorten what comes back in silence.
    store = Store(keys["BACKUP_URL"])
    log = segments(store.wal)
    lost = next(path for name, path in log.items() if name > made["start_segment"])
    lost.rename(lost.with_name(f".{lost.name}"))
    assert "is missing" in refusal(house, "restore", "--to", str(house.parent / "gap"), **keys)
    lost.write_bytes(b"damaged" + lost.with_name(f".{lost.name}").read_bytes()[7:])
    assert "is damaged" in refusal(house, "restore", "--to", str(house.parent / "gap"), **keys)
    file = store.base / made["file"]
    file.write_bytes(file.read_bytes()[:-1000])
    assert "cannot be decrypted" in refusal(house, "restore", "--to", str(house.parent / "cut"), **keys)


def test_a_killed_backup_is_none(house: Path, keys: dict[str, str]) -> None:
    set_up(house)
    store = Store(keys["BACKUP_URL"])
    lasts = -time.monotonic()
    first = command(house, "backup", **keys)
    lasts += time.monotonic()
    for _ in range(KILLS):
        child = manage(house, "backup", **keys)
        time.sleep(random.uniform(0, lasts))  # any instant: this is no wait
        kill_group(child)
        assert all((store.base / receipt.file).stat().st_size == receipt.bytes for receipt in store.receipts())
    # What a drill on another machine found is told by the next backup.
    store.drills.mkdir()
    told = {"began_at": "2026-11-15T04:30:00+00:00", "backup": "x", "seconds_until_it_serves": 9, "seconds": 12}
    store.note_drill({**told, "faults": []})
    second, last = command(house, "backup", **keys), command(house, "backup", **keys)
    beat = "SELECT succeeded_at - started_at = interval '12 seconds', failed_at IS NULL, said FROM cron_job"
    where = "WHERE name = 'restore_drill'"
    assert query(house, f"{beat} {where}") == [(True, True, "The backup x served after 9 seconds.")]
    assert {first["id"], last["id"]} <= {receipt.id for receipt in store.receipts()}
    assert len(list(store.base.iterdir())) == 2 * len(store.receipts())
    there = house.parent / "there"
    assert command(house, "restore", "--to", str(there), **keys)["backup"] == last["id"]

    # And old ones go, with the log that only they need; the newest of them stays, for the oldest moment within reach.
    made = store.receipts()
    for day, old in enumerate(made[:-1], 1):
        path = store.base / f"{old.id}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "ended_at": f"2020-01-{day:02}T00:00:00+00:00"}))
    assert store.prune(30, datetime.now(UTC)) == [old.id for old in made[:-2]]
    assert [receipt.id for receipt in store.receipts()] == [second["id"], last["id"]]
    kept = set(segments(store.wal))
    assert first["start_segment"] not in kept
    assert {second["start_segment"], last["start_segment"]} <= kept


def test_a_log_that_cannot_be_archived_is_told_and_a_backup_does_not_wait_for_it(
    house: Path, keys: dict[str, str]
) -> None:
    """The disk of the backups goes away while all is well: only the backup's own segment meets it."""
    set_up(house)
    archived(house)
    store = directory(keys["BACKUP_URL"])
    store.rename(store.with_name("away"))
    assert "Is its disk mounted?" in refusal(house, "backup", **keys)
    assert "Is its disk mounted?" in refusal(house, "backup_files", **keys)
    assert not store.exists()

    (store.with_name("away")).rename(store)
    (store / "wal").rename(store / "wal away")
    (store / "wal").mkdir(mode=0o500)  # it is there, and nobody may write to it
    impatient = "import django; django.setup(); from config.backup import base; base.PATIENCE = 2\n"
    impatient += "from django.core.management import call_command; call_command('backup')"
    _, err = python(house, impatient).communicate(timeout=60)
    assert "The server cannot archive its log" in err
    warned = "import django; django.setup(); from config.health import log_not_archived; print(log_not_archived())"
    told, _ = python(house, warned).communicate(timeout=60)
    assert told.startswith("has not been archived for ")

    (store / "wal").rmdir()
    (store / "wal away").rename(store / "wal")
    archived(house)
    assert command(house, "backup", **keys)["id"]
    told, _ = python(house, warned).communicate(timeout=60)
    assert told == "\n"


def test_two_servers_never_share_a_log(house: Path, keys: dict[str, str]) -> None:
    archived(house)
    other = house.parent / "other"
    try:
        embedded.start(other, {"fsync": "off"})
        query(other, "SELECT pg_switch_wal()")
        assert soon(lambda: query(other, "SELECT failed_count > 0 FROM pg_stat_archiver") == [(True,)])
    finally:
        embedded.stop(other)
    assert "has the log of another server" in (other / "server.log").read_text()


def test_a_server_of_your_own_is_backed_up_by_a_login_that_may_replicate(place: Path, keys: dict[str, str]) -> None:
    store = Store(keys["BACKUP_URL"])
    store.wal.mkdir(parents=True)
    store.place.chmod(0o755)
    store.wal.chmod(0o777)
    copy_it = 'test ! -f "$W/%f" && cp %p "$W/.%f" && sync "$W/.%f" && mv "$W/.%f" "$W/%f"'
    options = {
        "archive_mode": "on",
        "archive_timeout": "300",
        "archive_command": copy_it.replace("$W", str(store.wal)),
    }
    with embedded.running(place, options):
        set_up(place)
        query(place, "CREATE ROLE copyist LOGIN REPLICATION IN ROLE pg_monitor")
        query(place, "CREATE TABLE kept (n int PRIMARY KEY, word text)")
        own = {
            "DATABASE_URL": embedded.url("gatehouse_migrator", home=place),
            "BACKUP_DATABASE_URL": embedded.url("copyist", "postgres", place),
            "SECRET_KEY": "a long random text for this test only",
            "GATEHOUSE_HOME": str(place.parent / "elsewhere"),
        }
        write(place, 1, 1000)
        rules = place / "pgdata" / "pg_hba.conf"
        trusting = rules.read_text()
        rules.write_text("local all all scram-sha-256\n")  # what comes back asks for passwords that nobody has
        command(place, "backup", **{**keys, **own})
        write(place, 1001, 2000)
        archived(place)
        at = query(place, "SELECT clock_timestamp() FROM pg_sleep(0.01)")[0][0].isoformat()
        write(place, 2001, 3000)
        wanted = query(place, f"{ROWS} LIMIT 2000")
        archived(place)
    lose(place)
    there = place.parent / "there"
    command(place, "restore", "--to", str(there), "--at", at, **keys)
    (there / "pgdata" / "pg_hba.conf").write_text(trusting)
    with embedded.running(there, {"archive_mode": "off"}):
        assert query(there, ROWS) == wanted
    child = manage(place, "restore_drill", "--load", "8", "--json", **keys)
    out, err = child.communicate(timeout=120)
    drilled = json.loads(out.strip().splitlines()[-1])
    (fault,) = drilled["faults"]
    assert fault.startswith("the schema is not what the migrations made: column n of kept was added, ")
    assert (child.returncode, fault in err) == (1, True)
    assert min(drilled["load"][done] for done in ("planned", "completed", "judged")) > 0


def test_what_cannot_be_used_is_told_in_a_sentence(place: Path, keys: dict[str, str]) -> None:
    assert "BACKUP_URL must be an address" in refusal(place, "backup", BACKUP_URL="s3://bucket")
    assert "BACKUP_RECIPIENTS_FILE" in refusal(place, "backup", BACKUP_URL=keys["BACKUP_URL"])
    assert "BACKUP_URL must be set" in refusal(place, "restore", "--to", str(place / "there"))
    assert "is BACKUP_URL right, and its disk mounted?" in refusal(
        place, "restore", "--to", str(place / "there"), **keys
    )
    (directory(keys["BACKUP_URL"]) / "wal").mkdir(parents=True)
    assert "There is no backup in" in refusal(place, "restore", "--to", str(place / "there"), **keys)
    assert "There is no backup in" in refusal(place, "restore_drill", **keys).replace("\n", " ")
    assert "BACKUP_COLD_URL must be set" in refusal(place, "restore", "--from", "cold", "--to", str(place), **keys)
    assert "BACKUP_COLD_URL must be an address" in refusal(place, "check", BACKUP_COLD_URL="ftp://cold")
    nobody = {**ELSEWHERE, **keys, "DATABASE_URL": NOBODY_LISTENS}
    assert "BACKUP_DATABASE_URL must name a login" in refusal(place, "backup", **nobody)
    assert "cannot be asked for a backup: connection" in refusal(
        place, "backup", **nobody, BACKUP_DATABASE_URL=NOBODY_LISTENS
    )
    assert "--at takes a time" in refusal(place, "restore", "--to", str(place / "there"), "--at", "noon", **keys)
