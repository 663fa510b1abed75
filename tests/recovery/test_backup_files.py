"""What lies beside the database is backed up too; and the cold copies, in a directory and in a bucket."""

import json
import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pyrage
import pytest

from config.backup import drill, files
from config.backup.cold import Cold
from config.backup.place import Place
from config.backup.store import Receipt, Store, write_whole
from config.backup.wal import BackupProblem
from tests.factories import make_artifact
from tests.servers import s3

NOW = datetime(2026, 11, 20, 2, 15, tzinfo=UTC)
IDENTITY = pyrage.x25519.Identity.generate()
KEYS = [str(IDENTITY.to_public())]
LOG = [f"00000001000000000000000{n}" for n in range(1, 6)]


def silent(amount: int) -> None:
    """A bar that nobody sees."""


def identities() -> list[str]:
    return [str(IDENTITY)]


def content(home: Path, text: str) -> Path:
    digest = sha256(text.encode()).hexdigest()
    path = home / "content" / "sha256" / digest[:2] / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def tree(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


@pytest.fixture
def home(tmp_path: Path, settings: Any) -> Path:
    place = tmp_path / "a home"
    month = place / "archive" / "metric_event" / "year=2026" / "month=01"
    month.mkdir(parents=True)
    (month / "a.parquet").write_bytes(random.randbytes(300_000))
    (month / ".b.parquet").write_text("a draft")
    (place / "secret_key").write_text("a long random text")
    for number in range(20):
        content(place, f"Text {number}")
    settings.HOME, settings.ARCHIVE_URL = place, (place / "archive").as_uri()
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": place / "content"}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    return place


def made(store: Store, at: datetime, first: int = 1, last: int = 2, system: str = "1") -> Receipt:
    """A backup that looks like one."""
    name = f"{at:%Y%m%dT%H%M%SZ}"
    store.base.mkdir(parents=True, exist_ok=True)
    (store.base / f"{name}.tar").write_bytes(random.randbytes(200_000))
    for segment in LOG:
        folder = store.wal / segment[:16]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{segment}.{'0' * 16}.gz").write_bytes(random.randbytes(100_000))
    receipt = Receipt(
        name, f"{name}.tar", at, at, "", "", LOG[first], 200_000, 200_000, "", False, "18", system, "", LOG[last]
    )
    write_whole(store.base / f"{name}.json", asdict(receipt))
    return receipt


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store((tmp_path / "backup").as_uri())


@pytest.fixture
def cold(tmp_path: Path) -> Cold:
    return Cold((tmp_path / "cold place").as_uri())


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3() as address:
        yield address


def brought_back(origin: Place, into: Path) -> dict[str, bytes]:
    into.mkdir()
    files.bring_back(origin, into, identities, silent)
    return tree(into)


def test_files_are_copied_once_and_come_back(home: Path, store: Store, tmp_path: Path) -> None:
    store.place.mkdir()
    half = content(home, "Half of it")
    half.write_text("Half")
    told = files.copy(store, KEYS, NOW, silent)
    assert (told.files, told.unlike) == (21, 1)
    assert not [path for path in store.files.rglob("*") if b"Text" in path.name.encode() or path.name.endswith("part")]
    assert b"a long random text" not in (store.files / "secret_key.age").read_bytes()
    again = files.copy(store, KEYS, NOW, silent)
    assert (again.files, again.unlike) == (0, 1)
    half.write_text("Half of it")
    content(home, "Another")
    assert files.copy(store, KEYS, NOW, silent).files == 2
    wanted = {path: data for path, data in tree(home).items() if ".b." not in path}
    origin = Place(store.files.as_uri())
    assert brought_back(origin, tmp_path / "there") == wanted
    assert files.copied_at(origin) == NOW


def test_a_file_that_was_changed_is_no_file(home: Path, store: Store, tmp_path: Path) -> None:
    store.place.mkdir()
    files.copy(store, KEYS, NOW, silent)
    stored = next((store.files / "content").rglob("*.age"))
    stored.write_bytes(stored.read_bytes()[:-1])
    with pytest.raises(BackupProblem, match="cannot be decrypted"):
        brought_back(Place(store.files.as_uri()), tmp_path / "there")


@pytest.mark.django_db
def test_a_drill_misses_what_was_there_before_the_copy(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill, "ALIAS", "default")
    good, changed, gone = (make_artifact(content=word.encode()) for word in ("good", "changed", "gone"))
    copy = tmp_path / "copy"
    for artifact, word in ((good, "good"), (changed, "other")):
        path = copy / "content" / artifact.content_ref
        path.parent.mkdir(parents=True)
        path.write_text(word)
    told = drill.look_at_contents(copy, gone.created_at + timedelta(seconds=1))
    assert told == {"expected": 2, "missing": 1, "newer_than_the_copy": 0, "compared": 2, "unlike": 1}
    told = drill.look_at_contents(copy, gone.created_at - timedelta(days=1))
    assert (told["missing"], told["newer_than_the_copy"]) == (0, 1)


def test_a_week_has_one_cold_copy_and_ninety_days_are_kept(home: Path, store: Store, cold: Cold) -> None:
    first = made(store, NOW)
    files.copy(store, KEYS, NOW, silent)
    cold.keep(store, 90, NOW, silent)
    place = Path(cold.place.root)
    assert {path.split(".")[0] for path in tree(place / "base" / first.id / "wal")} == {
        f"{LOG[n][:16]}/{LOG[n]}" for n in (1, 2)
    }
    for days in (1, 6, 7, 8):
        last = made(store, NOW + timedelta(days=days))
        cold.keep(store, 90, last.ended_at, silent)
    assert [receipt.ended_at for receipt in cold.receipts()] == [NOW, NOW + timedelta(days=7)]
    content(home, "Another")
    files.copy(store, KEYS, NOW, silent)
    assert cold.keep(store, 90, NOW + timedelta(days=300), silent) == [first.id]  # the newest stays
    assert not (place / "base" / first.id).exists()
    assert tree(place / "files") == tree(store.files)
    made(store, NOW + timedelta(days=20), system="2")
    with pytest.raises(BackupProblem, match="another server"):
        cold.keep(store, 90, NOW, silent)


def test_a_backup_without_its_log_is_not_kept(store: Store, cold: Cold) -> None:
    made(store, NOW, first=1, last=4)
    next(store.wal.rglob(f"{LOG[4]}*")).unlink()
    with pytest.raises(BackupProblem, match="is not whole"):
        cold.keep(store, 90, NOW, silent)
    assert not cold.receipts()


def test_a_cold_copy_that_was_killed_goes_on(home: Path, store: Store, cold: Cold) -> None:
    receipt = made(store, NOW)
    files.copy(store, KEYS, NOW, silent)
    fork = multiprocessing.get_context("fork")
    for _ in range(int(os.environ.get("KILLS", "5"))):
        child = fork.Process(target=cold.keep, args=(store, 90, NOW, silent))
        child.start()
        time.sleep(random.uniform(0, 0.15))  # any instant: this is no wait
        child.kill()
        child.join(10)
        for whole in cold.receipts():
            assert (Path(cold.place.root) / "base" / whole.id / whole.file).stat().st_size == whole.bytes
    cold.keep(store, 90, NOW, silent)
    place = Path(cold.place.root)
    (whole,) = cold.receipts()
    assert whole == receipt
    assert (place / "base" / whole.id / whole.file).read_bytes() == (store.base / whole.file).read_bytes()
    kept = {path: data for path, data in tree(place / "files").items() if not Path(path).name.startswith(".")}
    assert kept == tree(store.files)
    # Half a copy of a backup that is gone meanwhile goes too.
    (place / "base" / "20200101T000000Z-abc").mkdir()
    cold.keep(store, 90, NOW, silent)
    assert [path.name for path in (place / "base").iterdir()] == [receipt.id]


def test_a_bucket_is_a_cold_place_too(home: Path, store: Store, tmp_path: Path, endpoint: str) -> None:
    key = {"aws_access_key_id": "somebody", "aws_secret_access_key": "a-secret", "region_name": "us-east-1"}
    bucket = boto3.resource("s3", endpoint_url=endpoint, **key).create_bucket(Bucket="cold")
    host = quote(endpoint.removeprefix("http://"), safe="")
    cold = Cold(f"s3://somebody:a-secret@cold/gatehouse?scheme=http&region=us-east-1&endpoint_override={host}")
    receipt = made(store, NOW)
    files.copy(store, KEYS, NOW, silent)
    cold.keep(store, 90, NOW, silent)
    stored = {each.key: each.last_modified for each in bucket.objects.all() if each.size}
    cold.keep(store, 90, NOW, silent)
    later = {each.key: each.last_modified for each in bucket.objects.all() if each.size}
    assert stored.keys() == later.keys()
    assert cold.newest() == receipt
    wanted = {path: data for path, data in tree(home).items() if ".b." not in path}
    assert brought_back(cold.files, tmp_path / "there") == wanted
    fetched = cold.fetch(receipt, tmp_path / "there")
    assert (fetched.base / receipt.file).read_bytes() == (store.base / receipt.file).read_bytes()
    assert len(tree(fetched.wal)) == 2
    with pytest.raises(BackupProblem, match="There is no backup in s3://cold/gatehouse/base that ended before") as told:
        cold.newest(NOW - timedelta(days=1))
    assert "a-secret" not in str(told.value)
    assert json.loads(json.dumps(str(cold.place))) == "s3://cold/gatehouse"
    second = made(store, NOW + timedelta(days=9))
    assert cold.keep(store, 90, NOW + timedelta(days=200), silent) == [receipt.id]
    assert [each.id for each in cold.receipts()] == [second.id]
