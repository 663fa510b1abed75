"""What hostile inputs must not do: each test is named after the right behaviour."""

import io
import json
import os
import random
import threading
import time
import tracemalloc
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections, transaction
from django.db.models import Sum

from audit.errors import Conflict, Refused
from content import post_file
from metrics.models import MetricEvent, MetricRollup
from metrics.partitions import this_month
from metrics.services import files, ingest, inputs
from metrics.services.files import Rejects
from metrics.services.inputs import Format, HowToRead
from tests.concurrency import together, waiting_for_a_lock
from tests.factories import published_post
from tests.metrics.test_append import append, of, stored
from tests.metrics.test_files import (
    COLLECTOR,
    CSV,
    LONG,
    NOON,
    cut_short,
    long_rows,
    rejected,
    take,
    text_of,
)
from tests.metrics.test_the_loop import archive

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
AT = NOON.isoformat()
PARQUET = HowToRead(Format.PARQUET)


@pytest.fixture
def small_blocks(monkeypatch: Any) -> None:
    monkeypatch.setattr(inputs, "BLOCK", 2000)


def parquet(post: Any, **columns: Any) -> bytes:
    amount = max((len(each) for each in columns.values()), default=1)
    base = {
        "platform": [post.platform] * amount,
        "platform_post_id": [post.platform_post_id] * amount,
        "metric_type": ["views"] * amount,
        "increase": list(range(1, amount + 1)),
        "observed_at": [NOON] * amount,
    }
    told = io.BytesIO()
    pq.write_table(pa.table(base | columns), told)
    return told.getvalue()


def total() -> int:
    return MetricEvent.objects.aggregate(sum=Sum("metric_value"))["sum"] or 0


def test_every_measure_of_a_wide_row_with_an_event_id_counts() -> None:
    post = published_post()
    row = f"{post.platform},{post.platform_post_id},{AT},{uuid4()},100,7"
    content = f"platform,platform_post_id,observed_at,event_id,views,likes\n{row}\n"
    try:
        counted, _ = take(content.encode())
    except Refused:
        return  # a sentence would do as well
    assert (counted.accepted + counted.rejected, total()) in {(2, 107), (1, 0)}


@pytest.mark.parametrize("number", ["0x10", "-0", "0" * 22 + "5"])
def test_a_number_is_the_same_whether_its_block_has_a_quote_or_not(number: str) -> None:
    post = published_post()
    row = f"{post.platform},{post.platform_post_id},views,{number},{AT},s,"
    assert (
        len(take(f"{LONG}\n{row}\n".encode())[1])
        == len(take(f'{LONG}\n{row}\n"{post.platform}",lost\n'.encode())[1]) - 1
    )


def test_ids_with_spaces_inside_are_rejects_and_no_stack_trace() -> None:
    rows = [[*row[:6], "01 23456789ab4def8123456789ab ef"] for row in long_rows(published_post(), 16)]
    assert take(text_of(rows))[0].rejected == 16


def test_two_names_of_one_column_are_refused_in_a_sentence() -> None:
    post = published_post()
    with pytest.raises(Refused):
        take(
            f"platform,platform_post_id,metric_type,observed_at,increase,metric_value\n{post.platform},{post.platform_post_id},views,{AT},1,2\n".encode()
        )


def test_a_line_that_is_not_utf_8_is_a_reject_whatever_its_neighbours() -> None:
    post = published_post()
    row = f"{post.platform},{post.platform_post_id},views,5,{AT},s,,caf".encode() + b"\xe9\n"
    assert take(f"{LONG},title\n".encode() + row)[0].rejected == 1


def test_an_overlong_line_is_never_cut_and_taken(monkeypatch: Any) -> None:
    monkeypatch.setattr(inputs, "BLOCK", 300)
    for module in (inputs, post_file):
        monkeypatch.setattr(module, "LONGEST_LINE", 1000)
    post = published_post()
    header = "note,platform,platform_post_id,observed_at,metric_type,increase\n"
    tail = f",{post.platform},{post.platform_post_id},{AT},views,123456\n"
    # The block is its first 300 bytes and 1,000 more, which end within the number.
    row = "x" * (1300 - len(tail) + 5) + tail
    counted, rejects = take((header + row).encode())
    assert (counted.accepted, len(rejects), total()) == (0, 1, 0)


@pytest.mark.parametrize("last", [600, 1500])
def test_a_rest_that_is_longer_than_a_block_is_read_on_from(last: int, monkeypatch: Any, tmp_path: Path) -> None:
    """One short line, twenty long ones, and one that goes on far beyond the block."""
    monkeypatch.setattr(inputs, "BLOCK", 5000)
    rows = [[*row, '"'.ljust(100, "x")] for row in long_rows(published_post(), 100)]
    rows[0][-1], rows[21][-1] = '"', '"'.ljust(last, "x")
    path = tmp_path / "a.csv"
    path.write_bytes(text_of(rows, f"{LONG},title"))
    with path.open("rb") as stream:
        assert take(b"", stream=stream)[0].accepted == 100


