"""How far a judge can be trusted: what it decided beside what people then decided on the same artifact.

A judge's decision and a person's make a pair when the person's is the last word on the artifact, and came later. The
last word is what the newest item that was not withdrawn holds, the second level's over the first's; an item that waits,
because nobody has decided or because a decision was taken back, and one that was escalated, hold none. Where people
were never asked (another program keeps their desk, and writes plain SQL) it is their newest decision. Each version of
a piece of work is an artifact of its own. Of a judge that decided twice on one, the later decision counts.

Two kinds of pairs are never mixed. *Overrides* are what people were given because the judge was unsure, escalated or
hit a policy: they say how the judge does where it has doubts. *Blind samples* were drawn by chance from what would have
been published, and decided without seeing the judge: they say how it does where nobody looks.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, TypeVar, cast
from uuid import UUID

from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from audit.base import FIRST_INSTANT
from content.choices import Decision, NextAction, ReviewerType, ReviewItemStatus, ReviewReason
from content.services.intervals import Share

MOST = 20_000  # decisions of judges that are looked at, the newest
KEPT = 300  # seconds for which a count is good
PERIODS = {30: "30 days", 90: "90 days", 0: "all time"}  # by their days
EDGES = tuple(Decimal(edge) for edge in ("0", "0.5", "0.6", "0.7", "0.8", "0.85", "0.9", "0.95", "1"))

T = TypeVar("T")

EVIDENCE = """
    WITH judged AS MATERIALIZED (
        SELECT review_id, artifact_id, task_id, COALESCE(reviewer_id, '') AS judge, decision, confidence_score,
               next_action, COALESCE(policy_hits, '[]') NOT IN ('[]', '{}') AS has_hits, created_at
        FROM review_decision
        WHERE reviewer_type = %(judge)s AND created_at >= %(since)s
        ORDER BY created_at DESC, review_id DESC LIMIT %(most)s
    ), last_words AS (
        SELECT j.*, asked.reason,
               (SELECT campaign_id FROM artifact a WHERE a.artifact_id = j.artifact_id) AS campaign_id,
               CASE WHEN (word.created_at, word.review_id) > (j.created_at, j.review_id)
                    AND word.decision <> %(escalate)s THEN word.decision END AS people
        FROM judged j
        LEFT JOIN LATERAL (
            SELECT (array_agg(i.reason ORDER BY i.level, i.opened_at, i.review_item_id))[1] AS reason,
                   (array_agg(CASE WHEN i.status = %(decided)s THEN i.decision_id END
                              ORDER BY i.level DESC, i.opened_at DESC, i.review_item_id DESC)
                    FILTER (WHERE i.status <> %(withdrawn)s))[1] AS decision_id
            FROM review_item i WHERE i.task_id = j.task_id AND i.artifact_id = j.artifact_id
        ) asked ON true
        LEFT JOIN LATERAL (
            (SELECT d.decision, d.created_at, d.review_id FROM review_decision d
             WHERE asked.decision_id IS NOT NULL AND d.review_id = asked.decision_id
               AND d.artifact_id = j.artifact_id AND d.reviewer_type = %(human)s)
            UNION ALL
            (SELECT d.decision, d.created_at, d.review_id FROM review_decision d
             WHERE asked.reason IS NULL AND d.artifact_id = j.artifact_id AND d.reviewer_type = %(human)s
             ORDER BY d.created_at DESC, d.review_id DESC LIMIT 1)
        ) word ON true
    ), counted AS (
        SELECT DISTINCT ON (artifact_id, judge) * FROM last_words
        ORDER BY artifact_id, judge, (people IS NULL), created_at DESC, review_id DESC
    )
    SELECT judge, campaign_id, confidence_score, decision, COALESCE(reason, ''), COALESCE(people, ''),
           COALESCE(reason IN (%(low_confidence)s, %(blind_sample)s),
                    decision = %(approve)s AND next_action = %(publish)s AND NOT has_hits),
           count(*), min(created_at), (SELECT count(*) FROM judged)
    FROM counted GROUP BY 1, 2, 3, 4, 5, 6, 7
