"""The files beside the database: content, archived months in a directory, the secret key.

A database without the content that it speaks of is no recovery. Content and archived months never change under their
name, so each is copied once, encrypted for itself, and what is there under its name is whole.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import pyrage
from django.conf import settings
from pyarrow.fs import FileType

from config.backup import wal
from config.backup.place import Count, Place
from config.backup.store import Store, write_whole
from config.backup.stream import CHUNK
from config.backup.wal import BackupProblem, for_us_alone

CONTENT, ARCHIVE, KEY = "content", "archive", "secret_key"  # as in a home, and as in `files` of the backup
NAMED_BY_HASH = re.compile(r"[0-9a-f]{64}")
COPIED = "copied.json"


@dataclass
class Copied:
    """`unlike`: content that is not what its name says. It is being written at this moment, or it is damaged."""

    at: datetime
    files: int = 0
    bytes: int = 0
    unlike: int = 0


def sources() -> dict[str, Path]:
    storage: Any = settings.STORAGES["default"]
    found = {CONTENT: Path(storage["OPTIONS"]["location"])}
    parts = urlsplit(settings.ARCHIVE_URL)
    if parts.scheme == "file":
        found[ARCHIVE] = Path(unquote(parts.path))
    return found


def copy(store: Store, keys: list[str], at: datetime, count: Count) -> Copied:
    """What is not there yet; the caller holds the lock. What it tells last, `restore_drill` relies on."""
    told = Copied(at)
    store.files.mkdir(mode=0o700, exist_ok=True)
    for area, directory in sources().items():
        for path in _below(directory, store.files / area):
            _copy(path, store.files / area / path.relative_to(directory), keys, told, count)
    key = settings.HOME / KEY
    if key.exists():
        _copy(key, store.files / KEY, keys, Copied(at), count)  # each time: it is small, and may be another one
    write_whole(store.files / COPIED, asdict(told))
    return told


def _below(directory: Path, there: Path) -> Iterator[Path]:
    """The files that `there` does not have; one directory's names at a time."""
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    known: set[str] = set()
    with suppress(FileNotFoundError):
        known = {name.removesuffix(".age") for name in os.listdir(there)}
    for entry in entries:
        if entry.name.startswith("."):
            continue  # a draft of the archive
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path), there / entry.name)
        elif entry.is_file() and entry.name not in known:
            yield Path(entry.path)


def _copy(source: Path, target: Path, keys: list[str], told: Copied, count: Count) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    final = target.with_name(f"{target.name}{'.age' if keys else ''}")
    draft = target.with_name(f".{target.name}.part")
    try:
        with (
            open(source, "rb") as file,
            open(draft, "wb", opener=for_us_alone) as output,
        ):
            reader = _Read(file, count)
            if keys:
                pyrage.encrypt_io(reader, output, [pyrage.x25519.Recipient.from_str(key) for key in keys])
            else:
                while piece := reader.read(CHUNK):
                    output.write(piece)
            output.flush()
            os.fsync(output.fileno())
    except FileNotFoundError:
        return  # an archived month that was exported anew meanwhile
    except pyrage.RecipientError as error:
        raise BackupProblem(f"BACKUP_RECIPIENTS_FILE has a key that is none: {error}.") from None
    by_hash = NAMED_BY_HASH.match(source.name)
    if by_hash and by_hash.group() != reader.hash.hexdigest():
        draft.unlink()
        told.unlike += 1
        return
    draft.replace(final)
    wal.sync(final.parent)
    told.files += 1
    told.bytes += reader.bytes


class _Read:
    def __init__(self, file: object, count: Count) -> None:
        self.file, self.count, self.hash, self.bytes = file, count, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        data: bytes = self.file.read(size)  # type: ignore[attr-defined]
        self.hash.update(data)
        self.bytes += len(data)
        self.count(len(data))
        return data


def copied_at(place: Place) -> datetime | None:
    """Every file that was there at that moment is in the copy; None: files were never copied."""
    if place.fs.get_file_info(place.full(COPIED)).type == FileType.NotFound:
        return None
    return datetime.fromisoformat(place.text(COPIED)["at"])


def size(place: Place) -> int:
    return sum(info.size for _, info in place.walk("") if info.size)


def bring_back(place: Place, home: Path, identities: Callable[[], list[str]], count: Count) -> None:
    """Into a home. What a killed run has brought back is not brought back again."""
    owner = home.stat()
    for path, info in place.walk(""):
        target = home / path.removesuffix(".age")
        if path == COPIED or (target.exists() and target.name != KEY):
            continue
        for parent in reversed(target.relative_to(home).parents):
            if not (home / parent).exists():
                (home / parent).mkdir(mode=0o700)
                os.chown(home / parent, owner.st_uid, owner.st_gid)
        draft = target.with_name(f".{target.name}.part")
        with (
            place.fs.open_input_stream(info.path) as stored,
            open(draft, "wb", opener=for_us_alone) as file,
        ):
            if path.endswith(".age"):
                _decrypt(place.shown(path), _Read(stored, count), file, identities())
            else:
                reader = _Read(stored, count)
                while piece := reader.read(CHUNK):
                    file.write(piece)
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        draft.replace(target)


def _decrypt(name: str, source: _Read, target: IO[bytes], keys: list[str]) -> None:
    try:
        pyrage.decrypt_io(source, target, [pyrage.x25519.Identity.from_str(key) for key in keys])
    except (pyrage.DecryptError, pyrage.IdentityError, OSError) as error:
        raise BackupProblem(f"{name} cannot be decrypted: {error}.") from None