def test_ndjson_may_begin_with_a_mark_of_its_encoding() -> None:
    post = published_post()
    line = {
        "platform": post.platform,
        "platform_post_id": post.platform_post_id,
        "metric_type": "views",
        "increase": 5,
        "observed_at": AT,
    }
    assert take(b"\xef\xbb\xbf" + json.dumps(line).encode() + b"\n", HowToRead(Format.NDJSON))[0].accepted == 1


def test_the_rejects_file_is_never_the_input(tmp_path: Path) -> None:
    post, path = published_post(), tmp_path / "day.csv"
    content = text_of(long_rows(post, 2))
    path.write_bytes(content)
    with suppress(CommandError):
        call_command("ingest_metrics", str(path), "--rejects", str(path))
    assert path.exists()
    assert path.read_bytes() == content


@pytest.mark.usefixtures("small_blocks")
def test_a_run_that_goes_on_with_another_rejects_file_leaves_whole_files(tmp_path: Path) -> None:
    rows = long_rows(published_post(), 100)
    rows[2][1] = rows[90][1] = "lost"
    content = text_of(rows)
    cut_short(content, 2, rejects=tmp_path / "a.csv")
    take(content, rejects=tmp_path / "b.csv")
    assert b"\0" not in (tmp_path / "b.csv").read_bytes()
    assert rejected(tmp_path / "b.csv")[-1]["line"] == "92"


@pytest.mark.usefixtures("small_blocks")
def test_a_run_that_goes_on_with_a_shorter_rejects_file_writes_no_nul(tmp_path: Path) -> None:
    rows = long_rows(published_post(), 100)
    rows[2][1] = rows[90][1] = "lost"
    content = text_of(rows)
    cut_short(content, 2, rejects=tmp_path / "a.csv")
    (tmp_path / "a.csv").write_bytes(b"line,reason,row\r\n")
    take(content, rejects=tmp_path / "a.csv")
    assert b"\0" not in (tmp_path / "a.csv").read_bytes()


@pytest.mark.usefixtures("small_blocks")
def test_a_second_run_does_not_take_the_rejects_of_the_first(tmp_path: Path) -> None:
    rows = long_rows(published_post(), 100)
    rows[2][1] = "lost"
    content, path = text_of(rows), tmp_path / "r.csv"
    second: list[threading.Thread] = []

    def run() -> None:
        with suppress(Conflict):
            take(content, rejects=path)
        connections.close_all()

    class Slow(Rejects):
        """The second run begins while the first has written and not yet committed."""

        def write(self, rejects: Any, piece: Any) -> None:
            super().write(rejects, piece)
            if not second:
                second.append(threading.Thread(target=run))
                second[0].start()
                while not waiting_for_a_lock():
                    time.sleep(0.01)

    slow = Slow(path, lambda _: None)
    files.ingest_input(stream=io.BytesIO(content), name="t", how=CSV, actor=COLLECTOR, rejects=slow)
    second[0].join()
    assert len(rejected(path)) == 1


def test_a_month_that_closes_between_check_and_merge_is_told_in_a_sentence(monkeypatch: Any, tmp_path: Path) -> None:
    post, path, copied = published_post(), tmp_path / "day.csv", ingest._copied
    path.write_bytes(text_of(long_rows(post, 2)))

    def close_first(*given: Any) -> Any:
        together(lambda: archive(this_month()))
        return copied(*given)

    monkeypatch.setattr(ingest, "_copied", close_first)
    with pytest.raises(CommandError):
        call_command("ingest_metrics", str(path))


def test_a_name_that_is_not_utf_8_is_a_sentence_or_works(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv")
    Path(path).write_bytes(text_of(long_rows(published_post(), 2)))
    try:
        call_command("ingest_metrics", path, stdout=io.StringIO())
    except CommandError:
        return
    assert total() == 3


def fine_or_told(content: bytes) -> Any:
    try:
        return take(content, PARQUET)[0]
    except Refused as refusal:
        return refusal.sentence


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1_700_000_000_000_000_001], pa.timestamp("ns")),
        pa.array([1_700_000_000_000_000_001], pa.timestamp("ns", "UTC")),
        pa.array([9_000_000_000_000_000], pa.timestamp("ms")),
        pa.array([1_700_000_000_000], pa.timestamp("ms", "Mars/Olympus")),
        pa.array([1], pa.time64("ns")),
        pa.array([1], pa.duration("ns")),
        pa.array([3_000_000_000], pa.duration("s")),
        pa.array([[1, 2]]),
        pa.array([{"a": 1}]),
        pa.array([None]),
        pa.array([Decimal("5.00")], pa.decimal128(10, 2)),
        pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")]),
        pa.array([b"\xff" * 16], pa.binary()),
    ],
    ids=lambda column: str(column.type).replace(" ", ""),
)
@pytest.mark.parametrize("name", ["note", "observed_at"])
def test_a_parquet_column_of_an_odd_type_is_no_stack_trace(column: Any, name: str) -> None:
    told = fine_or_told(parquet(published_post(), **{name: column}))
    if name == "note":
        assert getattr(told, "accepted", told) == 1


