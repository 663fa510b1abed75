"""Files of every kind become the same events; what cannot be taken is named; a killed run goes on where it was."""

import csv
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum

from audit.context import Actor
from audit.errors import Conflict
from audit.models import AuditLog
from content.models import PublishRecord
from content.post_file import Reject
from metrics.choices import IngestState, MetricType
from metrics.events import measured
from metrics.models import MetricEvent, MetricIngest
from metrics.partitions import this_month
from metrics.services import files, inputs
from metrics.services.files import Counted, Rejects, ingest_input
from metrics.services.ingest import Columns, columns_of
from metrics.services.inputs import Format, HowToRead, Table
from tests.conftest import TEST_DATABASE
from tests.factories import published_post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])

COLLECTOR = Actor.system("collector")
NOON = this_month().start + timedelta(hours=12)
CSV = HowToRead(Format.CSV)
LONG = "platform,platform_post_id,metric_type,increase,observed_at,source,event_id"


def long_rows(post: PublishRecord, amount: int, seed: int = 1) -> list[list[str]]:
    """Rows of a long file with ids of their own; each measures one more than the one before."""
    chance = random.Random(seed)
    return [
        [
            post.platform,
            str(post.platform_post_id),
            MetricType.values[n % 5],
            str(n + 1),
            (NOON + timedelta(seconds=n)).isoformat(),
            "probe",
            str(UUID(int=chance.getrandbits(128))),
        ]
        for n in range(amount)
    ]


def text_of(rows: list[list[str]], header: str = LONG) -> bytes:
    told = io.StringIO()
    csv.writer(told, lineterminator="\n").writerows(rows)
    return f"{header}\n{told.getvalue()}".encode()


def take(content: bytes, how: HowToRead = CSV, **options: Any) -> tuple[Counted, list[Reject]]:
    rejects: list[Reject] = []
    counted = ingest_input(
        stream=options.pop("stream", None) or io.BytesIO(content),
        name="test",
        how=how,
        actor=COLLECTOR,
        rejects=Rejects(options.pop("rejects", None), rejects.append),
        **options,
    )
    return counted, rejects


def events() -> list[tuple[Any, ...]]:
    columns = ("event_id", "content", "platform", "metric_type", "metric_value", "observed_at", "source")
    return sorted(MetricEvent.objects.values_list(*columns), key=str)


class Pipe(io.RawIOBase):
    """A stream that cannot be read from its beginning again, and gives a little at a time."""

    def __init__(self, content: bytes) -> None:
        self.left = content

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self.left[: min(len(buffer), 1000)]
        self.left = self.left[len(part) :]
        buffer[: len(part)] = part
        return len(part)


def parquet_of(rows: list[list[str]]) -> bytes:
    columns = list(zip(*rows, strict=True))
    table = pa.table(
        {
            "platform": columns[0],
            "platform_post_id": columns[1],
            "metric_type": columns[2],
            "increase": [int(each) for each in columns[3]],
            "observed_at": [datetime.fromisoformat(each) for each in columns[4]],
            "source": columns[5],
            "event_id": pa.array([UUID(each).bytes for each in columns[6]], pa.binary(16)),
        }
    )
    told = io.BytesIO()
    pq.write_table(table, told, row_group_size=40)
    return told.getvalue()


def ndjson_of(rows: list[list[str]]) -> bytes:
    names = LONG.split(",")
    return b"".join(
        json.dumps(dict(zip(names, row, strict=True)) | {"increase": int(row[3])}).encode() + b"\n" for row in rows
    )


@pytest.mark.parametrize("is_pipe", [False, True], ids=["file", "pipe"])
@pytest.mark.parametrize("format", list(Format))
def test_the_same_rows_are_the_same_events_in_every_format(format: Format, is_pipe: bool) -> None:
    rows = long_rows(published_post(), 100)
    content = {Format.CSV: text_of, Format.NDJSON: ndjson_of, Format.PARQUET: parquet_of}[format](rows)
    stream = io.BufferedReader(Pipe(content)) if is_pipe else io.BytesIO(content)
    counted, rejects = take(content, HowToRead(format), stream=stream)
    assert (counted, rejects) == (Counted(100, 100, 0, 0, 0), [])
    stored = [(str(key), kind, str(value), at.isoformat()) for key, _, _, kind, value, at, _ in events()]
    assert stored == sorted((row[6], row[2], row[3], row[4]) for row in rows)


