"""The drill: the newest backup restored somewhere else, started there, and asked whether it is whole."""

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections

from config import embedded
from config.backup.base import schema
from config.backup.cold import Cold
from config.backup.files import ARCHIVE, CONTENT
from config.backup.load import MANAGE, work_in
from config.backup.recovery import AS_INITDB, Restored, Tell, restore
from config.backup.store import Store
from config.backup.wal import BackupProblem
from config.health import MONTHS_AHEAD, missing_migrations
from config.schema_fingerprint import compare
from metrics import partitions

ALIAS = "drill"
SAMPLE = 1000  # contents that are read and compared
COUNTED = ("campaign", "task", "artifact", "review_item", "publish_record", "metric_event", "audit_log")
NOT_PASSED_ON = {
    *(
        f"{name}{end}"
        for name in (
            "DATABASE_URL",
            "MIGRATOR_DATABASE_URL",
            "DATABASE_REPLICA_URL",
            "EMAIL_HOST_PASSWORD",
            "SENTRY_DSN",
        )
        for end in ("", "_FILE")
    ),
    *("SECRET_KEY_FILE", "BACKUP_URL", "BACKUP_COLD_URL", "EMAIL_HOST", "CONSOLE_URL", "ALLOWED_HOSTS"),
}
SECONDS = 12 * 3600  # for a check; service is back before they begin


def drill(store: Store | Cold, at: datetime | None, tell: Tell, load: int = 0) -> dict[str, Any]:
    """What was found; raises when the backup cannot be restored, and tells faults of what was restored.

    With `load`, a fleet works in the copy for so many seconds before its sums, tables and indexes are looked at.
    """
    began, clock = datetime.now(UTC), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gatehouse-drill-", dir=os.environ.get("BACKUP_DRILL_DIR")) as directory:
        Path(directory).chmod(0o711)
        place = Path(directory) / "home"
        restored = restore(store, place, at, tell)
        # The copy's own may ask for passwords that nobody here has.
        (place / "pg_hba.conf").write_text(AS_INITDB["pg_hba.conf"])
        # Archiving, the copy would put its log beside the one that it came from.
        with embedded.running(place, {"archive_mode": "off", "hba_file": str(place / "pg_hba.conf")}):
            serving = time.monotonic() - clock
            facts = look(place, restored.files_until)
            facts["load"] = work_in(place, house(place), load) if load else None
            facts["rollups"] = rollups(place)
            facts["amcheck"] = amcheck(place)
        ended = time.monotonic() - clock
    return {
        "began_at": began.isoformat(),
        **restored.told(),
        "seconds_until_it_serves": round(serving, 1),
        "seconds": round(ended, 1),
        "seconds_lost": seconds_lost(restored, at or began),
        **facts,
        "faults": faults(facts),
    }


def seconds_lost(restored: Restored, until: datetime) -> float:
    """What a loss of the server at that moment would have cost, at most.

    The newest transaction that came back, or what of the content did, whichever is older.
    """
    last = restored.last_transaction_at or restored.backup.began_at
    last = min(last, restored.files_until) if restored.files_until else last
    return round(max(0.0, (until - last).total_seconds()), 1)


def database() -> str:
    """Its name, which is another one where DATABASE_URL says so."""
    return str(connections.databases["migrator"]["NAME"])


def look(place: Path, files_until: datetime | None) -> dict[str, Any]:
    connections.databases[ALIAS] = {
        **connections.databases["migrator"],
        "NAME": database(),
        "USER": embedded.SUPERUSER,
        "PASSWORD": "",
        "HOST": str(embedded.socket_dir(place.resolve())),
        "PORT": str(embedded.PORT),
    }
    try:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("SELECT to_regclass(name)::text FROM unnest(%s::text[]) name", [list(COUNTED)])
            there = [name for (name,) in cursor.fetchall() if name]
            counts = {}
            for name in there:
                cursor.execute(f"SELECT count(*) FROM {name}")
                (counts[name],) = cursor.fetchone()
            cursor.execute("SELECT max(created_at) FROM audit_log")
            (newest,) = cursor.fetchone()
        contents = look_at_contents(place, files_until)
        return {
            "rows": counts,
            "schema": schema(connections[ALIAS]),
            "missing_migrations": len(missing_migrations(ALIAS)),
            "changed_by_hand": [str(difference) for difference in compare(ALIAS).differences],
            "months_ahead": {table.name: partitions.months_ahead(table, using=ALIAS) for table in partitions.TABLES},
            "newest_audit_row": newest.isoformat() if newest else None,
            "content": contents,
        }
    finally:
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.databases[ALIAS]