def test_a_decimal_of_a_whole_number_in_parquet_counts() -> None:
    assert (
        take(parquet(published_post(), increase=pa.array([Decimal("5.00")], pa.decimal128(10, 2))), PARQUET)[0].accepted
        == 1
    )


def test_a_parquet_file_that_is_damaged_is_told_in_a_sentence(tmp_path: Path) -> None:
    content = bytearray(parquet(published_post(), source=[str(uuid4()) for _ in range(1000)]))
    content[200:2000] = b"\xff" * 1800
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(CommandError) as told:
        call_command("ingest_metrics", str(path))
    assert "None" not in str(told.value)


def test_rejects_of_parquet_show_their_own_row(tmp_path: Path) -> None:
    post, path = published_post(), tmp_path / "r.csv"
    take(
        parquet(post, source=["a", "b"], note=["two\nlines", "one"], platform_post_id=["first", "second"]),
        PARQUET,
        rejects=path,
    )
    assert [name in row["row"] for name, row in zip(["first", "second"], rejected(path), strict=True)] == [True, True]


def test_bytes_that_are_text_are_text_in_parquet() -> None:
    post = published_post()
    content = parquet(post, platform_post_id=pa.array([str(post.platform_post_id).encode()], pa.binary()))
    assert take(content, PARQUET)[0].accepted == 1


def test_a_wide_file_without_any_measure_is_refused_at_once() -> None:
    post = published_post()
    with pytest.raises(Refused):
        take(f"platform,platform_post_id,observed_at,title\n{post.platform},{post.platform_post_id},{AT},x\n".encode())


def test_all_empty_rows_in_blocks(monkeypatch: Any) -> None:
    post = published_post()
    body = text_of(long_rows(post, 40)).split(b"\n")
    for sep in (b"\n", b"\r\n"):
        for gap in (0, 1, 2, 25):
            for last in (True, False):
                content = (sep * (gap + 1)).join(body[:-1]) + (sep * (gap + 1) if last else b"")
                bad = content.replace(b",5,", b",five,")
                for size in (300, 333, 400, 777, 1500):
                    monkeypatch.setattr(inputs, "BLOCK", size)
                    counted, rejects = take(bad)
                    assert (counted.row_count, counted.rejected) == (40, 1), (sep, gap, last, size)
                    assert [each.line for each in rejects] == [1 + 5 * (gap + 1)], (sep, gap, last, size)


@pytest.mark.parametrize("before", [1, 3])
def test_an_overlong_line_after_an_empty_one_costs_no_other_row(before: int, monkeypatch: Any) -> None:
    """The rest of the line is no row, no line behind the block is passed over, and later lines keep their numbers."""
    monkeypatch.setattr(inputs, "BLOCK", 5000)
    for module in (inputs, post_file):
        monkeypatch.setattr(module, "LONGEST_LINE", 1000)
    rows = [[*row, '"'] for row in long_rows(published_post(), 100)]  # the quote makes every block a careful one
    lines = text_of(rows, f"{LONG},title").splitlines(keepends=True)
    for place in range(15, 45):
        content = b"".join([*lines[:place], b"\n" * before, b"x" * 1500 + b"\n", *lines[place:]])
        counted, rejects = take(content)
        assert counted.accepted + counted.duplicates == 100, (place, counted)
        assert [reject.line for reject in rejects] == [place + before + 1]