def test_rows_are_understood_at_once_as_they_are_one_by_one() -> None:
    """Nothing that the quick way takes does the careful one take otherwise."""
    chance = random.Random(7)
    posts = ["a", "-b", "Ω", "x y"]
    quick = 0
    for number in range(60):
        is_long, cumulative = chance.random() < 0.5, chance.random() < 0.5
        how = HowToRead(Format.CSV, platform="youtube", source="probe", cumulative=cumulative)
        if is_long:
            header = [
                "platform_post_id",
                "artifact_id",
                "metric_type",
                *chance.sample(["increase", "total"], 2),
                "observed_at",
            ]
        else:
            header = ["observed_at", "platform_post_id", "", "platform", "views", "likes"]
        rows = []
        for _ in range(chance.randrange(1, 20)):
            cells = {
                "platform_post_id": chance.choice(posts),
                "artifact_id": "",
                "metric_type": chance.choice(MetricType.values),
                "increase": "",
                "total": "",
                "observed_at": chance.choice(
                    ["2026-03-01T10:00:00Z", "2026-03-01T12:00:00.25+02:00", "2026-03-01 10:00:00Z"]
                ),
                "platform": chance.choice(["", "tiktok"]),
                "views": chance.choice(["5", "0", "007", ""]),
                "likes": str(chance.randrange(9)),
                "": "ignored",
            }
            cells[chance.choice(["increase", "total"])] = str(chance.choice([0, 7, 2**63 - 1]))
            if is_long and chance.random() < 0.3:
                cells |= {"platform_post_id": "", "artifact_id": str(UUID(int=chance.randrange(5)))}
            if number % 6 == 5:  # something that only the careful way can name
                spoilt = chance.choice(["platform_post_id", "observed_at", "views", "increase"])
                cells[spoilt] = chance.choice(["", " padded ", "-1", "yesterday", '"quoted"', "9" * 20])
            rows.append([cells[name] for name in header])
        block = "".join(",".join(row) + "\n" for row in rows).encode()
        table = Table(header, how)
        found = table.at_once(block, 1)
        careful, left = inputs._some_rows(block, io.BytesIO(), 1, False, table)
        assert left == b""
        measurements, rejects = inputs._taken(careful, table.row)
        if found is None:
            continue
        quick += 1
        assert not rejects
        assert told(found) == told(columns_of(measurements))  # type: ignore[arg-type]
        batch = batch_of(header, rows)
        measurements, rejects = inputs._taken(inputs._text_rows(batch, 2), table.row)
        found = table.batch_at_once(batch, 1)
        assert found
        assert not rejects
        assert told(found) == told(columns_of(measurements))  # type: ignore[arg-type]
    assert quick > 30


