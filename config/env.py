"""Settings from the environment, and the sentence for one that cannot be used.

A bad value ends the process before anything else happens: settings are read while Django starts, and a stack trace
there would hide the one thing that the operator needs, the name of the variable.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import dj_database_url
from environs import Env, EnvError

BASE_DIR = Path(__file__).resolve().parent.parent
APP_ROLE = "gatehouse_app"

T = TypeVar("T")
env = Env()


class BadSetting(SystemExit):
    """Ends the start with one sentence that names the variable; exit status 2."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(2)
        self.sentence = f"{name} {problem}"
        sys.stderr.write(f"Gatehouse cannot start: {self.sentence}\n")


def read(kind: Callable[..., T], name: str, default: T, *, must: str) -> T:
    """The variable as `kind` (a reader of `env`); `must` completes "NAME must …" for the person who mistyped it."""
    try:
        return kind(name, default)
    except EnvError:
        raise BadSetting(name, f"must {must}; it is {env.str(name)!r}.") from None


def secret(name: str, default: str = "") -> str:
    """The variable, or the content of the file that NAME_FILE names: containers are given secrets that way."""
    text, file = env.str(name, default), env.str(f"{name}_FILE", "")
    if not file:
        return text
    if env.str(name, ""):
        raise BadSetting(f"{name}_FILE", f"and {name} exclude each other: set one of them.")
    try:
        text = Path(file).read_text().strip()
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "not a text").lower()
        raise BadSetting(f"{name}_FILE", f"names {file}, which cannot be read ({reason}).") from None
    if not text:
        raise BadSetting(f"{name}_FILE", f"names {file}, which is empty.")
    return text


def port(name: str, default: int) -> int:
    number = read(env.int, name, default, must="be a port number")
    if not 1 <= number <= 65535:
        raise BadSetting(name, f"must be a port number from 1 to 65535; it is {number}.")
    return number


def seconds(name: str, default: int) -> int:
    return whole(name, default, "seconds")


def whole(name: str, default: int, unit: str) -> int:
    must = f"be a whole number of {unit}, 0 or more"
    number = read(env.int, name, default, must=must)
    if number < 0:
        raise BadSetting(name, f"must {must}; it is {number}.")
    return number


def archive_address(name: str, default: str) -> str:
    """A directory or a bucket. What is given is not repeated: it may hold a key."""
    text = secret(name, default)
    parts = urlsplit(text)
    directory = parts.scheme == "file" and not parts.netloc and parts.path.startswith("/") and len(parts.path) > 1
    if not directory and not (parts.scheme == "s3" and parts.netloc):
        raise BadSetting(name, "must be an address such as file:///srv/archive or s3://bucket/prefix.")
    return text


def directory_address(name: str) -> str:
    """A directory, or nothing."""
    text = env.str(name, "")
    if text and not text.startswith("file:"):
        raise BadSetting(name, f"must be an address such as file:///srv/backup; it is {text!r}.")
    return archive_address(name, text) if text else ""


def web_address(name: str, default: str) -> str:
    """The scheme and host under which people reach the console, without a slash at the end."""
    text = env.str(name, default).rstrip("/")
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise BadSetting(name, f"must be an address such as https://gatehouse.example.org; it is {text!r}.")
    return text


def origin_of(address: str) -> str:
    """As CSRF_TRUSTED_ORIGINS has it: without a path."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def host_of(address: str) -> str:
    """As ALLOWED_HOSTS has it: without a port, an IPv6 address in brackets."""
    host = urlsplit(address).hostname or ""
    return f"[{host}]" if ":" in host else host


def database(name: str, url: str) -> dict[str, Any]:
    """Django's settings for one PostgreSQL URL; `name` is the variable to blame."""
    try:
        parsed = dict(dj_database_url.parse(url))
    except ValueError as error:
        raise BadSetting(name, f"is not a database address: {error}.") from None
    if "postgresql" not in str(parsed["ENGINE"]):
        raise BadSetting(name, "must begin with postgresql://; Gatehouse runs on PostgreSQL 18 only.")
    if not parsed["NAME"]:
        raise BadSetting(name, "names no database: write postgresql://user:password@host:5432/database.")
    parsed["ENGINE"] = "config.postgresql"
    return parsed


def app_database(name: str, url: str) -> dict[str, Any]:
    """The connection of the web processes: whoever logs in, the statements run as `gatehouse_app`.

    A login of another name (the owner's, on a small installation) takes that role on after connecting. That is
    session state, so behind PgBouncer the login must be `gatehouse_app` itself.
    """
    parsed = database(name, url)
    if parsed["USER"] != APP_ROLE:
        parsed.setdefault("OPTIONS", {})["assume_role"] = APP_ROLE
    return parsed


def replica_database(name: str, url: str) -> dict[str, Any]:
    """The same login on a standby: it never writes, and nobody waits long for one that is gone."""
    parsed = app_database(name, url)
    options = parsed.setdefault("OPTIONS", {})
    options["options"] = f"{options.get('options', '')} -c default_transaction_read_only=on".strip()
    # In seconds, but for the last, which is in milliseconds.
    patience = {"keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 3, "tcp_user_timeout": 5000}
    return {**parsed, "ENGINE": "config.replica", "OPTIONS": {"connect_timeout": 2, **patience, **options}}