def look_at_contents(place: Path, files_until: datetime | None) -> dict[str, int]:
    """Every artifact whose content is kept here has its file, and a sample of them what was submitted.

    What came after the last copy of files is what a loss costs, and is no fault of the backup.
    """
    found = {"expected": 0, "missing": 0, "newer_than_the_copy": 0, "compared": 0, "unlike": 0}
    sample: list[tuple[Path, str]] = []
    connection = connections[ALIAS]
    connection.ensure_connection()
    with connection.connection.transaction(), connection.connection.cursor("contents") as cursor:
        cursor.execute(
            "SELECT content_ref, content_sha256, created_at FROM artifact WHERE content_ref ~ '^sha256/[0-9a-f]{2}/'"
        )
        for reference, sha256, created_at in cursor:
            path = place / CONTENT / reference
            if not path.is_file():
                newer = files_until is not None and created_at > files_until
                found["newer_than_the_copy" if newer else "missing"] += 1
                continue
            found["expected"] += 1
            at = len(sample) if len(sample) < SAMPLE else random.randrange(found["expected"])  # noqa: S311
            if at < SAMPLE:
                sample[at : at + 1] = [(path, sha256)]
    for path, sha256 in sample:
        with open(path, "rb") as file:
            found["unlike"] += hashlib.file_digest(file, "sha256").hexdigest() != sha256
    return {**found, "compared": len(sample)}


def amcheck(place: Path) -> str:
    """PostgreSQL's own look at every page of every table and B-tree; its extension is made in the copy only."""
    command = [str(embedded.programs() / "pg_amcheck"), "--install-missing", "--jobs=2"]
    command += ["--host", str(embedded.socket_dir(place.resolve())), "--port", str(embedded.PORT)]
    command += ["--username", embedded.SUPERUSER, database()]
    status, out, err = _checked(command, embedded.server_environment())
    said = [line.strip() for line in (out.strip() or err.strip()).splitlines()[:2]]
    return "whole" if not status else " ".join(said) or "it gave no reason"


def house(place: Path) -> dict[str, str]:
    """The environment of a command in the restored house: nothing leads from there to the one that it came from, to
    its archive, or to people's mailboxes."""
    ours = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    address = embedded.url(embedded.SUPERUSER, database(), place)
    environment = {**ours, "GATEHOUSE_HOME": str(place), "DATABASE_URL": address}
    if (place / ARCHIVE).exists() or settings.ARCHIVE_URL.startswith("file:"):
        environment["ARCHIVE_URL"] = (place / ARCHIVE).as_uri()
    return environment | {"SECRET_KEY": settings.SECRET_KEY, "DJANGO_SETTINGS_MODULE": "config.settings"}


def rollups(place: Path) -> str:
    """The sums against the events, by the command that does it elsewhere, as the restored house would run it."""
    status, out, err = _checked([sys.executable, MANAGE, "check_rollups", "--json"], house(place))
    if status:
        return (err.strip().splitlines() or ["check_rollups gave no reason"])[-1]
    return "agree" if json.loads(out)["agrees"] else "differ"


def _checked(command: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
    try:
        done = subprocess.run(  # noqa: S603 - the programs and their arguments are ours
            command, check=False, capture_output=True, text=True, env=environment, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return 1, "", f"It took more than {SECONDS // 3600} hours."
    return done.returncode, done.stdout, done.stderr


def faults(facts: dict[str, Any]) -> list[str]:
    found = []
    if facts["missing_migrations"]:
        found.append(f"{facts['missing_migrations']} migrations are missing")
    if changed := facts["changed_by_hand"]:
        found.append(f"the schema is not what the migrations made: {', '.join(changed)}")
    if not facts["newest_audit_row"]:
        found.append("the audit log is empty")
    found += [f"{table} has no months ahead" for table, ahead in facts["months_ahead"].items() if ahead < MONTHS_AHEAD]
    if facts["rollups"] != "agree":
        found.append(f"the sums were not found right: {facts['rollups']}")
    content = facts["content"]
    if content["missing"] or content["unlike"]:
        found.append(f"{content['missing']} contents are missing and {content['unlike']} are not what was submitted")
    if facts["load"] and "problem" in facts["load"]:
        found.append(facts["load"]["problem"])
    if facts["amcheck"] != "whole":
        found.append(f"pg_amcheck: {facts['amcheck']}")
    return found


def refuse(told: dict[str, Any]) -> None:
    if told["faults"]:
        raise BackupProblem(f"The backup {told['backup']} came back with faults: {'; '.join(told['faults'])}.")
