"""The write-ahead log leaves for the backup directory, and comes back from there: one segment of 16 MB at a time.

PostgreSQL starts this file as its archive_command and its restore_command, so it is a program of its own that imports
next to nothing: it starts in 15 ms. `server_options` is what the embedded server asks for when it starts.

A segment's file has the beginning of its SHA-256 in its name. Archived a second time (the server may ask again after a
crash) it is recognised, although no two encryptions are alike; one with the same name and another content is refused.
Exit status 1 tells PostgreSQL “not there” and, when archiving, “try again later”; 200 ends a recovery.
"""

import hashlib
import os
import shlex
import struct
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

SECONDS = 300  # a segment is archived after that time at the latest: what a lost disk can cost
END_RECOVERY = 200
IDENTITY = "GATEHOUSE_BACKUP_IDENTITY"  # in the environment of a server that recovers, and nowhere else
SYSTEM_ID = 24  # where the long header of a segment's first page has it


class BackupProblem(Exception):
    """Why something cannot be backed up or restored, in a sentence for the person who asked."""


# --- What the settings say --------------------------------------------------------------------------------------------


def directory(address: str) -> Path:
    """The directory of a file:// address."""
    parts = urlsplit(address)
    if parts.scheme != "file" or parts.netloc or not parts.path.startswith("/") or len(parts.path) < 2:
        raise BackupProblem("BACKUP_URL must be an address such as file:///srv/backup.")
    return Path(unquote(parts.path))


def recipients(environ: Mapping[str, str]) -> list[str]:
    """The public keys that backups are encrypted for; none only where somebody says that he wants none."""
    name = environ.get("BACKUP_RECIPIENTS_FILE")
    if not name:
        if environ.get("BACKUP_UNENCRYPTED", "").lower() in {"1", "true", "yes", "on"}:
            return []
        raise BackupProblem(
            "Backups are encrypted: set BACKUP_RECIPIENTS_FILE to a file with age's public keys (manage.py backup "
            "--new-key makes a pair), or say BACKUP_UNENCRYPTED=true."
        )
    return keys_of(name, "BACKUP_RECIPIENTS_FILE", "age1")


def keys_of(name: str, variable: str, beginning: str) -> list[str]:
    try:
        lines = Path(name).read_text().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = (getattr(error, "strerror", None) or "not a text").lower()
        raise BackupProblem(f"{variable} names {name}, which cannot be read ({reason}).") from None
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not keys or not all(key.startswith(beginning) for key in keys):
        raise BackupProblem(f"{variable} names {name}, which must have one key that begins with {beginning} a line.")
    return keys


def server_options(environ: Mapping[str, str]) -> tuple[Path | None, dict[str, str]]:
    """Where segments go, and what a server is started with so that they do; nothing where no backups are wanted."""
    if not environ.get("BACKUP_URL"):
        return None, {}
    target = directory(environ["BACKUP_URL"]) / "wal"
    words = [*program("archive", target), ",".join(recipients(environ)) or "-"]
    command = " ".join(shlex.quote(word).replace("%", "%%") for word in words)
    return target, {
        "archive_mode": "on",
        "archive_command": f'{command} "%p" "%f"',
        "archive_timeout": str(SECONDS),
        "wal_level": "replica",
    }


def restore_command(store: Path) -> str:
    words = program("fetch", store / "wal")
    return " ".join(shlex.quote(word).replace("%", "%%") for word in words) + ' "%f" "%p"'


def program(verb: str, target: Path) -> list[str]:
    return [sys.executable, "-I", str(Path(__file__).resolve()), verb, str(target)]


# --- One segment ------------------------------------------------------------------------------------------------------


def archive(target: Path, keys: list[str], path: Path, name: str) -> None:
    content = path.read_bytes()
    if is_segment(name):
        refuse_other_systems(target, content)
    folder = folder_of(target, name)
    final = folder / f"{name}.{hashlib.sha256(content).hexdigest()[:16]}.gz{'.age' if keys else ''}"
    make(folder)
    others = [found for found in stored(target, name) if found.name.split(".gz")[0] != final.name.split(".gz")[0]]
    if others:
        raise BackupProblem(f"{others[0]} has the same name and another content: is BACKUP_URL used by two servers?")
    if final.exists():
        return
    packed = pack(content, keys)
    draft = folder / f".{name}.{os.getpid()}.part"
    try:
        with open(draft, "wb", opener=for_us_alone) as file:
            file.write(packed)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(final)
    finally:
        draft.unlink(missing_ok=True)
    sync(folder)


