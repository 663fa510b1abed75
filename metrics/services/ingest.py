"""Measurements become metric events, by one way for files, for the API and for Python.

A batch is checked as a set. Increases of which none is known yet are copied straight into metric_event; all others
into a staging table, from which one statement merges them. The trigger on metric_event brings the sums of hours and
days up to date, and one row tells the audit log: all of it commits, or none.

An increase is the event's value as it stands. Platforms report running totals: there the value is the increase over
the highest total that this source has reported before, so that the sum of increases is the highest total whatever the
order of arrival, and the same observation twice adds nothing.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import chain, islice
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from django.db import IntegrityError, connection, transaction

from audit.choices import EntityType
from audit.context import Actor, acting
from audit.errors import sqlstate
from audit.receivers import record
from content.choices import PublishStatus
from content.post_file import LARGEST, LONGEST_ID, Reject
from metrics.choices import MetricType
from metrics.partitions import EARLIEST, EVENTS, Month, closed, existing, this_month

LONGEST_NAME = 100  # characters of a platform and of a source; both stand in unique indexes
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
CHUNK = 50_000  # measurements that are held in memory at once
EPOCH, POSTGRESQL_EPOCH = datetime(1970, 1, 1, tzinfo=UTC), 946_684_800_000_000  # microseconds between them
KINDS = {str(kind): place for place, kind in enumerate(MetricType, 1)}  # as PostgreSQL counts an array
NOTHING = bytes(16)


Thing = tuple[str, "str | UUID"]  # a platform, and the id of a post there or of an artifact


class Measurement(NamedTuple):
    """What `source` saw of a post, named by its platform's id, or of an artifact on a platform.

    Either an increase or a running total. Two are the same event when their `event_id` and `observed_at` are; without
    an id, when all that they say is. `line` is where it stands in its file or request. A tuple, since there are
    millions of them.
    """

    line: int
    platform: str
    metric_type: str
    observed_at: datetime
    source: str
    platform_post_id: str | None = None
    artifact_id: UUID | None = None
    increase: int | None = None
    total: int | None = None
    event_id: UUID | None = None


@dataclass(frozen=True)
class BatchResult:
    """Each measurement is in exactly one of the four: a new event, nothing new, a total that fell, a reject."""

    accepted: int
    duplicates: int
    corrections: int
    rejects: list[Reject]


@dataclass
class Columns:
    """Measurements by column, for numpy: a million of them in the time that Python takes for some thousands.

    What a row is of and who measured it are told by their place in `things` and `sources`. A row that is left out has
    its reason in `problems`, by its line.
    """

    lines: Any
    things: list[Thing]
    thing: Any
    sources: list[str]
    source: Any
    kind: Any  # place in KINDS, from 1
    instant: Any  # microseconds since 1970
    value: Any
    is_total: Any
    key: Any  # 16 bytes; of no meaning where none was given
    id_given: Any
    problems: dict[int, str] = field(default_factory=dict)

    def only(self, good: Any) -> None:
        for name in ("lines", "thing", "source", "kind", "instant", "value", "is_total", "key", "id_given"):
            setattr(self, name, getattr(self, name)[good])

    def leave_out(self, bad: Any, why: Callable[[int], str]) -> None:
        """`why` is asked with the place of each row that is bad."""
        if bad.any():
            for place in np.flatnonzero(bad):
                self.problems[int(self.lines[place])] = why(int(place))
            self.only(~bad)


MEMORY = "64MB"  # for a sort: what is left over of a batch would be written to the disk, and read again
STAGING = """
    CREATE TEMPORARY TABLE metric_staging (
        item integer, post integer, kind smallint, source integer, observed_at timestamptz, value bigint,
        is_total boolean, id_given boolean, event_id uuid
    ) ON COMMIT DROP