"""


class Count(NamedTuple):
    """So many decisions of a judge that are alike in all this."""

    judge: str
    campaign_id: UUID
    confidence: Decimal
    decision: str
    reason: str  # why people were asked; empty when they were not
    people: str  # their last word; empty when there is none
    passes: bool  # an approval whose confidence alone says whether people see it
    amount: int

    @property
    def is_blind(self) -> bool:
        return self.reason == ReviewReason.BLIND_SAMPLE


@dataclass(frozen=True)
class Evidence:
    """What judges decided since a day, with what people said to it."""

    counts: Sequence[Count]
    oldest: datetime | None
    is_cut: bool  # there are more than were looked at
    at: datetime

    def of(self, *, judge: str | None = None, campaign_id: UUID | None = None) -> "Evidence":
        kept = [
            count for count in self.counts if judge in (None, count.judge) and campaign_id in (None, count.campaign_id)
        ]
        return Evidence(kept, self.oldest, self.is_cut, self.at)

    @property
    def amount(self) -> int:
        return sum(count.amount for count in self.counts)

    def judges(self) -> list[str]:
        """Those on whose decisions people decided most often come first."""
        weight: dict[str, tuple[int, int]] = {}
        for count in self.counts:
            decided, judged = weight.get(count.judge, (0, 0))
            weight[count.judge] = decided + (count.amount if count.people else 0), judged + count.amount
        return sorted(weight, key=lambda judge: (weight[judge], judge), reverse=True)


@dataclass(frozen=True)
class Agreement(Share):
    """How often people said the same as a judge, beside how sure it had said it was."""

    stated: float = 0.0  # the mean of its confidence in these decisions

    @classmethod
    def among(cls, counts: Iterable[Count]) -> "Agreement":
        pairs = [count for count in counts if count.people and count.decision != Decision.ESCALATE]
        whole = sum(pair.amount for pair in pairs)
        agreed = sum(pair.amount for pair in pairs if pair.people == pair.decision)
        stated = sum(pair.amount * pair.confidence for pair in pairs)
        return cls(agreed, whole, float(stated / whole) if whole else 0.0)

    @property
    def verdict(self) -> str:
        """Whether the judge is as good as it says; in doubt, that it cannot be told."""
        if self.is_few:
            return "too few to tell"
        if self.lean:
            return "surer than it should be" if self.lean > 0 else "more careful than it needs to be"
        return "about as sure as it should be"

    @property
    def lean(self) -> int:
        """1 where the judge claims more than people confirm, -1 where less; 0 where chance may have done it."""
        if self.is_few or self.low <= self.stated <= self.high:
            return 0
        return 1 if self.stated > self.high else -1


@dataclass(frozen=True)
class Both:
    """The two kinds of pairs, which are never mixed."""

    overrides: Agreement
    blind: Agreement

    @classmethod
    def among(cls, counts: Iterable[Count]) -> "Both":
        counts = list(counts)
        overrides = Agreement.among(count for count in counts if not count.is_blind)
        return cls(overrides, Agreement.among(count for count in counts if count.is_blind))


@dataclass(frozen=True)
class Band:
    low: Decimal
    high: Decimal
    pairs: Both
    judged: int  # decisions of the judge in this band, whether people saw them or not

    @property
    def name(self) -> str:
        return f"{self.low:.2f}–{self.high:.2f}"


@dataclass(frozen=True)
class Escalated:
    """A judge that escalates agrees with nobody: it asks. What people made of it is told beside."""

    amount: int
    approved: int
    rejected: int


@dataclass(frozen=True)
class Record:
    """One judge: all its pairs, and by how sure it was."""

    judge: str
    judged: int
    pairs: Both
    bands: Sequence[Band]
    escalated: Escalated


def band_of(confidence: Decimal) -> int:
    """The place of the band: each begins with its lower edge, and the last holds 1 too."""
    return min(bisect_right(EDGES, confidence), len(EDGES) - 1) - 1


def evidence(days: int) -> Evidence:
    """What the newest decisions of judges in the last `days` led to (0: in all time); a few minutes old at most."""
    return cast(Evidence, cache.get_or_set(f"calibration:{days}", lambda: read_evidence(days), KEPT))


def kept_with_evidence(key: str, days: int, made_of: Callable[[Evidence], T]) -> T:
    """What is made of the evidence, kept until that is counted anew: the sums of thousands of counts take a while."""
    found = cache.get(key)
    if found is None:
        seen = evidence(days)
        found = made_of(seen)
        age = (timezone.now() - seen.at).total_seconds()
        cache.set(key, found, max(KEPT - age, 1))
    return cast(T, found)


def read_evidence(days: int) -> Evidence:
    """In one query over a bounded number of rows, whatever the tables hold."""
    now = timezone.now()
    since = now - timedelta(days=days) if days else FIRST_INSTANT
    with connection.cursor() as cursor:
        cursor.execute(EVIDENCE, {"since": since, "most": MOST, **WORDS})
        rows = cursor.fetchall()
    counts = [Count(*row[:8]) for row in rows]
    oldest = min((row[8] for row in rows), default=None)
    return Evidence(counts, oldest, bool(rows) and rows[0][9] >= MOST, now)


WORDS = {
    "judge": ReviewerType.JUDGE.value,
    "human": ReviewerType.HUMAN.value,
    "escalate": Decision.ESCALATE.value,
    "approve": Decision.APPROVE.value,
    "publish": NextAction.PUBLISH.value,
    "decided": ReviewItemStatus.DECIDED.value,
    "withdrawn": ReviewItemStatus.WITHDRAWN.value,
    "low_confidence": ReviewReason.LOW_CONFIDENCE.value,
    "blind_sample": ReviewReason.BLIND_SAMPLE.value,
}


def record(seen: Evidence, judge: str) -> Record:
    """One judge among the evidence."""
    mine = seen.of(judge=judge).counts
    banded: list[list[Count]] = [[] for _ in EDGES[:-1]]
    for count in mine:
        banded[band_of(count.confidence)].append(count)
    asked = [count for count in mine if count.decision == Decision.ESCALATE]

    def answered(decision: Decision) -> int:
        return sum(count.amount for count in asked if count.people == decision)

    return Record(
        judge=judge,
        judged=sum(count.amount for count in mine),
        pairs=Both.among(mine),
        bands=[
            Band(EDGES[place], EDGES[place + 1], Both.among(counts), sum(count.amount for count in counts))
            for place, counts in enumerate(banded)
        ],
        escalated=Escalated(
            sum(count.amount for count in asked), answered(Decision.APPROVE), answered(Decision.REJECT)
        ),
    )


RECENT = 90  # days that count for what an item's page says


def agreement(
    judge_id: str, confidence: Decimal, campaign_id: UUID | None = None, *, blind: bool = False
) -> Agreement | None:
    """How often people agreed of late with this judge when it was about that sure; None when there are too few pairs.

    For the page of an item: cheap, and a few minutes old at most. Never to be shown before a blind sample is decided.
    """
    key = f"calibration:bands:{campaign_id or ''}"
    known = kept_with_evidence(key, RECENT, lambda seen: _by_band(seen.of(campaign_id=campaign_id)))
    found = known.get((judge_id, band_of(confidence)))
    share = found and (found.blind if blind else found.overrides)
    return share if share and not share.is_few else None


def _by_band(seen: Evidence) -> dict[tuple[str, int], Both]:
    groups: dict[tuple[str, int], list[Count]] = {}
    for count in seen.counts:
        groups.setdefault((count.judge, band_of(count.confidence)), []).append(count)
    return {key: Both.among(counts) for key, counts in groups.items()}
