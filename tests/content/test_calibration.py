"""Which decisions of people count for and against a judge, in worlds that are counted by hand."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from audit.context import Actor
from campaigns.models import Task
from campaigns.services import claim_tasks
from config.groups import ADMINISTRATOR, REVIEWER
from content.choices import Decision, ReviewReason
from content.models import Artifact, ReviewDecision, ReviewItem
from content.services import calibration, decide_review_item, intervals, settle_decisions, undo_decision
from content.services.calibration import Agreement, Record, agreement, read_evidence, record
from content.services.intervals import Share, wilson
from tests.console.judges import judges_at_work
from tests.factories import judged, make_agent, make_artifact, make_campaign, make_user, worker

pytestmark = pytest.mark.django_db
APPROVE, REJECT, ESCALATE = Decision.APPROVE, Decision.REJECT, Decision.ESCALATE


def decide(artifact: Artifact, decision: str, person: Any = None) -> ReviewItem:
    item = ReviewItem.objects.open().get(artifact=artifact)
    actor = Actor.human(person or make_user(REVIEWER))
    decide_review_item(item_id=item.pk, decision=decision, reasons=["Read it."], actor=actor)
    item.refresh_from_db()
    return item


def pair(confidence: str, people: str = "", **fields: Any) -> Artifact:
    """An artifact that a judge approved so surely, and what people made of it."""
    artifact = judged(confidence=confidence, **fields).artifact
    if people:
        decide(artifact, people)
    return artifact


def checked(confidence: str, people: str = "", **fields: Any) -> Artifact:
    """A blind sample."""
    return pair(confidence, people, campaign=make_campaign(constraints={"review_policy": {"blind_share": 1}}), **fields)


def by_sql(artifact: Artifact, decision: str, reviewer: str | None, kind: str = "judge", **fields: Any) -> None:
    """A decision that comes through no service; `later` in minutes."""
    values = {"confidence": "0.90", "action": "publish", "later": 0, "hits": None} | fields
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO review_decision (task_id, artifact_id, decision, confidence_score, reasons, policy_hits,"
            " next_action, reviewer_type, reviewer_id, created_at, trace_id) VALUES (%s, %s, %s, %s, '[]', %s, %s, %s,"
            " %s, now() + %s * interval '1 minute', %s)",
            [
                *(artifact.task_id, artifact.pk, decision, values["confidence"], values["hits"], values["action"]),
                *(kind, reviewer, values["later"], "0" * 32),
            ],
        )


def mine(judge: str = "judge-2") -> Record:
    return record(read_evidence(0), judge)


def told(share: Share) -> tuple[int, int]:
    return share.part, share.whole


def overrides(judge: str = "judge-2") -> tuple[int, int]:
    return told(mine(judge).pairs.overrides)


def bands(found: Record) -> dict[str, tuple[tuple[int, int], tuple[int, int], int]]:
    """(overrides, blind samples, decisions of the judge) of each band in which it decided anything."""
    return {
        band.name: (told(band.pairs.overrides), told(band.pairs.blind), band.judged)
        for band in found.bands
        if band.judged
    }


def test_pairs_are_counted_by_band_and_by_how_people_came_to_see_them() -> None:
    for confidence, people in [("0.62", APPROVE), ("0.62", REJECT), ("0.66", APPROVE), ("0.60", REJECT)]:
        pair(confidence, people)
    pair("0.599", APPROVE)
    pair("0.84", "")  # waits
    pair("0.97", APPROVE, policy_hits=["medical claims"])
    for people in (APPROVE, APPROVE, REJECT):
        checked("0.95", people)
    checked("1", APPROVE)
    checked("0.97", "")  # waits
    pair("0.96")  # published without a person
    assert bands(mine()) == {
        "0.50–0.60": ((1, 1), (0, 0), 1),
        "0.60–0.70": ((2, 4), (0, 0), 4),
        "0.80–0.85": ((0, 0), (0, 0), 1),
        "0.95–1.00": ((1, 1), (3, 4), 7),
    }
    assert told(mine().pairs.overrides) == (4, 6)
    assert told(mine().pairs.blind) == (3, 4)
    assert mine().judged == 13


def test_the_stated_confidence_is_that_of_the_pairs() -> None:
    pair("0.60", APPROVE)
    pair("0.70", REJECT)
    pair("0.10")
    assert mine().pairs.overrides.stated == pytest.approx(0.65)


def test_what_was_taken_back_counts_no_more_and_what_was_decided_anew_does() -> None:
    person = make_user(REVIEWER)
    artifact = pair("0.62")
    item = decide(artifact, APPROVE, person)
    undo_decision(item_id=item.pk, actor=Actor.human(person))
    assert overrides() == (0, 0)
    decide(artifact, REJECT)
    assert overrides() == (0, 1)


def test_a_decision_that_was_taken_back_and_then_withdrawn_counts_no_more() -> None:
    person = make_user(REVIEWER)
    artifact = pair("0.62")
    undo_decision(item_id=decide(artifact, APPROVE, person).pk, actor=Actor.human(person))
    ReviewItem.objects.filter(artifact=artifact).withdraw("stop")
    assert overrides() == (0, 0)


@pytest.mark.parametrize(("second", "expected"), [(APPROVE, (1, 1)), (REJECT, (0, 1)), ("", (0, 0))])
def test_the_second_person_has_the_last_word(second: str, expected: tuple[int, int]) -> None:
    artifact = pair("0.62", ESCALATE)
    if second:
        decide(artifact, second)
    assert overrides() == expected


def test_the_administrators_have_the_very_last_word() -> None:
    artifact = pair("0.62", ESCALATE)
    item = decide(artifact, APPROVE, make_user(ADMINISTRATOR))
    third = ReviewItem.objects.create(
        artifact=artifact, task=artifact.task, campaign=artifact.campaign, reason=ReviewReason.ESCALATED, level=3
    )
    assert overrides() == (0, 0)  # they have not spoken yet
    by_sql(artifact, REJECT, f"user:{uuid4()}", "human", later=1)
    word = ReviewDecision.objects.get(artifact=artifact, decision=REJECT)
    third.change("reject", status="decided", decision=word)
    assert (item.level, overrides()) == (2, (0, 1))


def test_an_escalation_that_was_withdrawn_leaves_no_word() -> None:
    artifact = pair("0.62", ESCALATE)
    ReviewItem.objects.filter(artifact=artifact).withdraw("reject")
    assert overrides() == (0, 0)


def test_a_blind_sample_that_a_person_escalates_is_still_one() -> None:
    decide(checked("0.95", ESCALATE), REJECT)
    assert (told(mine().pairs.overrides), told(mine().pairs.blind)) == ((0, 0), (0, 1))


def test_escalations_of_a_judge_agree_with_nobody() -> None:
    pair("0.70", APPROVE, decision=ESCALATE)
    pair("0.70", REJECT, decision=ESCALATE)
    pair("0.70", REJECT, decision=ESCALATE)
    pair("0.70", "", decision=ESCALATE)
    found = mine()
    assert told(found.pairs.overrides) == (0, 0)
    assert (found.escalated.amount, found.escalated.approved, found.escalated.rejected) == (4, 1, 2)


def test_each_version_is_an_artifact_of_its_own() -> None:
    first = pair("0.62", REJECT)
    settle_decisions(actor=Actor.system("run_due"), now=timezone.now() + timedelta(hours=1))
    retry = Task.objects.get(parent_task=first.task).change("test", not_before=None)
    (task,) = claim_tasks(agent=retry.agent, actor=worker(retry))
    second = make_artifact(task=task, content=b"Better.")
    pair("0.72", APPROVE, artifact=second)
    assert bands(mine()) == {"0.60–0.70": ((0, 1), (0, 0), 1), "0.70–0.80": ((1, 1), (0, 0), 1)}
    assert second.version == 2


def test_of_a_judge_that_decided_twice_the_later_decision_counts() -> None:
    artifact = pair("0.62")
    by_sql(artifact, REJECT, "judge-2", confidence="0.95", later=1)
    assert bands(mine()) == {"0.95–1.00": ((0, 0), (0, 0), 1)}
    by_sql(artifact, APPROVE, "judge-2", confidence="0.70", later=90)
    item = ReviewItem.objects.get(artifact=artifact)
    by_sql(artifact, REJECT, f"user:{uuid4()}", "human", later=5)
    item.change("reject", status="decided", decision=ReviewDecision.objects.get(reviewer_type="human"))
    # What it said after the person's word is no prediction of it.
    assert bands(mine()) == {"0.95–1.00": ((1, 1), (0, 0), 1)}


def test_two_judges_on_one_artifact_are_told_apart() -> None:
    artifact = pair("0.62")
    by_sql(artifact, REJECT, "judge-9", confidence="0.80")
    by_sql(artifact, REJECT, None, confidence="0.30")
    decide(artifact, REJECT)
    assert (overrides("judge-2"), overrides("judge-9")) == ((0, 1), (1, 1))
    assert set(read_evidence(0).judges()) == {"judge-2", "judge-9", ""}
    assert (overrides(""), mine("").judged) == ((1, 1), 1)  # one that gave no name


def test_people_who_decide_in_plain_sql_count_where_nobody_else_was_asked() -> None:
    published = pair("0.96")
    by_sql(published, REJECT, f"user:{uuid4()}", "human", later=1)
    assert overrides() == (0, 1)
    waiting = pair("0.62")
    by_sql(waiting, APPROVE, f"user:{uuid4()}", "human", later=1)
    assert overrides() == (0, 1)  # the item still waits for the word that counts


def test_of_several_words_in_plain_sql_the_newest_counts_and_none_of_before_the_judge() -> None:
    artifact = pair("0.96")
    by_sql(artifact, REJECT, f"user:{uuid4()}", "human", later=-1)
    assert overrides() == (0, 0)
    by_sql(artifact, REJECT, f"user:{uuid4()}", "human", later=1)
    by_sql(artifact, APPROVE, f"user:{uuid4()}", "human", later=2)
    assert overrides() == (1, 1)
    by_sql(artifact, ESCALATE, f"user:{uuid4()}", "human", later=3)
    assert overrides() == (0, 0)


@pytest.mark.parametrize("whose", ["a judge's own", "another artifact's"])
def test_an_item_that_holds_no_word_of_a_person_on_it_holds_none(whose: str) -> None:
    artifact, other = pair("0.62"), pair("0.72", REJECT)
    words = {
        "a judge's own": artifact.decisions.get(),
        "another artifact's": other.decisions.get(reviewer_type="human"),
    }
    item = ReviewItem.objects.get(artifact=artifact)
    item.change("approve", status="decided", decision=words[whose])
    assert bands(mine()) == {"0.60–0.70": ((0, 0), (0, 0), 1), "0.70–0.80": ((0, 1), (0, 0), 1)}


def test_a_judge_in_plain_sql_counts_as_any_other() -> None:
    artifact = make_artifact()
    by_sql(artifact, REJECT, "judge-7", confidence="0.55", action="human_review")
    from content.services import follow_decisions

    assert follow_decisions(actor=Actor.system("run_due")) == 1
    decide(artifact, REJECT)
    assert overrides("judge-7") == (1, 1)


def test_what_passes_on_confidence_alone() -> None:
    """The approvals that a threshold rules: not those with hits, of unknown content, or that were escalated."""
    pair("0.62", APPROVE)
    pair("0.96")
    checked("0.97")
    pair("0.98", policy_hits=["medical claims"])
    pair("0.70", decision=ESCALATE)
    pair("0.40", decision=REJECT)
    pair("0.91", content_ref="https://example.org/unknown")
    by_sql(make_artifact(), APPROVE, "judge-2", confidence="0.88", hits='["x"]')
    by_sql(make_artifact(), APPROVE, "judge-2", confidence="0.89", hits="{}")
    passing = sorted(str(count.confidence) for count in read_evidence(0).counts if count.passes)
    assert passing == ["0.620", "0.890", "0.960", "0.970"]


def test_the_window_and_the_bound(monkeypatch: Any) -> None:
    artifact = make_artifact()
    by_sql(artifact, APPROVE, "judge-2", confidence="0.51", later=-31 * 24 * 60)
    pair("0.62", APPROVE)
    assert [read_evidence(days).amount for days in (30, 90, 0)] == [1, 2, 2]
    assert not read_evidence(0).is_cut
    monkeypatch.setattr(calibration, "MOST", 1)
    newest = read_evidence(0)
    assert (newest.amount, newest.is_cut, newest.counts[0].confidence) == (1, True, Decimal("0.620"))
    monkeypatch.setattr(calibration, "MOST", 2)
    by_sql(artifact, REJECT, "judge-2", later=-1)
    by_sql(artifact, REJECT, "judge-2", later=-2)
    assert (read_evidence(0).amount, read_evidence(0).is_cut) == (2, True)
    by_sql(artifact, REJECT, "judge-2", later=1)
    by_sql(artifact, REJECT, "judge-2", later=2)
    assert (read_evidence(0).amount, read_evidence(0).is_cut) == (1, True)  # one decision, told twice


def test_it_is_one_question_whatever_there_is(django_assert_num_queries: Any) -> None:
    for n in range(3):
        pair("0.62", APPROVE, judge=make_agent(f"judge-{n}"))
    with django_assert_num_queries(1):
        read_evidence(90)


def test_evidence_is_of_a_judge_and_a_campaign() -> None:
    campaign, other = make_campaign(), make_agent("judge-9")
    pair("0.62", APPROVE, campaign=campaign)
    pair("0.62", REJECT, campaign=campaign, judge=other)
    pair("0.62", REJECT)
    seen = read_evidence(0)
    assert told(Agreement.among(seen.counts)) == (1, 3)
    assert told(Agreement.among(seen.of(judge="judge-2").counts)) == (1, 2)
    assert told(Agreement.among(seen.of(campaign_id=campaign.pk).counts)) == (1, 2)
    assert told(Agreement.among(seen.of(judge="judge-9", campaign_id=campaign.pk).counts)) == (0, 1)


@pytest.mark.parametrize(("part", "whole"), [(71, 84), (0, 10), (10, 10), (1, 3), (499, 500)])
def test_the_interval_holds_what_would_give_such_a_share_in_95_of_100_cases(part: int, whole: int) -> None:
    """Its ends are the shares from which the seen one is 1.96 standard deviations away."""
    seen = part / whole
    low, high = wilson(seen, whole)
    for end in (low, high):
        if 0 < end < 1:
            assert abs(seen - end) == pytest.approx(1.959964 * (end * (1 - end) / whole) ** 0.5, rel=1e-6)
    assert 0 <= low <= seen <= high <= 1
    assert (low == 0) == (part == 0)
    assert (high == 1) == (part == whole)


def test_figures_from_a_textbook() -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    for part, whole, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (1, 29, 0.0061, 0.1718)]:
        assert wilson(part / whole, whole) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    assert wilson(0, 20)[1] == pytest.approx(0.1611, abs=1e-4)
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("part", "whole", "stated", "verdict"),
    [
        (9, 9, 0.5, "too few to tell"),
        (71, 84, 0.95, "surer than it should be"),
        (71, 84, 0.85, "about as sure as it should be"),
        (71, 84, 0.60, "more careful than it needs to be"),
    ],
)
def test_stated_against_actual_in_words(part: int, whole: int, stated: float, verdict: str) -> None:
    assert Agreement(part, whole, stated).verdict == verdict


def test_what_an_items_page_says(monkeypatch: Any) -> None:
    monkeypatch.setattr(intervals, "FEW", 3)
    campaign = make_campaign()
    for people in (APPROVE, APPROVE, REJECT):
        pair("0.62", people, campaign=campaign)
    pair("0.72", APPROVE)
    found = agreement("judge-2", Decimal("0.65"))
    assert found is not None
    assert told(found) == (2, 3)
    assert agreement("judge-2", Decimal("0.72")) is None  # too few
    assert agreement("judge-9", Decimal("0.65")) is None
    assert agreement("judge-2", Decimal("0.65"), blind=True) is None
    assert agreement("judge-2", Decimal("0.65"), campaign.pk) == found
    assert agreement("judge-2", Decimal("0.65"), make_campaign().pk) is None


def test_what_an_items_page_says_is_asked_once_in_some_minutes(django_assert_num_queries: Any) -> None:
    pair("0.62", APPROVE)
    with django_assert_num_queries(1):
        for _ in range(5):
            agreement("judge-2", Decimal("0.65"))


@pytest.mark.django_db(transaction=True)
def test_the_newest_decisions_are_found_by_index(connect: Any) -> None:
    """No scan of a table, and no sort of one: each of the bounded rows is looked up."""
    judges_at_work()
    connect("gatehouse_migrator", autocommit=True).execute("ANALYZE artifact, review_decision, review_item")
    with connection.cursor() as cursor:
        given = {"since": timezone.now() - timedelta(days=90), "most": 100, **calibration.WORDS}
        cursor.execute(f"EXPLAIN {calibration.EVIDENCE}", given)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    for index in ("idx_review_created", "idx_review_item_task", "idx_review_artifact", "artifact_pkey"):
        assert f"using {index}" in plan, plan
    assert "Seq Scan" not in plan
