"""Streams on their way into and out of a backup: zstd, then age (https://age-encryption.org), never a whole in memory.

Age encrypts for public keys: the machine that makes backups cannot read them, and whoever takes it over neither.
"""

import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyrage

from config.backup.wal import BackupProblem

CHUNK = 1 << 20
TAIL = 1 << 16


class Source:
    """A pipe of which the end is remembered."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.pipe, self.end = pipe, b""

    def read(self, size: int) -> bytes:
        data = self.pipe.read(size)
        self.end = (self.end + data)[-TAIL:]
        return data


class _Sink(io.BytesIO):
    """Stays open when the packer closes it."""

    def close(self) -> None:
        pass


class Packed(io.RawIOBase):
    """What is read from `source`, compressed."""

    def __init__(self, source: Source, tell: Callable[[int], None]) -> None:
        self.source, self.seen = source, tell
        self.sink, self.ready, self.at = _Sink(), b"", 0
        self.packer: Any = pa.CompressedOutputStream(pa.PythonFile(self.sink, mode="w"), "zstd")
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self.at == len(self.ready) and not self.ended:
            self._fill()
        amount = min(len(buffer), len(self.ready) - self.at)
        buffer[:amount] = self.ready[self.at : self.at + amount]
        self.at += amount
        return amount

    def _fill(self) -> None:
        chunk = self.source.read(CHUNK)
        if chunk:
            self.packer.write(chunk)
            self.seen(len(chunk))
        else:
            self.ended = True
            self.packer.close()
        self.ready, self.at = self.sink.getvalue(), 0
        self.sink.seek(0)
        self.sink.truncate()


class Hashed:
    """A file that is written once; what was written is known by its hash."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.hash, self.bytes = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.file.write(data)
        self.hash.update(data)
        self.bytes += len(data)
        return len(data)

    def flush(self) -> None:
        self.file.flush()


def write(source: Source, target: Hashed, keys: list[str], tell: Callable[[int], None]) -> None:
    packed = Packed(source, tell)
    if keys:
        try:
            pyrage.encrypt_io(packed, target, [pyrage.x25519.Recipient.from_str(key) for key in keys])
        except pyrage.RecipientError as error:
            raise BackupProblem(f"BACKUP_RECIPIENTS_FILE has a key that is none: {error}.") from None
    else:
        while data := packed.read(CHUNK):
            target.write(data)


def unpack(file: Path, keys: list[str], into: Path, tell: Callable[[int], None]) -> None:
    """The tar of a base backup, as a directory. Damaged or cut off, it ends with a sentence."""
    problems: list[str] = []
    source, sink = os.pipe()
    feeder = threading.Thread(target=_feed, args=(file, keys, sink, tell, problems))
    feeder.start()
    try:
        with (
            open(source, "rb") as plain,
            pa.CompressedInputStream(pa.PythonFile(plain, mode="r"), "zstd") as packed,
            io.BufferedReader(_Raw(packed), CHUNK) as reader,
        ):
            with tarfile.open(fileobj=reader, mode="r|") as tar:
                tar.extractall(into, filter="data")
            while reader.read(CHUNK):
                pass  # to the end, where age says whether it is the end
    except (tarfile.TarError, pa.ArrowException, EOFError) as error:
        problems.append(f"{file} is damaged: {error}.")
    except OSError as error:
        problems.append(f"{file} cannot be unpacked: {error}.")
    finally:
        feeder.join()
    if problems:
        raise BackupProblem(problems[0])


def _feed(file: Path, keys: list[str], sink: int, tell: Callable[[int], None], problems: list[str]) -> None:
    with suppress(BrokenPipeError), open(sink, "wb", buffering=0) as plain, open(file, "rb") as stored:
        counted = _Counted(stored, tell)
        if file.suffix != ".age":
            while data := counted.read(CHUNK):
                plain.write(data)
            return
        try:
            pyrage.decrypt_io(counted, plain, [pyrage.x25519.Identity.from_str(key) for key in keys])
        except (pyrage.DecryptError, pyrage.IdentityError, OSError) as error:
            problems.append(f"{file} cannot be decrypted: {error}.")


class _Counted:
    def __init__(self, file: IO[bytes], tell: Callable[[int], None]) -> None:
        self.file, self.tell = file, tell

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.tell(len(data))
        return data


class _Raw(io.RawIOBase):
    """Arrow's stream for a reader that wants Python's."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
