"""The drill: the newest backup restored somewhere else, started there, and asked whether it is whole."""

import json
import os
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
from config.backup.recovery import Restored, Tell, restore
from config.backup.store import Store
from config.backup.wal import BackupProblem
from config.health import MONTHS_AHEAD, missing_migrations
from metrics import partitions

ALIAS = "drill"
COUNTED = ("campaign", "task", "artifact", "review_item", "publish_record", "metric_event", "audit_log")
NOT_PASSED_ON = ("DATABASE_URL", "MIGRATOR_DATABASE_URL", "BACKUP_URL")
SECONDS = 3600  # no check takes longer than service may take to come back


def drill(store: Store, at: datetime | None, tell: Tell) -> dict[str, Any]:
    """What was found; raises when the backup cannot be restored, and tells faults of what was restored."""
    began, clock = datetime.now(UTC), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gatehouse-drill-", dir=os.environ.get("BACKUP_DRILL_DIR")) as directory:
        Path(directory).chmod(0o711)
        place = Path(directory) / "home"
        restored = restore(store, place, at, tell)
        # Without these the copy would archive its log beside the one that it came from.
        with embedded.running(place, {"archive_mode": "off"}):
            serving = time.monotonic() - clock
            facts = look(place)
            facts["rollups"] = rollups(place)
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
    """What a loss of the server at that moment would have cost, at most: the newest transaction that came back."""
    last = restored.last_transaction_at or restored.backup.began_at
    return round(max(0.0, (until - last).total_seconds()), 1)


def look(place: Path) -> dict[str, Any]:
    connections.databases[ALIAS] = {
        **connections.databases["migrator"],
        "NAME": "gatehouse",
        "USER": embedded.MIGRATOR,
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
        return {
            "rows": counts,
            "schema": schema(connections[ALIAS]),
            "missing_migrations": len(missing_migrations(ALIAS)),
            "months_ahead": {table.name: partitions.months_ahead(table, using=ALIAS) for table in partitions.TABLES},
            "newest_audit_row": newest.isoformat() if newest else None,
        }
    finally:
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.databases[ALIAS]


def rollups(place: Path) -> str:
    """The sums against the events, by the command that does it elsewhere, as the restored house would run it."""
    ours = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    environment = {**ours, "GATEHOUSE_HOME": str(place), "ARCHIVE_URL": settings.ARCHIVE_URL}
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "check_rollups", "--json"]
    environment |= {"SECRET_KEY": settings.SECRET_KEY, "DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run(  # noqa: S603 - the program and its arguments are ours
        command, check=False, capture_output=True, text=True, env=environment, timeout=SECONDS
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["check_rollups gave no reason"])[-1]
    return "agree" if json.loads(done.stdout)["agrees"] else "differ"


def faults(facts: dict[str, Any]) -> list[str]:
    found = []
    if facts["missing_migrations"]:
        found.append(f"{facts['missing_migrations']} migrations are missing")
    if not facts["newest_audit_row"]:
        found.append("the audit log is empty")
    found += [f"{table} has no months ahead" for table, ahead in facts["months_ahead"].items() if ahead < MONTHS_AHEAD]
    if facts["rollups"] != "agree":
        found.append(f"the sums were not found right: {facts['rollups']}")
    return found


def refuse(told: dict[str, Any]) -> None:
    if told["faults"]:
        raise BackupProblem(f"The backup {told['backup']} came back with faults: {'; '.join(told['faults'])}.")