def fetch(target: Path, name: str, path: Path) -> bool:
    """Whether it was there. One that is damaged or missing between others ends the recovery: it must not end early."""
    found = stored(target, name)
    if not found:
        if is_segment(name) and in_between(target, name):
            raise BackupProblem(f"{name} is missing in {target}, although later segments are there.")
        return False
    path.write_bytes(content_of(found[0]))
    return True


def content_of(file: Path) -> bytes:
    packed = file.read_bytes()
    if ".gz" not in file.suffixes:
        return packed  # put there as it is, by a server with an archive_command of its own
    try:
        if file.suffix == ".age":
            packed = decrypt(packed)
        content = zlib.decompress(packed, wbits=31)
    except (zlib.error, ValueError) as error:
        raise BackupProblem(f"{file} is damaged: {error}.") from None
    if hashlib.sha256(content).hexdigest()[:16] != file.name.split(".gz")[0].rpartition(".")[2]:
        raise BackupProblem(f"{file} is damaged: its content is not what was archived.")
    return content


def pack(content: bytes, keys: list[str]) -> bytes:
    packer = zlib.compressobj(level=1, wbits=31)
    packed = packer.compress(content) + packer.flush()
    if not keys:
        return packed
    import pyrage

    return bytes(pyrage.encrypt(packed, [pyrage.x25519.Recipient.from_str(key) for key in keys]))


def decrypt(packed: bytes) -> bytes:
    import pyrage

    keys = os.environ.get(IDENTITY, "").split()
    try:
        return bytes(pyrage.decrypt(packed, [pyrage.x25519.Identity.from_str(key) for key in keys]))
    except pyrage.DecryptError as error:
        raise ValueError(f"it cannot be decrypted ({error})") from None


# --- Names and places -------------------------------------------------------------------------------------------------


def is_segment(name: str) -> bool:
    return len(name) == 24 and all(character in "0123456789ABCDEF" for character in name)


def folder_of(target: Path, name: str) -> Path:
    """At most 256 segments in a directory, however long the log is."""
    return target / ("history" if name.endswith(".history") else name[:16])


def stored(target: Path, name: str) -> list[Path]:
    """The file of that segment: as it is, or with its hash and how it is packed."""
    return sorted(
        found
        for folder in (folder_of(target, name), target)
        if folder.is_dir()
        for found in folder.glob(f"{name}*")
        if found.name == name or (".gz" in found.suffixes and found.name.split(".gz")[0].rpartition(".")[0] == name)
    )


def segments(target: Path) -> dict[str, Path]:
    """Every segment that is there, in the order in which it was written on its timeline."""
    found = {}
    for path in (*target.glob("[0-9A-F]*"), *target.glob("[0-9A-F]*/*")):
        name, _, rest = path.name.partition(".")
        if is_segment(name) and ".backup" not in rest:
            found[name] = path
    return {name: found[name] for name in sorted(found)}


def in_between(target: Path, name: str) -> bool:
    same = [found for found in segments(target) if found[:8] == name[:8]]
    return any(found < name for found in same) and any(found > name for found in same)


def refuse_other_systems(target: Path, content: bytes) -> None:
    """Two servers that write into one directory would make the log of both useless."""
    system = str(struct.unpack_from("<Q", content, SYSTEM_ID)[0])
    marker = target / "system"
    try:
        known = marker.read_text()
    except FileNotFoundError:
        draft = target / f".system.{os.getpid()}"
        draft.write_text(system)
        draft.replace(marker)
        known = system
    if known != system:
        raise BackupProblem(f"{target} has the log of another server: give each its own BACKUP_URL.")


def make(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(mode=0o700, exist_ok=True)
        sync(folder.parent)


def for_us_alone(path: str, flags: int) -> int:
    """`open(…, opener=for_us_alone)`: nobody else may read the file, from its first instant."""
    return os.open(path, flags, 0o600)


def sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main(words: list[str]) -> int:
    verb, target = words[0], Path(words[1])
    try:
        if verb == "archive":
            keys = [] if words[2] == "-" else words[2].split(",")
            archive(target, keys, Path(words[3]), words[4])
            return 0
        return 0 if fetch(target, words[2], Path(words[3])) else 1
    except BackupProblem as problem:
        sys.stderr.write(f"{problem}\n")
    except OSError as error:
        sys.stderr.write(f"{error}\n")
    return 1 if verb == "archive" else END_RECOVERY


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
