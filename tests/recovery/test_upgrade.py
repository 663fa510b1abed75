"""Upgrades as operators make them: of a filled database of the commit before, and beside a version that keeps writing.

The commit before is taken from git and fills the database itself. Until a first release is tagged its migrations may be
rewritten, and then there is nothing to upgrade from; with the first tag that becomes a failure.
"""

import io
import json
import select
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config import embedded
from tests.recovery.support import CHECKOUT, FAST, environment, kill_group, popen, query, run, soon, started

TABLES = """
    SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    AND NOT relispartition AND relname NOT IN ('schema_record', 'django_migrations') ORDER BY 1
"""
AUDIT = "SELECT count(*), md5(string_agg(a::text, '' ORDER BY a::text)) FROM audit_log a"
OTHERS = shutil.ignore_patterns(".*", "__pycache__", "tests", "benchmarks", "docs", "examples")
MORE = 25  # writes that prove that nobody keeps the writers waiting
LONGEST = 20.0  # seconds that anything here may take

UPGRADE = """
import django
django.setup()
from django.core.management import call_command
for command in ("check_migrations", "migrate", "check_schema", "check_rollups"):
    call_command(command)
"""
# The version that runs: people and agents who plan work and look at lists, until standard input ends.
WRITERS = """
import json, sys, threading, time
import django
django.setup()
from django.db import connection
from agents.models import Agent
from audit.context import Actor
from campaigns.models import Campaign, Task
from campaigns.services.tasks import create_task
from config import schema_fingerprint

ACTOR, over = Actor.system("writers"), threading.Event()
took, failed = [], []

def write():
    campaign, agent = Campaign.objects.filter(status="active")[0], Agent.objects.filter(status="active")[0]
    while not over.is_set():
        began = time.monotonic()
        try:
            create_task(campaign=campaign, agent=agent, task_type="draft_post", context={}, actor=ACTOR)
            list(Task.objects.filter(campaign=campaign)[:20])
        except Exception as error:
            failed.append(repr(error))
        took.append(time.monotonic() - began)
        over.wait(0.02)
    connection.close()

writers = [threading.Thread(target=write) for _ in range(3)]
for writer in writers: writer.start()
print("writing", flush=True)
sys.stdin.read()
over.set()
for writer in writers: writer.join()
alarm = schema_fingerprint.compare().alarm  # of the schema that the next version has made
print(json.dumps({"requests": len(took), "longest": max(took), "failed": failed, "alarm": alarm}))
"""

NAIVE = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("campaigns", "0001_campaign_and_task")]
    operations = [
        migrations.AddField("task", "effort", models.IntegerField(default=1)),
        migrations.AddIndex("task", models.Index(fields=["effort"], name="idx_task_effort")),
        migrations.AddConstraint("task", models.CheckConstraint(
            condition=models.Q(effort__gte=0), name="task_effort_check")),
        migrations.RenameField("task", "title", "name"),
    ]
"""
HEAD = """
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, ValidateConstraint
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("campaigns", "{before}")]
"""
IN_STEPS = {
    "0002_task_effort": """
    operations = [
        migrations.AddField("task", "effort", models.IntegerField(null=True)),
        AddConstraintNotValid("task", models.CheckConstraint(
            condition=models.Q(effort__gte=0), name="task_effort_check")),
    ]
""",
    "0003_task_effort_filled": """
    atomic = False
    estimate = "some seconds for each 100,000 tasks"
    operations = [
        migrations.RunSQL("UPDATE task SET effort = 1 WHERE effort IS NULL AND status = 'pending'", ""),
    ]
""",
    "0004_task_effort_holds": """
    operations = [ValidateConstraint("task", "task_effort_check")]
""",
    "0005_task_effort_indexed": """
    atomic = False
    operations = [AddIndexConcurrently("task", models.Index(fields=["effort"], name="idx_task_effort"))]