def test_lines_of_json_are_understood_at_once_as_they_are_one_by_one() -> None:
    chance = random.Random(8)
    some = str(UUID(int=7))
    odd: list[dict[str, Any]] = [
        {"platform": ""},
        {"platform": "tik\u0000tok"},
        {"platform": 5},
        {"metric_type": "loves"},
        {"increase": -1},
        {"increase": "7"},
        {"increase": 7.0},
        {"increase": 2**63},
        {"increase": None},
        {"increase": 3, "total": 3},
        {"observed_at": "yesterday"},
        {"observed_at": "2026-02-30T10:00:00Z"},
        {"observed_at": "2026-03-01 10:00:00Z"},
        {"observed_at": "2026-03-01T10:00:00+99:00"},
        {"observed_at": "2026-03-01T10:00:60Z"},
        {"observed_at": 5},
        {"source": None},
        {"source": "  api"},
        {"event_id": "no id"},
        {"event_id": some.replace("-", "")},
        {"artifact_id": some, "platform_post_id": "a"},
        {"artifact_id": f"{{{some}}}", "platform_post_id": None},
        {"nobody": "asked"},
    ]
    quick = 0
    for number in range(120):
        lines = []
        for _ in range(chance.randrange(1, 12)):
            event: dict[str, Any] = {
                "platform": chance.choice(["youtube", "tiktok"]),
                "metric_type": chance.choice(MetricType.values),
                chance.choice(["increase", "total"]): chance.choice([0, 7, 2**63 - 1]),
                "observed_at": chance.choice(["2026-03-01T10:00:00Z", "2026-03-01T12:00:00.25+02:00"]),
            }
            event |= chance.choice([{"artifact_id": some}, {"platform_post_id": "Ω b"}])
            event |= chance.choice([{}, {"source": "probe"}])
            event |= {"event_id": str(UUID(int=chance.getrandbits(128)))} if number % 3 else {}
            lines.append(event)
        if number % 2:
            lines[chance.randrange(len(lines))] |= odd[number // 2 % len(odd)]
        block = b"".join(json.dumps(line, ensure_ascii=number % 5 == 0).encode() + b"\n" for line in lines)
        found = inputs.json_at_once(block, 0)
        if found is None:
            continue
        quick += 1
        careful = [measured(line, text) for line, text in enumerate(block.splitlines(), 1)]
        assert told(found) == told(columns_of(careful))  # type: ignore[arg-type]
    assert quick > 40
    one = b'{"platform": "x", "metric_type": "views", "increase": 1, "observed_at": "2026-03-01T10:00:00Z"'
    for block in (
        one + b', "artifact_id": "%s"}\n\n' % some.encode(),
        one + b', "artifact_id": "%s"}{"platform": "x"}\n' % some.encode(),
        one + b', "artifact_id": "%s", "increase": 2}\n' % some.encode(),
        one + b', "artifact_id": "%s"\n' % some.encode(),
        b"[]\n",
        b"{}\n",
        b"\xff\n",
        b"\n",
        b"",
    ):
        assert inputs.json_at_once(block, 0) is None, block


def batch_of(header: list[str], rows: list[list[str]]) -> pa.RecordBatch:
    """As Parquet has them: times and numbers by their type, and nothing as NULL."""
    means = {"observed_at": datetime.fromisoformat, **dict.fromkeys(["increase", "total", "likes"], int)}
    columns = []
    for name, cells in zip(header, zip(*rows, strict=True), strict=True):
        columns.append(pa.array([means.get(name, str)(cell) if cell else None for cell in cells]))
    return pa.record_batch(
        [column.cast(pa.string()) if column.type == pa.null() else column for column in columns], header
    )


def told(columns: Columns) -> list[tuple[Any, ...]]:
    """Rows with what their numbers stand for."""
    return sorted(
        (
            line,
            columns.things[thing],
            columns.sources[source],
            kind,
            instant,
            value,
            bool(is_total),
            key if id_given else None,
        )
        for line, thing, source, kind, instant, value, is_total, key, id_given in zip(
            columns.lines.tolist(),
            columns.thing.tolist(),
            columns.source.tolist(),
            columns.kind.tolist(),
            columns.instant.tolist(),
            columns.value.tolist(),
            columns.is_total.tolist(),
            columns.key.tolist(),
            columns.id_given.tolist(),
            strict=True,
        )
    )


def rejected(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


BAD = [
    ("tiktok,{post},views,many,{at},s,", "increase is not a whole number"),
    ("tiktok,{post},views,-1,{at},s,", "increase is not a whole number"),
    ("tiktok,{post},applause,1,{at},s,", "metric_type is none of views, likes"),
    ("tiktok,{post},views,1,yesterday,s,", "observed_at is not a time: 'yesterday'."),
    ("tiktok,{post},views,1,2999-01-01T00:00Z,s,", "2999-01 lies in the future."),
    ("tiktok,lost,views,1,{at},s,", "no published tiktok post has the id 'lost'"),
    ("tiktok,{post},views,1,{at},s,7", "event_id is not a UUID"),
    ("tiktok,{post},views,1,{at}", "5 columns instead of 7."),
    ("tiktok,,views,1,{at},s,", "platform_post_id is empty."),
    ("tiktok,{post},views,,{at},s,", "give one number: increase."),
    ('tiktok,"{post},views,1,{at},s,', "a quote is opened and not closed."),
]


def test_rows_that_cannot_be_taken_go_to_a_file_with_line_reason_and_text(tmp_path: Path) -> None:
    post = published_post()
    given = {"post": post.platform_post_id, "at": NOON.isoformat()}
    lines = [line.format(**given) for line, _ in BAD]
    content = text_of(long_rows(post, 3)) + ("\n".join(lines) + "\n").encode() + b"tiktok,\xff,views,1,x,s,\n"
    content += ",".join(long_rows(post, 4)[3]).encode() + b"\ntiktok,half"
    counted, told_of = take(content, rejects=tmp_path / "rejects.csv")
    assert (counted.accepted, counted.rejected, counted.row_count) == (4, len(BAD) + 2, len(BAD) + 6)
    rows = rejected(tmp_path / "rejects.csv")
    assert [int(row["line"]) for row in rows] == [*range(5, 6 + len(BAD)), 7 + len(BAD)]
    assert [reject.reason for reject in told_of] == [row["reason"] for row in rows]
    for row, line, (_, reason) in zip(rows, lines, BAD, strict=False):
        assert reason in row["reason"]
        assert row["row"] == line
    assert rows[-2]["reason"] == "the line is not UTF-8."
    assert rows[-1]["row"] == "tiktok,half"


def test_the_file_of_rejects_is_that_of_the_last_run(tmp_path: Path) -> None:
    post, rejects = published_post(), tmp_path / "rejects.csv"
    rows = long_rows(post, 2)
    lost = [["tiktok", "lost", *rows[0][2:]]]
    take(text_of(rows + lost), rejects=rejects)
    take(text_of(rows + lost), rejects=rejects)
    assert rejects.read_text().count("lost") == 2  # in the reason and in the row, of one line
    take(text_of(rows), rejects=rejects)
    assert not rejects.exists()


def test_strict_takes_all_or_nothing(tmp_path: Path) -> None:
    post = published_post()
    rows = long_rows(post, 50)
    with pytest.raises(files.NothingTaken, match="2 rows cannot be taken, so nothing was"):
        take(text_of([*rows, ["tiktok", "lost", *rows[0][2:]], ["short"]]), strict=True)
    assert not MetricEvent.objects.exists()
    assert not AuditLog.objects.filter(entity_type="metric_event").exists()
    content = text_of(rows)
    counted, _ = take(content, strict=True)
    assert counted.accepted == 50
    assert AuditLog.objects.get(entity_type="metric_event").inputs_hash == hashlib.sha256(content).hexdigest()


class Killed(Exception):
    pass


def cut_short(content: bytes, after: int, **options: Any) -> None:
    """A run that ends after that many pieces have been committed."""
    left = after

    def report(*_: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Killed

    with pytest.raises(Killed):
        take(content, report=report, **options)


@pytest.fixture
def small_blocks(monkeypatch: Any) -> None:
    monkeypatch.setattr(inputs, "BLOCK", 2000)
    monkeypatch.setattr(inputs, "CHUNK", 20)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("is_pipe", [False, True], ids=["file", "pipe"])
@pytest.mark.parametrize("format", list(Format))
def test_a_run_that_was_killed_goes_on_where_it_was(format: Format, is_pipe: bool, tmp_path: Path) -> None:
    rows = long_rows(published_post(), 100)
    rows[10][1] = rows[90][1] = "lost"
    content = {Format.CSV: text_of, Format.NDJSON: ndjson_of, Format.PARQUET: parquet_of}[format](rows)
    how, rejects = HowToRead(format), tmp_path / "rejects.csv"

    def stream() -> Any:
        return io.BufferedReader(Pipe(content)) if is_pipe else io.BytesIO(content)

    cut_short(content, 2, how=how, rejects=rejects, stream=stream())
    so_far = MetricIngest.objects.get()
    assert 0 < so_far.accepted < 98
    with rejects.open("a") as file:
        file.write("999,written just before the end,\r\n")
    counted, _ = take(content, how, rejects=rejects, stream=stream())
    assert counted == Counted(100, 98, 0, 0, 2)  # and no duplicates: it did not begin at the beginning
    ingest = MetricIngest.objects.get()
    assert (ingest.state, ingest.accepted, ingest.rejected) == (IngestState.DONE, 98, 2)
    assert [row["row"].count("lost") for row in rejected(rejects)] == [1, 1]
    assert MetricEvent.objects.count() == 98


@pytest.mark.usefixtures("small_blocks")
def test_an_input_that_was_read_to_its_end_is_read_anew() -> None:
    """Rows that were rejected then may be taken now."""
    content = text_of(long_rows(published_post(), 50))
    assert take(content)[0].accepted == 50
    assert take(content)[0] == Counted(50, 0, 50, 0, 0)


@pytest.mark.usefixtures("small_blocks")
def test_an_input_with_the_same_beginning_that_goes_on_otherwise_is_read_from_its_beginning(monkeypatch: Any) -> None:
    monkeypatch.setattr(inputs, "HEAD", 500)
    post = published_post()
    rows, others = long_rows(post, 100), long_rows(post, 100, seed=2)
    cut_short(text_of(rows), 3)
    mixed = text_of(rows[:10] + others[10:])
    taken = MetricEvent.objects.count()
    counted, _ = take(mixed)
    assert (counted.accepted, counted.duplicates) == (90, 10)
    assert MetricEvent.objects.count() == taken + 90
    cut_short(text_of(long_rows(post, 100, seed=3)), 3)
    pipe = text_of(long_rows(post, 10, seed=3) + long_rows(post, 100, seed=4)[10:])
    with pytest.raises(Conflict, match="Nothing of it was taken; send it once more"):
        take(pipe, stream=io.BufferedReader(Pipe(pipe)))
    assert take(pipe, stream=io.BufferedReader(Pipe(pipe)))[0].row_count == 100


@pytest.mark.usefixtures("small_blocks")
def test_two_runs_of_one_input_do_not_count_it_twice() -> None:
    content = text_of(long_rows(published_post(), 100))

    def other(*_: Any) -> None:
        take(content)

    with pytest.raises(Conflict, match="Another run reads test too"):
        take(content, report=other)
    assert MetricEvent.objects.count() == 100
    assert MetricIngest.objects.get().accepted == 100


@pytest.mark.usefixtures("small_blocks")
def test_a_quoted_field_may_go_on_over_the_end_of_a_block() -> None:
    post = published_post()
    rows = [[*row, 'a "title"\nwith,two lines'] for row in long_rows(post, 60)]
    counted, rejects = take(text_of(rows, f"{LONG},title"))
    assert (counted.accepted, rejects) == (60, [])


@pytest.mark.usefixtures("small_blocks")
def test_a_line_without_an_end_is_one_reject_and_takes_no_memory(monkeypatch: Any) -> None:
    for module in (inputs, __import__("content.post_file").post_file):
        monkeypatch.setattr(module, "LONGEST_LINE", 3000)
    rows = long_rows(published_post(), 60)
    content = text_of(rows[:30]) + b"x" * 50_000 + b"\n" + text_of(rows[30:]).partition(b"\n")[2]
    counted, rejects = take(content)
    assert counted.accepted == 60
    assert [reject.line for reject in rejects] == [32]
    assert "longer than 3,000 bytes" in rejects[0].reason
    assert take(content)[0].duplicates == 60


def test_the_specification_s_names_are_understood() -> None:
    post = published_post()
    row = [
        str(uuid4()),
        str(post.campaign_id),
        "x",
        str(post.artifact_id),
        post.platform,
        "views",
        "5",
        NOON.isoformat(),
        "s",
    ]
    header = "event_id,campaign_id,agent_id,content_id,platform,metric_type,metric_value,observed_at,source"
    assert take(text_of([row], header))[0].accepted == 1
    stored = MetricEvent.objects.get()
    assert (str(stored.event_id), stored.metric_value) == (row[0], 5)


def test_wide_files_hold_increases_unless_they_are_said_to_be_totals() -> None:
    post = published_post()
    content = text_of(
        [[str(post.platform_post_id), NOON.isoformat(), "5", ""]], "platform_post_id,observed_at,views,likes"
    )
    how = {"format": Format.CSV, "platform": post.platform}
    assert take(content, HowToRead(**how))[0].accepted == 1
    assert take(content, HowToRead(**how, cumulative=True))[0].accepted == 1
    assert MetricEvent.objects.aggregate(sum=Sum("metric_value"))["sum"] == 10


@pytest.mark.parametrize(
    ("content", "format", "problem"),
    [
        (b"", Format.CSV, "The file is empty"),
        (b"a,b\n1,2\n", Format.CSV, "has no column platform_post_id"),
        (b"platform_post_id,views\n", Format.CSV, "has no column observed_at"),
        (b"platform_post_id,observed_at,views\n", Format.CSV, "say which it is: --platform"),
        (b"platform_post_id,observed_at,platform,metric_type\n", Format.CSV, "has no column increase"),
        (b"no parquet", Format.PARQUET, "no Parquet file that can be read"),
    ],
)
def test_what_is_no_such_file_is_refused_in_a_sentence(
    content: bytes, format: Format, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(CommandError, match=problem):
        call_command("ingest_metrics", str(path), "--format", format.value)


def test_the_command_says_what_became_of_the_rows_and_fails_when_some_were_rejected(tmp_path: Path) -> None:
    rows = long_rows(published_post(), 5)
    path = tmp_path / "day.csv"
    path.write_bytes(text_of(rows))
    out = io.StringIO()
    call_command("ingest_metrics", str(path), "--json", stdout=out)
    assert json.loads(out.getvalue()) == {
        "row_count": 5,
        "accepted": 5,
        "duplicates": 0,
        "corrections": 0,
        "rejected": 0,
        "rejects": None,
    }
    rows[0][1] = "lost"
    path.write_bytes(text_of(rows))
    with pytest.raises(CommandError, match=r"1 rows were rejected; .*day\.csv\.rejects\.csv has each"):
        call_command("ingest_metrics", str(path))


@pytest.fixture
def environment() -> dict[str, str]:
    """For a process of its own that works in the database of the tests."""
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "INGEST_INTO": TEST_DATABASE,
    }


RUN = """
import os, sys
import django
django.setup()
from django.core.management import call_command
from django.db import connections
for connection in connections.all():
    connection.settings_dict["NAME"] = os.environ["INGEST_INTO"]
call_command("ingest_metrics", *sys.argv[1:])
"""


def test_killed_at_any_instant_and_started_again_the_sum_is_that_of_the_input(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    post = published_post()
    rows = long_rows(post, 200_000)
    path = tmp_path / "large.csv"
    path.write_bytes(text_of(rows))
    chance, kills = random.Random(), 0
    command = [sys.executable, "-c", RUN, str(path), "--platform", post.platform]
    deadline = time.monotonic() + 240
    while True:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=chance.uniform(1, 3.5) if kills < 6 else 120)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
        assert time.monotonic() < deadline
    assert process.returncode == 0, err
    assert kills, "nothing was killed"
    total = MetricEvent.objects.aggregate(sum=Sum("metric_value"))["sum"]
    assert total == sum(range(1, len(rows) + 1))
    ingest = MetricIngest.objects.get()
    assert (ingest.state, ingest.accepted) == (IngestState.DONE, len(rows))
    assert b"200,000" in out