def test_a_deadlock_with_plain_sql_is_no_stack_trace(tmp_path: Path) -> None:
    """Writers in plain SQL need not keep our order of ids; PostgreSQL may then give up our piece."""
    post, path = published_post(), tmp_path / "a.csv"
    rows = sorted(long_rows(post, 2), key=lambda row: row[6])
    path.write_bytes(text_of(rows))
    told: list[Any] = []

    def run() -> None:
        try:
            call_command("ingest_metrics", str(path), stdout=io.StringIO())
        except BaseException as error:
            told.append(error)
        finally:
            connections.close_all()

    def insert(row: list[str]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO metric_event (event_id, campaign_id, agent_id, content_id, platform, metric_type,"
                " metric_value, observed_at, source) VALUES (%s, %s, %s, %s, 'x', 'views', 1, %s, 's')",
                [row[6], post.campaign_id, post.artifact.task.agent_id, post.artifact_id, row[4]],
            )

    thread = threading.Thread(target=run)
    with suppress(OperationalError), transaction.atomic():  # PostgreSQL gives up whom it finds first
        insert(rows[1])
        thread.start()
        while not waiting_for_a_lock():
            time.sleep(0.005)
        insert(rows[0])
    thread.join(30)
    assert not told or isinstance(told[0], CommandError), repr(told[0])[:200]


def test_many_unordered_writers_leave_sums_that_agree() -> None:
    posts = [published_post() for _ in range(3)]
    given = [UUID(int=n) for n in range(40)]

    def collector(seed: int) -> Any:
        def verb() -> None:
            chance = random.Random(seed)
            for _ in range(6):
                batch = []
                for _ in range(30):
                    post, n = chance.choice(posts), chance.randrange(40)
                    at = NOON + timedelta(minutes=n * 7)
                    kind = chance.choice(["views", "likes"])
                    if chance.random() < 0.5:
                        batch.append(
                            of(
                                post,
                                metric_type=kind,
                                total=n * 3,
                                observed_at=at,
                                event_id=given[n] if chance.random() < 0.5 else None,
                            )
                        )
                    else:
                        batch.append(
                            of(
                                post,
                                metric_type=kind,
                                increase=n,
                                observed_at=at,
                                event_id=given[n] if chance.random() < 0.5 else None,
                            )
                        )
                append(*batch)

        return verb

    def sql() -> None:
        chance = random.Random(9)
        for _ in range(20):
            picked = [(chance.choice(posts), chance.randrange(40)) for _ in range(10)]
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO metric_event (campaign_id, agent_id, content_id, platform, metric_type,"
                    " metric_value, observed_at, source) VALUES "
                    + ", ".join(["(%s, %s, %s, %s, 'views', 1, %s, 's')"] * 10),
                    [
                        value
                        for p, n in picked
                        for value in (
                            p.campaign_id,
                            p.artifact.task.agent_id,
                            p.artifact_id,
                            p.platform,
                            NOON + timedelta(minutes=n * 7),
                        )
                    ],
                )

    together(*map(collector, range(4)), sql)
    events, sums = stored()
    assert events == sums > 0
    assert MetricRollup.objects.aggregate(n=Sum("count"))["n"] == MetricEvent.objects.count() >= 200


def test_a_record_over_several_lines_after_empty_ones_may_cross_the_end_of_a_block(monkeypatch: Any) -> None:
    rows = [[*row, "plain"] for row in long_rows(published_post(), 60)]
    rows[39][-1] = "two" + "\n" * 15 + "lines"
    before, quoted, after = text_of(rows, f"{LONG},title").partition(b'"two')
    place = before.rindex(b"\n") + 1
    content = before[:place] + b"\n" * 22 + before[place:] + quoted + after
    header = content.index(b"\n") + 1
    monkeypatch.setattr(inputs, "BLOCK", content.index(quoted) + 8 - header)  # it ends within the record
    counted, rejects = take(content)
    assert (counted.accepted, rejects) == (60, [])


def test_columns_of_parquet_that_nobody_wants_are_not_read() -> None:
    content = parquet(published_post(), note=["x" * 20_000] * 2000)
    tracemalloc.start()
    take(content, PARQUET)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000, f"{peak:,} bytes"


def test_totals_that_rise_and_fall_sum_up_to_the_highest_in_any_order_at_once() -> None:
    posts, chance = [published_post() for _ in range(2)], random.Random(5)
    batch = []
    for _ in range(150):
        named = uuid4() if chance.random() < 0.5 else None
        batch.append(
            of(
                chance.choice(posts),
                metric_type=chance.choice(["views", "likes"]),
                source=chance.choice(["a", "b"]),
                total=chance.randrange(1000),
                observed_at=NOON + timedelta(minutes=chance.randrange(60)),
                event_id=named,
            )
        )
    highest: dict[Any, int] = {}
    for each in batch:
        key = each.platform_post_id, each.metric_type, each.source
        highest[key] = max(highest.get(key, 0), each.total or 0)

    def collector(seed: int) -> Any:
        def verb() -> None:
            order = random.Random(seed)
            shuffled = order.sample(batch, len(batch))
            while shuffled:
                size = order.randrange(1, 30)
                append(*shuffled[:size])
                shuffled = shuffled[size:]

        return verb

    together(*map(collector, range(4)))
    assert stored() == (sum(highest.values()), sum(highest.values()))