"""

# How COPY wants a row in binary: how many columns, and before each its length.


def _row_of(*kinds: str) -> np.dtype[Any]:
    parts = [("columns", ">i2")]
    for place, kind in enumerate(kinds):
        parts += [(f"size{place}", ">i4"), (f"c{place}", kind)]
    return np.dtype(parts)


def _rows(row: np.dtype[Any], columns: int, *values: Any) -> Any:
    """`columns` is how many there are in all: after these, others may follow that have no fixed length."""
    table = np.empty(len(values[-1]), row)
    table["columns"] = columns
    for place, value in enumerate(values):
        table[f"size{place}"], table[f"c{place}"] = row[f"c{place}"].itemsize, value
    return table


_STAGED = _row_of(">i4", ">i4", ">i2", ">i4", ">i8", ">i8", "i1", "i1", "V16")
_HEAD = _row_of("V16", ">i8", ">i8")  # of an event; then what has no fixed length
_FIRST, _LAST = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"

# Which post and which artifact each one means is settled once. A post that comes out later is for the next batch.
BY_POST = """
    SELECT k.name, k.key, p.publish_id, p.platform_post_id, a.artifact_id, a.campaign_id, t.agent_id, t.trace_id
    FROM unnest(%s::text[], %s::text[]) k(name, key)
    JOIN publish_record p ON p.platform = k.name AND p.platform_post_id = k.key AND p.status = %s
    JOIN artifact a USING (artifact_id) JOIN task t USING (task_id)
"""
BY_ARTIFACT = """
    SELECT k.name, k.key, p.publish_id, p.platform_post_id, a.artifact_id, a.campaign_id, t.agent_id, t.trace_id
    FROM unnest(%s::text[], %s::uuid[]) k(name, key)
    JOIN artifact a ON a.artifact_id = k.key JOIN task t USING (task_id)
    LEFT JOIN publish_record p ON p.artifact_id = k.key AND p.platform = k.name AND p.status = %s
"""

# Two batches lock the posts that they share in one order: the second waits, and then sees the totals of the first.
# Increases need no lock; their ids settle who counts.
LOCK_POSTS = """
    SELECT FROM publish_record WHERE publish_id IN (
        SELECT (%(publishes)s::uuid[])[post] FROM metric_staging WHERE is_total)
    ORDER BY publish_id FOR NO KEY UPDATE
"""

# What a batch says twice under one id counts once, as its first line says it.
TAKE_OUT_REPEATED = """
    DELETE FROM metric_staging s USING metric_staging o
    WHERE o.event_id = s.event_id AND o.observed_at = s.observed_at AND o.item < s.item
"""

# A total under a taken id changes nothing. Each one looks into the index of its month; a join might read all events.
TAKE_OUT_KNOWN = """
    DELETE FROM metric_staging s
    WHERE s.is_total AND s.id_given
      AND (SELECT true FROM metric_event e WHERE e.event_id = s.event_id AND e.observed_at = s.observed_at)
"""

EVENT = "event_id, campaign_id, agent_id, content_id, platform, metric_type, metric_value, observed_at, source"
POSTS = """
    unnest(%(publishes)s::uuid[], %(contents)s::uuid[], %(campaigns)s::uuid[], %(agents)s::text[],
           %(platforms)s::text[])
    WITH ORDINALITY p(publish_id, content_id, campaign_id, agent_id, platform, place)
"""
STAGED = f"""
    SELECT s.item, s.event_id, p.campaign_id, p.agent_id, p.content_id, p.platform,
           (%(kinds)s::text[])[s.kind] AS metric_type, s.value, s.observed_at,
           (%(sources)s::text[])[s.source] AS source, p.publish_id, s.id_given
    FROM metric_staging s JOIN {POSTS} ON p.place = s.post
"""

# In one order, since batches that share ids wait for each other here.
INSERT = f"INSERT INTO metric_event ({EVENT})"
IN_ORDER = "ORDER BY event_id, observed_at, item"
UNLESS_KNOWN = "ON CONFLICT (event_id, observed_at) DO NOTHING"
INCREASES = f"""
    {INSERT} SELECT {EVENT.replace("metric_value", "value")} FROM ({STAGED} WHERE NOT s.is_total) i
    {IN_ORDER} {UNLESS_KNOWN}
"""

STRAIGHT = """
    COPY metric_event (event_id, metric_value, observed_at, campaign_id, agent_id, content_id, platform, metric_type,
                       source)
    FROM STDIN (FORMAT BINARY)
