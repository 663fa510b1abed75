"""A database as after half a year of a large fleet: `BENCHMARK_HOME=/var/tmp/large python -m benchmarks.fill`.

A million artifacts, 100,000 open reviews, 10 million audit rows, and all that belongs to them; `--scale 0.01` is a
hundredth of it. To look at it: `GATEHOUSE_HOME=/var/tmp/large python manage.py serve`.

The superuser writes the rows with triggers off, in their final state, chunk by chunk, with the statements of
`benchmarks/filling`. What triggers and foreign keys would have refused is therefore looked for afterwards.
"""

import argparse
import io
import random
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connections
from psycopg import sql
from tqdm import tqdm

from accounts.models import User
from benchmarks import HOME, KEPT, report
from benchmarks.world import administrator
from campaigns.models import Campaign
from config import demo, embedded
from config.management.commands.setup import remember_login
from content.services.artifacts import store_content
from metrics.partitions import AUDIT, Month, existing, make, months, rotate, this_month

TASKS, CAMPAIGNS, AGENTS, PEOPLE, TEXTS = 1_120_000, 300, 400, 120, 2_000  # at scale 1
FEWEST = {"campaigns": 20, "agents": 40, "people": 30, "texts": 100}
DAYS, EARLIER = timedelta(days=200), timedelta(days=22)  # of work, and of the campaigns before the first of it
CHUNK = 40_000  # tasks that are written at once
FILLING = Path(__file__).with_name("filling")
# As quick as it can be: a fill that was cut off is begun anew, in another directory.
OPTIONS = {
    **{"autovacuum": "off", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"},
    **{"max_wal_size": "8GB", "maintenance_work_mem": "512MB", "work_mem": "128MB", "shared_buffers": "512MB"},
}
SENTENCES = [
    "The demera stands, and the square is not endless.",
    "Come at six and bring your neighbours.",
    "Tadesse picks only what is red, which takes him until noon.",
    "Three fees eat up a day's pay: the transfer, the margin, and the receiving.",
    "Compare the amount that arrives, not the fee on the poster.",
    "An umbrella keeps the head dry, and boots keep the day good.",
    "The third cup is the blessing, so stay for it.",
    "The first lesson is free, and so is the second for those who bring a friend.",
]
Connection = psycopg.Connection[Any]


def statements(name: str) -> list[tuple[str, str]]:
    """The parts of a file of `filling`, each with its title."""
    parts = re.split(r"^-- ## (.+)$", (FILLING / f"{name}.sql").read_text(), flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


@contextmanager
def server() -> Iterator[None]:
    with embedded.running(HOME, options=OPTIONS):
        call_command("setup", stdout=io.StringIO())
        yield
        connections.close_all()


def fill(scale: float) -> None:
    """Everything, into an empty database."""
    if Campaign.objects.exists():
        raise SystemExit(f"{HOME} has data already: name another directory, or remove this one.")
    began = time.monotonic()
    make_people()
    ended = datetime.now(UTC)
    make_months(ended - DAYS)
    sizes = {"campaigns": CAMPAIGNS, "agents": AGENTS, "people": PEOPLE, "texts": TEXTS}
    size = {name: max(round(amount * scale), FEWEST[name]) for name, amount in sizes.items()}
    with administrator("gatehouse") as connection:
        run(connection, "base")
        world = {**size, "tasks": round(TASKS * scale), "began": ended - DAYS, "ended": ended}
        names = sql.SQL(", ").join(map(sql.Identifier, world))
        connection.execute(
            sql.SQL("INSERT INTO filling.world ({}) VALUES ({})").format(
                names, sql.SQL(", ").join(map(sql.Literal, world.values()))
            )
        )
        store_texts(connection, size["texts"])
        run(connection, "setting")
        run(connection, "drafts")
        with without_indexes(connection):
            write(connection, world["tasks"])
        run(connection, "rest")
        report.say("Vacuuming")
        connection.execute("VACUUM (ANALYZE, FREEZE)")
        check(connection)
        connection.execute("DROP SCHEMA filling CASCADE")
    report.say(f"Filled in {time.monotonic() - began:,.0f} seconds.")


def make_people() -> None:
    """Those of the demo, under a password that `serve` shows."""
    password = secrets.token_urlsafe(9)
    remember_login(demo.login(password))
    for email, (name, group) in demo.PEOPLE.items():
        person = User.objects.create_user(email, password, display_name=name)
        person.groups.add(Group.objects.get(name=group))


def make_months(first: datetime) -> None:
    rotate(start=Month.of(first))
    for month in months(Month.of(first - EARLIER), this_month()):
        if month not in existing(AUDIT, using="migrator"):
            make(AUDIT, month)
    connections["migrator"].close()


def store_texts(connection: Connection, amount: int) -> None:
    """What the artifacts say: files in the content store, one of a hundred a long one."""
    chance = random.Random(4)
    rows = []
    for number in range(1, amount + 1):
        length = 600 if number % 100 == 0 else chance.randint(2, 14)
        text = " ".join(chance.choices(SENTENCES, k=length)) + f" #{number}\n"
        rows.append((number, *store_content(text.encode()), len(text.split())))
    with connection.cursor() as cursor, cursor.copy("COPY filling.content FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


@contextmanager
def without_indexes(connection: Connection) -> Iterator[None]:
    """An index that is made of all rows at once takes a third of the time. Unique ones stay: they are rules."""
    found = connection.execute(
        "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisunique AND NOT c.relispartition"
        " AND c.relnamespace = 'public'::regnamespace"
    ).fetchall()
    for name, _ in found:
        connection.execute(f"DROP INDEX {name}")
    yield
    for _, definition in tqdm(found, desc="Indexes", unit=" index", disable=None):
        connection.execute(definition.replace(" ON ONLY ", " ON "))


def write(connection: Connection, tasks: int) -> None:
    steps = statements("work") + statements("trail")
    with tqdm(total=tasks, desc="Tasks", unit=" tasks", disable=None) as bar:
        for first in range(1, tasks + 1, CHUNK):
            last = min(first + CHUNK - 1, tasks)
            connection.execute("UPDATE filling.world SET first = %s, last = %s", [first, last])
            for title, statement in steps:
                bar.set_postfix_str(title)
                connection.execute(statement)
            bar.update(last - first + 1)
            if bar.disable:
                report.say(f"{last:,} of {tasks:,} tasks")


def run(connection: Connection, name: str) -> None:
    for title, statement in statements(name):
        report.say(title)
        connection.execute(statement)


FOREIGN_KEYS = """
    SELECT conname, conrelid::regclass::text, a.attname, confrelid::regclass::text, f.attname
    FROM pg_constraint JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = conkey[1]
    JOIN pg_attribute f ON f.attrelid = confrelid AND f.attnum = confkey[1]
    WHERE contype = 'f' AND conparentid = 0 AND connamespace = 'public'::regnamespace
"""


def check(connection: Connection) -> None:
    """What triggers and foreign keys would have refused; raises SystemExit when there is any of it."""
    questions = statements("checks")
    for name, table, column, other, key in connection.execute(FOREIGN_KEYS).fetchall():
        missing = f"SELECT 1 FROM {table} t WHERE t.{column} IS NOT NULL"
        missing += f" AND NOT EXISTS (SELECT FROM {other} o WHERE o.{key} = t.{column})"
        questions.append((f"a row that {name} would have refused", missing))
    wrong = []
    for title, question in tqdm(questions, desc="Checks", unit=" check", disable=None):
        (amount,) = connection.execute(f"SELECT count(*) FROM ({question.strip().rstrip(';')}) q").fetchone() or (0,)
        if amount:
            wrong.append(f"{amount:,} times {title}")
    if wrong:
        raise SystemExit("This world cannot be:\n" + "\n".join(wrong))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1, help="1 for a million artifacts, 0.01 for a hundredth of it")
    scale = parser.parse_args().scale
    if not KEPT:
        raise SystemExit("Set BENCHMARK_HOME to the directory that is to be filled.")
    if not 0.001 <= scale <= 10:
        raise SystemExit("--scale is a number from 0.001 to 10.")
    with server():
        fill(scale)


if __name__ == "__main__":
    main()