""",
}


@dataclass
class House:
    """A server with a filled database, which today's code has upgraded."""

    home: Path
    parent: Path
    commit: str = ""  # which filled it; empty: today's
    reason: str = ""  # why it was not the one before
    rewritten: list[str] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    schema: dict[str, str] = field(default_factory=dict)
    upgrade: subprocess.CompletedProcess[str] | None = None

    def manage(self, *arguments: str, tree: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
        return run([sys.executable, "manage.py", *arguments], environment(self.home), place=tree)

    def contents(self) -> dict[str, Any]:
        counts = {name: query(self.home, f'SELECT count(*) FROM "{name}"') for (name,) in query(self.home, TABLES)}
        return {**counts, "audit": query(self.home, AUDIT)}


def git(*arguments: str) -> bytes:
    """What git says; empty where it, or the commit, is not there."""
    try:
        return subprocess.run(["git", "-C", CHECKOUT, *arguments], capture_output=True, timeout=60).stdout
    except FileNotFoundError:
        return b""


def migrations(tree: Path) -> dict[str, str]:
    return {str(path.relative_to(tree)): path.read_text() for path in tree.glob("[a-z]*/migrations/0*.py")}


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    parent = Path(tempfile.mkdtemp(prefix="gatehouse upgrade "))
    parent.chmod(0o755)
    made = House(parent / "home", parent)
    try:
        with embedded.running(made.home, FAST):
            upgrade(made, the_commit_before(made))
            yield made
            while started:
                if (child := started.pop()).returncode is None:
                    kill_group(child)
    finally:
        embedded.stop(made.home)
        shutil.rmtree(parent)


def the_commit_before(house: House) -> Path:
    """Its files; today's where there is none, or none whose database could be upgraded."""
    commit, tree = git("rev-parse", "--short", "--verify", "HEAD~1").decode().strip(), house.parent / "before"
    if not commit:
        house.reason = "The commit before is not there: git is not installed, or the clone is shallow."
        return CHECKOUT
    with tarfile.open(fileobj=io.BytesIO(git("archive", "--format=tar", commit))) as files:
        files.extractall(tree, filter="data")
    old, new = migrations(tree), migrations(CHECKOUT)
    house.rewritten = sorted(name for name, text in old.items() if new.get(name) != text)
    if house.rewritten:
        house.reason = f"Rewritten since {commit}: {', '.join(house.rewritten)}."
        return CHECKOUT
    house.commit = commit
    return tree


def upgrade(house: House, tree: Path) -> None:
    filled = house.manage("setup", "--demo", tree=tree)
    assert (filled.returncode, filled.stderr) == (0, "")
    house.before = house.contents()
    house.upgrade = run([sys.executable, "-c", UPGRADE], environment(house.home))
    house.after = house.contents()
    ((house.schema,),) = query(house.home, "SELECT objects FROM schema_record")


def test_the_migrations_of_a_release_are_not_rewritten(house: House) -> None:
    if house.rewritten and not git("tag"):
        pytest.skip(f"{house.reason} Until a first release is tagged, migrations may be.")
    told = "Since a release is tagged that is not allowed: databases out there would never get it. Add a migration."
    assert not house.rewritten, f"{house.reason} {told}"


def test_a_filled_database_of_the_commit_before_is_upgraded(house: House) -> None:
    if not house.commit:
        pytest.skip(house.reason)
    assert house.upgrade is not None
    assert (house.upgrade.returncode, house.upgrade.stderr) == (0, "")
    assert {name: house.after[name] for name in house.before} == house.before
    assert house.after["task"][0][0] > 0


@pytest.mark.usefixtures("django_db_setup")
def test_its_schema_is_that_of_a_new_database(house: House, django_db_blocker: Any) -> None:
    from config import schema_fingerprint

    with django_db_blocker.unblock():
        new = schema_fingerprint.found_objects("migrator")
    assert schema_fingerprint.differences(new, house.schema) == []


def test_a_release_comes_in_beside_a_version_that_goes_on_writing(house: House) -> None:
    release = house.parent / "release"
    shutil.copytree(CHECKOUT, release, ignore=OTHERS)
    folder = release / "campaigns" / "migrations"
    (folder / "0002_naive.py").write_text(NAIVE)
    refused = house.manage("check_migrations", tree=release)
    assert refused.returncode == 1
    assert "[ban-drop-default]" in refused.stdout
    assert "[require-concurrent-index-creation]" in refused.stdout
    assert "[constraint-missing-not-valid]" in refused.stdout
    assert "[renaming-column]" in refused.stdout
    assert refused.stderr.startswith("CommandError: 1 of 1 migrations must not be applied while another version runs.")
    (folder / "0002_naive.py").unlink()

    before = "0001_campaign_and_task"
    for name, body in IN_STEPS.items():
        (folder / f"{name}.py").write_text(HEAD.format(before=before) + body)
        before = name
    accepted = house.manage("check_migrations", tree=release)
    assert (accepted.returncode, accepted.stderr) == (0, "")
    assert accepted.stdout.count(": may be applied\n") == len(IN_STEPS)

    writers = popen([sys.executable, "-c", WRITERS], environment(house.home))
    assert line_of(writers.stdout) == "writing\n"
    wrote_more(house)
    with psycopg.connect(embedded.url("gatehouse_app", home=house.home)) as report:  # somebody's long look at all tasks
        report.execute("SELECT count(*) FROM task")
        migrate = subprocess.Popen(
            [sys.executable, "manage.py", "migrate"],
            cwd=release,
            env=environment(house.home),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(migrate)
        waits = line_of(migrate.stderr)
        assert waits.startswith("campaigns.0002_task_effort waits for process")
        assert "of gatehouse_app (idle in transaction for" in waits
        wrote_more(house)
        # As a run leaves it that was killed while it built the index.
        query(house.home, "CREATE INDEX idx_task_effort ON task (title)")
        query(house.home, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_task_effort'::regclass")
        report.rollback()
    _, told = migrate.communicate(timeout=60)
    assert migrate.returncode == 0, told
    wrote_more(house)
    out, err = writers.communicate(timeout=60)
    assert (writers.returncode, err) == (0, "")
    done = json.loads(out)
    print(f"{done['requests']} requests, the longest took {done['longest']:.2f} seconds")  # noqa: T201
    assert (done["failed"], done["alarm"]) == ([], "")
    assert done["longest"] < LONGEST / 4

    assert query(house.home, "SELECT count(*) FROM task WHERE effort = 1")[0][0] >= MORE
    index = "SELECT indisvalid, pg_get_indexdef(indexrelid, 1, true) FROM pg_index"
    assert query(house.home, f"{index} WHERE indexrelid = 'idx_task_effort'::regclass") == [(True, "effort")]


def line_of(stream: Any) -> str:
    """The next line, soon: nothing here waits without an end."""
    assert select.select([stream], [], [], LONGEST)[0]
    return str(stream.readline())


def wrote_more(house: House) -> None:
    """The writers get on, whatever goes on beside them."""
    ((before,),) = query(house.home, "SELECT count(*) FROM audit_log")
    began = time.monotonic()
    more = f"SELECT count(*) >= {before + MORE} FROM audit_log"
    assert soon(lambda: query(house.home, more) == [(True,)], LONGEST), time.monotonic() - began
