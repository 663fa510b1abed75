"""What no command foresees ends in one sentence too; and two setups at once make one house."""

import re
from pathlib import Path

import psycopg
import pytest

from config import embedded
from config.health import known_migrations
from config.management.commands.run_due import STEPS
from tests.recovery.support import FAST, manage, query
from tests.recovery.test_settings import ELSEWHERE, NOBODY_LISTENS, refusal

EXCERPT = str(Path(__file__).parents[2] / "examples" / "youtube-excerpt.csv")
ADOPT = ["adopt_posts", EXCERPT, "--campaign", "“Trending”", "--platform", "youtube"]
COMMANDS = [
    ["run_due"],
    ["load_demo"],
    ["rotate_token", "gh_123456789"],
    ["rotate_partitions"],
    ADOPT,
    ["ingest_metrics", EXCERPT, "--platform", "youtube", "--cumulative"],
    ["check_rollups"],
    ["check_schema"],
    ["control", "status"],
    ["archive_metrics"],
    ["restore_metrics", "--month", "2020-01"],
    ["verify_archives"],
    ["query_archive", "SELECT 1"],
]
NAMES = [command[0] for command in COMMANDS]


@pytest.mark.parametrize("command", COMMANDS[1:], ids=NAMES[1:])
def test_a_database_that_does_not_answer(place: Path, command: list[str]) -> None:
    told = refusal(place, *command, **ELSEWHERE, DATABASE_URL=NOBODY_LISTENS)
    assert told.startswith("The database of DATABASE_URL cannot be used: connection failed:")


def test_a_migrator_of_its_own_is_named_too(place: Path) -> None:
    variables = {**ELSEWHERE, "DATABASE_URL": NOBODY_LISTENS, "MIGRATOR_DATABASE_URL": NOBODY_LISTENS}
    told = refusal(place, "rotate_partitions", **variables)
    assert "The database of DATABASE_URL or MIGRATOR_DATABASE_URL cannot be used:" in told


def test_the_clock_goes_through_all_its_steps_without_a_database(place: Path) -> None:
    child = manage(place, "run_due", **ELSEWHERE, DATABASE_URL=NOBODY_LISTENS)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "Traceback" not in err
    assert len(re.findall("ERROR .* failed: connection failed", err)) == len(STEPS)


@pytest.mark.parametrize("roles", [False, True], ids=["an empty server", "a server with roles and no schema"])
def test_a_database_without_a_schema(place: Path, roles: bool) -> None:
    with embedded.running(place, FAST):
        if roles:
            child = manage(place, "create_roles")
            assert child.communicate(timeout=60)[1] == ""
        for command in COMMANDS[1:]:
            told = refusal(place, *command)
            assert told.startswith("Gatehouse is not set up in this database: run manage.py setup first."), command


def test_a_first_installation_needs_no_check_of_its_migrations(place: Path) -> None:
    with embedded.running(place, FAST):
        out, err = manage(place, "check_migrations").communicate(timeout=60)
    assert (out, err) == ("This database is empty: a first installation needs no check, nobody uses it yet.\n", "")


def test_months_of_somebody_else_are_still_told_as_such(place: Path) -> None:
    with embedded.running(place, FAST):
        set_up(place)
        query(place, "CREATE ROLE somebody LOGIN IN ROLE gatehouse_app")
        with psycopg.connect(embedded.url("postgres", home=place), autocommit=True) as superuser:
            superuser.execute("DROP TABLE " + superuser.execute(LAST_MONTH).fetchone()[0])
        url = embedded.url("somebody", home=place)
        told = refusal(place, "rotate_partitions", **ELSEWHERE, DATABASE_URL=url, MIGRATOR_DATABASE_URL=url)
        assert "The months belong to the owner of the schema." in told


LAST_MONTH = "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'metric_event'::regclass"


def set_up(place: Path) -> None:
    child = manage(place, "setup")
    _, err = child.communicate(timeout=120)
    assert (child.returncode, err) == (0, "")


def test_a_terminal_that_knows_no_quotes_is_told_all_the_same(place: Path) -> None:
    with embedded.running(place, FAST):
        set_up(place)
        child = manage(place, *ADOPT, PYTHONIOENCODING="ascii")
        out, err = child.communicate(timeout=60)
        assert (child.returncode, err) == (0, "")
        assert "adopted 16 posts" in out


def test_two_setups_at_once_make_one_house(place: Path) -> None:
    with embedded.running(place, FAST):  # up already, so that they meet at the same moment
        children = [manage(place, "setup", "--demo") for _ in range(2)]
        told = [child.communicate(timeout=120) for child in children]
        assert [child.returncode for child in children] == [0, 0], told
        assert [err for _, err in told] == ["", ""]
        assert sorted("brought up to date" in out for out, _ in told) == [False, True]
        assert sum("demo data were loaded" in out for out, _ in told) == 1
        with psycopg.connect(embedded.url("gatehouse_migrator", home=place)) as owner:
            applied = owner.execute("SELECT count(*), count(DISTINCT (app, name)) FROM django_migrations").fetchone()
        assert applied == (len(known_migrations()), len(known_migrations()))


def test_a_setup_that_fails_gives_the_lock_back(place: Path) -> None:
    with embedded.running(place, FAST):
        query(place, "ALTER ROLE gatehouse_migrator NOCREATEROLE")
        assert "may not create roles" in refusal(place, "setup")
        query(place, "ALTER ROLE gatehouse_migrator CREATEROLE")
        set_up(place)