"""
SOME = 4096  # rows that are sent at once
SAMPLED = 64  # one of so many is looked up first: a batch that was there before, or a part of it, is seen by that
ANY_KNOWN = """
    SELECT EXISTS (SELECT FROM unnest(%s::uuid[], %s::timestamptz[]) s(event_id, observed_at) WHERE (
        SELECT true FROM metric_event e WHERE e.event_id = s.event_id AND e.observed_at = s.observed_at))
"""
UNIQUE_VIOLATION = "23505"  # SQLSTATE

TOTALS = f"""
    WITH observed AS MATERIALIZED (
        SELECT i.*, k.highest_total, k.last_total AS known_total, k.last_observed_at AS known_at,
               max(i.value) OVER (post ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS highest_in_batch,
               lag(i.value) OVER post AS previous_total, lag(i.observed_at) OVER post AS previous_at
        FROM ({STAGED} WHERE s.is_total) i
        LEFT JOIN metric_counter k
               ON k.publish_id = i.publish_id AND k.metric_type = i.metric_type AND k.source = i.source
        WINDOW post AS (PARTITION BY i.publish_id, i.metric_type, i.source ORDER BY i.observed_at, i.value, i.item)
    ), risen AS MATERIALIZED (
        SELECT o.*, value - COALESCE(GREATEST(highest_total, highest_in_batch), 0) AS metric_value FROM observed o
        WHERE value > COALESCE(GREATEST(highest_total, highest_in_batch), -1)
    ), events AS (
        {INSERT} SELECT {EVENT} FROM (
            SELECT item, {EVENT} FROM risen
            UNION ALL
            SELECT item, {EVENT.replace("metric_value", "value")} FROM ({STAGED} WHERE NOT s.is_total) i
        ) e {IN_ORDER} {UNLESS_KNOWN}
        RETURNING event_id, observed_at
    ), counters AS (
        -- A total without a known one before it, nor one in this batch, is the first: its event is all of it.
        INSERT INTO metric_counter AS k (publish_id, campaign_id, agent_id, platform, metric_type, source,
                                         highest_total, last_total, last_observed_at, first_total, first_observed_at)
        SELECT publish_id, campaign_id, agent_id, platform, metric_type, source, max(value),
               (array_agg(value ORDER BY observed_at DESC, value DESC))[1], max(observed_at),
               (array_agg(value ORDER BY observed_at, value))[1], min(observed_at)
        FROM observed GROUP BY publish_id, campaign_id, agent_id, platform, metric_type, source
        ORDER BY publish_id, metric_type, source
        ON CONFLICT (publish_id, metric_type, source) DO UPDATE
        SET highest_total = GREATEST(k.highest_total, EXCLUDED.highest_total),
            last_total = CASE WHEN EXCLUDED.last_observed_at > k.last_observed_at
                              THEN EXCLUDED.last_total ELSE k.last_total END,
            last_observed_at = GREATEST(k.last_observed_at, EXCLUDED.last_observed_at)
    ), corrections AS (
        -- A total that arrives late is lower than what we know, but has not fallen: only newer ones count.
        INSERT INTO metric_correction (publish_id, metric_type, source, from_total, to_total, observed_at)
        SELECT publish_id, metric_type, source, f.before, value, observed_at
        FROM observed
        CROSS JOIN LATERAL (SELECT CASE WHEN known_at IS NULL OR previous_at > known_at THEN previous_total
                                        ELSE known_total END AS before) f
        WHERE value < f.before AND observed_at > COALESCE(known_at, '-infinity')
          AND observed_at > COALESCE(previous_at, '-infinity')
        ON CONFLICT (publish_id, metric_type, source, observed_at) DO NOTHING
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM corrections),
           EXISTS (SELECT FROM risen r WHERE r.id_given AND NOT EXISTS (
               SELECT FROM events e WHERE e.event_id = r.event_id AND e.observed_at = r.observed_at))
"""


class _Post(NamedTuple):
    """What a measurement is of. `place` counts the posts of a batch from 1, as PostgreSQL does."""

    place: int
    publish_id: UUID | None  # None: an artifact that no post of that platform is known to be out of
    platform_post_id: str | None
    content_id: UUID
    campaign_id: UUID
    agent_id: str
    trace_id: str
    platform: str


@dataclass
class _Batch:
    """What is known of a batch so far."""

    posts: dict[Thing, _Post] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    items: int = 0  # that can be stored
    staged: int = 0
    has_totals: bool = False
    has_named_totals: bool = False  # totals that came with an id of their own
    rejects: dict[int, str] = field(default_factory=dict)


@transaction.atomic
def append_events(
    *, measurements: Iterable[Measurement | Columns], actor: Actor, inputs_hash: str | Callable[[], str] = ""
) -> BatchResult:
    """Take what was measured, all in one transaction; returns what was new, and what could not be taken and why.

    Idempotent: a batch that was taken already adds nothing, so that whoever was killed simply starts again. Memory is
    bounded, however many there are. `inputs_hash` is the SHA-256 of what they were read from, for the audit log, or
    tells it once everything was read; without one, it is that of the measurements.

    An artifact needs no published post for an increase: a post may be out before its publisher has said so, and what
    was measured must not be lost for that. A running total belongs to one post.
    """
    batch, digest = _Batch(), sha256()
    chunks = _checked(_in_columns(measurements), batch, None if inputs_hash else digest)
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL work_mem = '{MEMORY}'")
        begin = list(islice(chunks, 2))
        events, corrections = (_copied(cursor, batch, begin[0]) if len(begin) == 1 else None), 0
        if events is None:
            events, corrections = _merged(cursor, batch, chain(begin, chunks)) if begin else (0, 0)
    result = BatchResult(
        accepted=events,
        duplicates=batch.items - events - corrections,
        corrections=corrections,
        rejects=[Reject(line, why) for line, why in sorted(batch.rejects.items())],
    )
    if events or corrections:
        told = inputs_hash() if callable(inputs_hash) else inputs_hash
        _tell(result, batch, actor, told or digest.hexdigest())
    return result


def _tell(result: BatchResult, batch: _Batch, actor: Actor, inputs_hash: str) -> None:
    """One audit row for the whole batch: what was read, by its hash, and what came of it."""
    rejected = len(result.rejects)
    campaigns = {post.campaign_id for post in batch.posts.values()}
    traces = {post.trace_id for post in batch.posts.values()}
    # What is of one trace is told there; the traces of a mixed batch find their sums by their artifacts.
    with acting(actor, trace_id=traces.pop() if len(traces) == 1 else None):
        record(
            EntityType.METRIC_EVENT,
            inputs_hash,
            "ingest",
            {
                "accepted": [None, result.accepted],
                "duplicates": [None, result.duplicates],
                "corrections": [None, result.corrections],
                "rejected": [None, rejected],
            },
            inputs_hash=inputs_hash,
            output_summary=f"{result.accepted:,} new, {result.duplicates:,} known, {result.corrections:,} fallen,"
            f" {rejected:,} rejected",
            campaign_id=campaigns.pop() if len(campaigns) == 1 else None,
        )


def _merged(cursor: Any, batch: _Batch, chunks: Iterable[Columns]) -> tuple[int, int]:
    """By way of the staging table; returns how many events and corrections there were."""
    cursor.execute(STAGING)
    for chunk in chunks:
        _stage(cursor, batch, chunk)
    found = _merge(cursor, batch)
    cursor.execute("DROP TABLE metric_staging")
    return found


def _merge(cursor: Any, batch: _Batch) -> tuple[int, int]:
    """A given id may be taken at this very moment, by another batch: what was counted on its total is counted again."""
    posts = sorted(batch.posts.values())
    parameters = {
        "kinds": list(KINDS),
        "sources": list(batch.sources),
        "publishes": [post.publish_id for post in posts],
        "contents": [post.content_id for post in posts],
        "campaigns": [post.campaign_id for post in posts],
        "agents": [post.agent_id for post in posts],
        "platforms": [post.platform for post in posts],
    }
    if not batch.has_totals:
        cursor.execute(INCREASES, parameters)
        return cursor.rowcount, 0
    cursor.execute(LOCK_POSTS, parameters)
    if batch.has_named_totals:
        cursor.execute(TAKE_OUT_REPEATED)
    while True:
        if batch.has_named_totals:
            cursor.execute(TAKE_OUT_KNOWN)
        savepoint = transaction.savepoint()
        cursor.execute(TOTALS, parameters)
        events, corrections, id_was_taken = cursor.fetchone()
        if not id_was_taken:
            transaction.savepoint_commit(savepoint)
            return events, corrections
        transaction.savepoint_rollback(savepoint)


# Into the database


def _copied(cursor: Any, batch: _Batch, chunk: Columns) -> int | None:
    """How many new events there are; None when the chunk is none of increases alone, or something in it is known.

    Nothing is in between, neither a staging table nor ON CONFLICT, which costs half as much again as the rows. A known
    row that was not in the sample is refused by the table's key, as is one that comes twice, or in another batch at
    this moment. Only the one chunk of its batch goes this way: several statements, one after the other, would lock the
    sums in no order.
    """
    if chunk.is_total.any():
        return None
    # In the order of the key, since batches that share ids wait for each other here.
    high, low = chunk.key.view(">u8").reshape(-1, 2).T
    chunk.only(np.lexsort((chunk.instant, low, high)))
    sample = slice(None, None, SAMPLED)
    keys = [UUID(bytes=key) for key in chunk.key[sample].tolist()]
    cursor.execute(ANY_KNOWN, [keys, [EPOCH + timedelta(microseconds=at) for at in chunk.instant[sample].tolist()]])
    if cursor.fetchone() == (True,):
        return None
    heads = _rows(_HEAD, 9, chunk.key, chunk.value, chunk.instant - POSTGRESQL_EPOCH)
    rows = zip(heads.view(f"V{_HEAD.itemsize}").tolist(), *_tails(batch, chunk), strict=True)
    try:
        with transaction.atomic(), connection.wrap_database_errors, cursor.copy(STRAIGHT) as copy:
            copy.write(_FIRST)
            while some := b"".join(chain.from_iterable(islice(rows, SOME))):  # PostgreSQL works on these meanwhile
                copy.write(some)
            copy.write(_LAST)
    except IntegrityError as error:
        if sqlstate(error) != UNIQUE_VIOLATION:
            raise
        return None
    return len(chunk.lines)


def _tails(batch: _Batch, chunk: Columns) -> Iterator[Iterator[bytes]]:
    """The columns that have no fixed length: what each row is of, its measure and its source. Few differ."""
    posts = [
        _sized(post.campaign_id.bytes, post.agent_id.encode(), post.content_id.bytes, post.platform.encode())
        if (post := batch.posts.get(thing))
        else b""
        for thing in chunk.things
    ]
    kinds = [b"", *(_sized(name.encode()) for name in KINDS)]
    sources = [_sized(name.encode()) for name in chunk.sources]
    for few, places in ((posts, chunk.thing), (kinds, chunk.kind), (sources, chunk.source)):
        yield map(few.__getitem__, places.tolist())


def _sized(*values: bytes) -> bytes:
    return b"".join(len(value).to_bytes(4, "big") + value for value in values)


def _stage(cursor: Any, batch: _Batch, chunk: Columns) -> None:
    posts = [batch.posts.get(thing) for thing in chunk.things]
    sources = np.array([batch.sources.setdefault(name, len(batch.sources) + 1) for name in chunk.sources])
    places = np.array([post.place if post else 0 for post in posts])
    first, batch.staged = batch.staged, batch.staged + len(chunk.lines)
    batch.has_totals |= bool(chunk.is_total.any())
    batch.has_named_totals |= bool((chunk.is_total & chunk.id_given).any())
    rows = _rows(
        _STAGED,
        9,
        np.arange(first, batch.staged),
        places[chunk.thing],
        chunk.kind,
        sources[chunk.source],
        chunk.instant - POSTGRESQL_EPOCH,
        chunk.value,
        chunk.is_total,
        chunk.id_given,
        chunk.key,
    )
    with cursor.copy("COPY metric_staging FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(_FIRST + rows.tobytes() + _LAST)


def _checked(chunks: Iterable[Columns], batch: _Batch, digest: Any) -> Iterator[Columns]:
    """Those that can be stored; why the others cannot goes to the batch's rejects, by line."""
    for chunk in chunks:
        if digest:
            arrays = [each for each in vars(chunk).values() if isinstance(each, np.ndarray)]
            digest.update(b"".join(np.ascontiguousarray(each).tobytes() for each in arrays))
            digest.update(repr((chunk.things, chunk.sources)).encode())
        _leave_out_what_cannot_be_stored(chunk)
        with connection.cursor() as cursor:
            _make_ids(chunk, _find_posts(cursor, batch, chunk))
        batch.rejects |= chunk.problems
        batch.items += len(chunk.lines)
        if len(chunk.lines):
            yield chunk


def _find_posts(cursor: Any, batch: _Batch, chunk: Columns) -> list[_Post | None]:
    """What each of the chunk's things is; rows of what is not known, or has no running total, are left out."""
    used = [chunk.things[place] for place in np.unique(chunk.thing)]
    new = [thing for thing in used if thing not in batch.posts]
    for query, kind in ((BY_POST, str), (BY_ARTIFACT, UUID)):
        if keys := [thing for thing in new if isinstance(thing[1], kind)]:
            names, values = zip(*keys, strict=True)
            cursor.execute(query, [list(names), list(values), PublishStatus.PUBLISHED])
            for platform, key, publish, post_id, content, campaign, agent, trace in cursor.fetchall():
                place = len(batch.posts) + 1
                batch.posts[platform, key] = _Post(place, publish, post_id, content, campaign, agent, trace, platform)
    posts = [batch.posts.get(thing) for thing in chunk.things]
    unknown = np.array([post is None for post in posts], bool)
    unpublished = np.array([post is None or post.publish_id is None for post in posts], bool)
    chunk.leave_out(
        unknown[chunk.thing] | (chunk.is_total.astype(bool) & unpublished[chunk.thing]),
        lambda place: _why_unknown(chunk.things[chunk.thing[place]], posts[chunk.thing[place]] is not None),
    )
    return posts


def _make_ids(chunk: Columns, posts: Sequence[_Post | None]) -> None:
    """For rows that came without one, shaped like a UUIDv7 of what they say, so that a replay is recognised.

    The time stands first, so that the index stays local.
    """
    named = list(KINDS)
    nameless = np.flatnonzero(~chunk.id_given.astype(bool))
    if not len(nameless):
        return
    made = []
    columns = (chunk.thing, chunk.kind, chunk.source, chunk.instant, chunk.value, chunk.is_total)
    for thing, kind, source, instant, value, is_total in zip(
        *(each[nameless].tolist() for each in columns), strict=True
    ):
        post = posts[thing]
        assert post is not None
        who = f"{named[kind - 1]}\x1f{chunk.sources[source]}"
        if is_total:
            said = f"{post.platform}\x1f{post.platform_post_id}\x1f{who}\x1f{value}"
        else:
            said = f"increase\x1f{post.platform}\x1f{post.content_id}\x1f{who}\x1f{instant}\x1f{value}"
        digest = bytearray(sha256(said.encode()).digest()[:10])
        digest[0], digest[2] = 0x70 | digest[0] & 0x0F, 0x80 | digest[2] & 0x3F
        made.append((instant // 1000).to_bytes(6, "big") + digest)
    chunk.key = chunk.key.copy()
    chunk.key[nameless] = np.frombuffer(b"".join(made), "V16")


# What cannot be stored


def _in_columns(measurements: Iterable[Measurement | Columns]) -> Iterator[Columns]:
    """In chunks that fit into memory."""
    left = iter(measurements)
    rows: list[Measurement] = []
    for each in left:
        if isinstance(each, Columns):
            yield each
        else:
            rows.append(each)
            if len(rows) == CHUNK:
                yield columns_of(rows)
                rows = []
    if rows:
        yield columns_of(rows)


def columns_of(rows: Iterable[Measurement]) -> Columns:
    things: dict[Thing, int] = {}
    sources: dict[str, int] = {}
    problems: dict[int, str] = {}
    found: list[tuple[Any, ...]] = []
    keys: list[bytes] = []
    for row in rows:
        line, platform, kind, observed_at, source, post_id, artifact_id, increase, total, event_id = row
        value = increase if total is None else total
        if (
            (increase is None) == (total is None)
            or type(value) is not int
            or not 0 <= value <= LARGEST
            or (post_id is None) == (artifact_id is None)
        ):
            problems[line] = _problem(row)
            continue
        age = observed_at - EPOCH
        found.append(
            (
                line,
                things.setdefault((platform, post_id or artifact_id or ""), len(things)),
                sources.setdefault(source, len(sources)),
                KINDS[kind],
                (age.days * 86_400 + age.seconds) * 1_000_000 + age.microseconds,
                value,
                total is not None,
                event_id is not None,
            )
        )
        keys.append(event_id.bytes if event_id else NOTHING)
    columns = zip(*found, strict=True) if found else [()] * 8
    lines, thing, by, kinds, instant, values, is_total, id_given = (np.array(each, np.int64) for each in columns)
    return Columns(
        lines=lines,
        things=list(things),
        thing=thing,
        sources=list(sources),
        source=by,
        kind=kinds,
        instant=instant,
        value=values,
        is_total=is_total.astype(bool),
        key=np.frombuffer(b"".join(keys), "V16"),
        id_given=id_given.astype(bool),
        problems=problems,
    )


def _leave_out_what_cannot_be_stored(chunk: Columns) -> None:
    """A single bad one would refuse the whole batch. Names and months are few: each is looked at once."""
    _leave_out(chunk, "thing", [_bad_thing(thing) for thing in chunk.things])
    _leave_out(chunk, "source", [_bad_name("source", name) for name in chunk.sources])
    present, gone = existing(EVENTS), closed(EVENTS)
    months = chunk.instant.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    first_of = {index: _no_month(int(index), present, gone) for index in np.unique(months)}
    if any(first_of.values()):
        bad = np.isin(months, [index for index, reason in first_of.items() if reason])
        chunk.leave_out(bad, lambda row: first_of[months[row]])


def _leave_out(chunk: Columns, column: str, reasons: Sequence[str]) -> None:
    """Rows whose thing or source has a reason."""
    if any(reasons):
        place_of = getattr(chunk, column)
        chunk.leave_out(np.array([bool(reason) for reason in reasons])[place_of], lambda row: reasons[place_of[row]])


def _bad_thing(thing: Thing) -> str:
    platform, key = thing
    if problem := _bad_name("platform", platform):
        return problem
    if isinstance(key, str):
        if len(key) > LONGEST_ID or "\x00" in key:
            return f"platform_post_id has more than {LONGEST_ID} characters, or a NUL."
    elif platform != platform.lower():
        return f"platform is written in small letters: {platform.lower()}."
    return ""


def _bad_name(column: str, value: str) -> str:
    if not 1 <= len(value) <= LONGEST_NAME or value != value.strip() or CONTROL.search(value):
        return f"{column} is a name of 1 to {LONGEST_NAME} characters, without spaces around it."
    return ""


def _problem(row: Measurement) -> str:
    """Why this row says too little or too much."""
    number = row.increase if row.total is None else row.total
    if (row.increase is None) == (row.total is None) or number is None:
        return "give either increase or total."
    if type(number) is not int or not 0 <= number <= LARGEST:
        return f"the number is no whole one from 0 to {LARGEST}."
    return "give either artifact_id or platform_post_id."


def _why_unknown(thing: Thing, artifact_is_known: bool) -> str:
    platform, key = thing
    if isinstance(key, str):
        unknown = f"no published {platform} post has the id {key!r}"
        return f"{unknown}; report it as published, or adopt it (adopt_posts)."
    if not artifact_is_known:
        return f"there is no artifact {key}."
    return (
        f"artifact {key} has no published {platform} post, and a running total is one post's;"
        " report it as published first, or give an increase."
    )


def _no_month(index: int, present: set[Month], gone: set[Month]) -> str:
    """Why nothing can be stored that was observed in the month so many months after January 1970; empty when it can."""
    year, month_of_year = 1970 + index // 12, index % 12 + 1
    if not 1 <= year <= 9999:
        return "this time lies outside of the calendar."
    month = Month(year, month_of_year)
    if month in present and month not in gone:  # a month that is being archived is still there
        return ""
    if month in gone:
        return f"{month} is closed, since it was or is being archived; restore it first."
    if month < EARLIEST:
        return f"{month} lies before {EARLIEST.year}."
    if month > this_month().plus(EVENTS.ahead):
        return f"{month} lies in the future."
    return f"there is no month {month} yet; make it: manage.py rotate_partitions --from {min(month, this_month())}"
