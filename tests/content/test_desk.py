"""Claims, what comes next, escalation to the Administrators, and one decision on many."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from audit.context import Actor
from audit.errors import Conflict, Invalid, NotAllowed
from audit.models import AuditLog
from campaigns.services import control_campaign
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from content.choices import Decision, ReviewItemStatus, ReviewReason
from content.models import ReviewDecision, ReviewItem
from content.services import (
    claim_item,
    claim_next,
    decide_items,
    decide_review_item,
    open_review_item,
    release_item,
    undo_decision,
    undo_items,
)
from content.services.desk import CLAIM, MOST, Queue, Seen
from content.services.policy import ReviewPolicy
from tests.concurrency import one_then_other, together
from tests.factories import (
    decided_item,
    make_agent,
    make_artifact,
    make_campaign,
    make_user,
    waiting_item,
)

pytestmark = pytest.mark.django_db


def reviewer(name: str = "") -> User:
    return make_user(REVIEWER, **({"display_name": name} if name else {}))


def decide(item: ReviewItem, person: User, decision: str = Decision.APPROVE, **given: Any) -> ReviewDecision:
    return decide_review_item(
        item_id=item.pk, decision=decision, reasons=["Read it."], actor=Actor.human(person), **given
    )


def claim(item: ReviewItem, person: User) -> ReviewItem:
    return claim_item(item_id=item.pk, actor=Actor.human(person))


def following(person: User, **given: Any) -> ReviewItem | None:
    return claim_next(actor=Actor.human(person), **given)


def lapsed(item: ReviewItem) -> None:
    item.change("test", claimed_until=timezone.now() - timedelta(seconds=1))


def test_a_claim_keeps_others_out_until_it_ends() -> None:
    item, dawit, sara = waiting_item(), reviewer("Dawit Haile"), reviewer()
    claimed = claim(item, dawit)
    assert claimed.claimed_by == dawit
    assert timedelta(0) < claimed.claimed_until - timezone.now() <= CLAIM
    with pytest.raises(Conflict, match="Dawit Haile is deciding on it, until"):
        claim(item, sara)
    with pytest.raises(Conflict, match="Dawit Haile is deciding on it"):
        decide(item, sara)
    assert not ReviewDecision.objects.filter(artifact=item.artifact, reviewer_type="human").exists()

    lapsed(item)
    assert claim(item, sara).claimed_by == sara
    with pytest.raises(Conflict, match="is deciding on it"):
        decide(item, dawit)
    assert decide(item, sara)


def test_nobody_needs_a_claim_to_decide() -> None:
    assert decide(waiting_item(), reviewer())


def test_a_claim_ends_with_the_decision() -> None:
    item, person = waiting_item(), reviewer()
    claim(item, person)
    decide(item, person)
    item.refresh_from_db()
    assert (item.claimed_by, item.claimed_until) == (None, None)


def test_renewing_prolongs_and_leaves_no_rows() -> None:
    item, person = waiting_item(), reviewer()
    first = claim(item, person)
    second = claim(item, person)
    assert second.claimed_until > first.claimed_until
    release_item(item_id=item.pk, actor=Actor.human(person))
    rows = AuditLog.objects.filter(entity_type="review_item", entity_id=item.pk).exclude(action="create")
    told = [(row.action, row.changes) for row in rows.order_by("created_at")]
    assert told == [
        ("claim", {"claimed_by": [None, str(person.pk)]}),
        ("release", {"claimed_by": [str(person.pk), None]}),
    ]


def test_a_leaver_frees_its_claim_and_no_later_one() -> None:
    item, person, other = waiting_item(), reviewer(), reviewer()
    first = claim(item, person)
    again = claim(item, person)  # the page was loaded anew, and the old one says good-bye only now
    assert not release_item(item_id=item.pk, actor=Actor.human(person), until=first.claimed_until)
    assert not release_item(item_id=item.pk, actor=Actor.human(other), until=again.claimed_until)
    with pytest.raises(Conflict):
        claim(item, other)
    assert release_item(item_id=item.pk, actor=Actor.human(person), until=again.claimed_until)
    assert claim(item, other)


def test_whoever_renews_what_is_decided_or_withdrawn_is_told_by_whom() -> None:
    person, sara = reviewer(), make_user(OPERATOR, display_name="Sara Bekele")
    decided, stopped = decided_item(person=reviewer("Dawit Haile")), waiting_item()
    with pytest.raises(Conflict, match="Dawit Haile decided to approve it at"):
        claim(decided, person)
    control_campaign("stop", campaign_id=stopped.campaign_id, actor=Actor.human(sara), reason="Over.")
    for verb in (claim, decide):
        with pytest.raises(Conflict, match="Sara Bekele stopped the campaign at"):
            verb(stopped, person)


@pytest.mark.parametrize("group", [OPERATOR, AUDITOR])
def test_claims_are_for_those_who_may_decide(group: str) -> None:
    item, person = waiting_item(), make_user(group)
    for verb in (lambda: claim(item, person), lambda: following(person)):
        with pytest.raises(NotAllowed, match="You may not decide"):
            verb()
    with pytest.raises(NotAllowed, match="Only a person"):
        claim_next(actor=Actor.system("run_due"))


def test_next_is_the_riskiest_then_the_one_that_is_due_first() -> None:
    now = timezone.now()
    later, sooner, risky = (waiting_item(confidence=confidence) for confidence in ("0.7", "0.7", "0.2"))
    sooner.change("test", due_at=now)
    later.change("test", due_at=now + timedelta(hours=1))
    handed = [following(reviewer()) for _ in range(4)]
    assert handed == [risky, sooner, later, None]


def test_next_leaves_out_what_this_person_must_not_decide() -> None:
    person, other = make_user(ADMINISTRATOR), reviewer()
    waiting_item(actor=Actor.human(person))  # planned by them
    waiting_item(agent=make_agent(owner=person))  # made by their agent
    escalated = decided_item(Decision.ESCALATE, person=person)
    assert following(person) is None
    assert following(other)
    found = {item for _ in range(3) if (item := following(reviewer()))}
    assert ReviewItem.objects.open().get(artifact=escalated.artifact) in found | {following(other)}


def test_next_is_ones_own_claim_before_anything_less_urgent() -> None:
    person = reviewer()
    first = waiting_item(confidence="0.2")
    waiting_item(confidence="0.7")
    assert following(person) == first
    assert following(person) == first
    assert following(person, skipped=[first.pk]) != first


def test_next_respects_the_filters() -> None:
    tiktok = make_campaign(target_platforms=["tiktok"])
    waiting_item(confidence="0.1")
    image = waiting_item(artifact_type="image", confidence="0.6")
    on_tiktok = waiting_item(campaign=tiktok, confidence="0.7")
    hit = waiting_item(policy_hits=["medical claims"], confidence="0.8")
    for queue, expected in (
        (Queue(artifact_type="image"), image),
        (Queue(campaign=tiktok.pk), on_tiktok),
        (Queue(reason=ReviewReason.POLICY_HIT), hit),
        (Queue(artifact_type="video"), None),
        (Queue(platform="youtube"), None),
    ):
        assert following(reviewer(), queue=queue) == expected
    assert following(reviewer(), queue=Queue(platform="tiktok")) is not None


def test_the_administrators_level_is_theirs() -> None:
    first, second, boss = reviewer(), reviewer(), make_user(ADMINISTRATOR)
    item = waiting_item()
    decide(item, first, Decision.ESCALATE, escalate_to_administrators=True)
    third = ReviewItem.objects.open().get(artifact=item.artifact)
    assert third.level == 3
    for verb in (claim, decide):
        with pytest.raises(NotAllowed, match="escalated to the Administrators"):
            verb(third, second)
    assert following(second) is None
    assert following(boss) == third
    with pytest.raises(Conflict, match="nobody above them"):
        decide(third, boss, Decision.ESCALATE)
    assert decide(third, boss)


def test_what_was_escalated_once_goes_to_the_administrators() -> None:
    first, second, boss = reviewer(), reviewer(), make_user(ADMINISTRATOR)
    item = waiting_item()
    decide(item, first, Decision.ESCALATE)
    decide(ReviewItem.objects.open().get(artifact=item.artifact), second, Decision.ESCALATE)
    third = ReviewItem.objects.open().get(artifact=item.artifact)
    assert third.level == 3
    first.groups.set(boss.groups.all())
    with pytest.raises(NotAllowed, match="decided on this already"):  # an Administrator by now, and not another person
        decide(third, User.objects.get(pk=first.pk))
    assert following(User.objects.get(pk=first.pk)) is None
    assert decide(third, boss, Decision.REJECT)


def test_an_escalation_is_taken_back_while_nobody_has_decided_on_it() -> None:
    person = reviewer()
    item = decided_item(Decision.ESCALATE, person=person)
    second = ReviewItem.objects.open().get(artifact=item.artifact)
    claim(second, reviewer())
    undo_decision(item_id=item.pk, actor=Actor.human(person))
    second.refresh_from_db()
    assert (second.status, second.claimed_by) == (ReviewItemStatus.WITHDRAWN, None)
    with pytest.raises(Conflict, match="took the escalation back"):
        decide(second, reviewer())


def test_a_stale_page_is_told_who_took_a_decision_back() -> None:
    dawit = reviewer("Dawit Haile")
    item = decided_item(person=dawit)
    undo_decision(item_id=item.pk, actor=Actor.human(dawit))
    with pytest.raises(Conflict, match="Dawit Haile decided it, and took that back at"):
        decide(item, reviewer(), seen_version=0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ReviewPolicy.reasons),
        (["wrong price", " tone ", "wrong price", ""], ("wrong price", "tone")),
        ("tone", ReviewPolicy.reasons),
        ([1, 2], ReviewPolicy.reasons),
        ([], ReviewPolicy.reasons),
        ({"tone": 1}, ReviewPolicy.reasons),
    ],
)
def test_the_reasons_are_the_campaigns_or_the_default(given: Any, expected: tuple[str, ...]) -> None:
    campaign = make_campaign(constraints={"review_policy": {"reasons": given}})
    assert ReviewPolicy.of(campaign).reasons == expected


# One decision on many.


def seen(*items: ReviewItem) -> list[Seen]:
    return [Seen(item.pk, item.version, item.artifact.content_sha256) for item in items]


def decide_all(items: list[ReviewItem], person: User, decision: str = Decision.APPROVE, **given: Any) -> list[str]:
    actor = Actor.human(person)
    defaults = {"seen": seen(*items), "decision": decision, "reasons": ["Fine."], "actor": actor}
    outcomes = decide_items(**(defaults | given))
    assert [outcome.item_id for outcome in outcomes] == [item.pk for item in items]
    return [outcome.refusal for outcome in outcomes]


def test_one_that_is_refused_does_not_stop_the_others() -> None:
    person, dawit = reviewer(), reviewer("Dawit Haile")
    fine, last = waiting_item(), waiting_item()
    mine = waiting_item(agent=make_agent(owner=person))
    held, late, stale = waiting_item(), decided_item(person=dawit), waiting_item()
    claim(held, dawit)
    unknown = waiting_item(content_ref="https://example.org/reel.mp4")
    routine, unread = waiting_item(), make_artifact()
    routine.change("test", reason=ReviewReason.BLIND_SAMPLE)
    unread = open_review_item(artifact=unread, reason=ReviewReason.NO_JUDGE, risk=Decimal("0.5"))
    shown = [fine, mine, held, late, unknown, routine, unread, stale, last]
    given = seen(*shown)
    stale.change("test", version=5)

    told = decide_all(shown, person, seen=given)

    expected = [
        *("", "somebody else approves", "Dawit Haile is deciding", "Dawit Haile decided", "Nobody gave the hash"),
        *("routine check", "not approved unread", "has changed since", ""),
    ]
    for refusal, said in zip(told, expected, strict=True):
        assert said in refusal
        assert bool(said) == bool(refusal)
    decided = ReviewItem.objects.filter(status=ReviewItemStatus.DECIDED, decision__reviewer_id=f"user:{person.pk}")
    assert set(decided) == {fine, last}


def test_what_nobody_has_read_can_still_be_turned_down_together() -> None:
    unread = open_review_item(artifact=make_artifact(), reason=ReviewReason.NO_JUDGE, risk=Decimal("0.5"))
    assert decide_all([unread], reviewer(), Decision.REJECT) == [""]


def test_each_of_many_has_its_own_decision_and_way_back() -> None:
    person, items = reviewer(), [waiting_item(), waiting_item()]
    assert decide_all(items, person) == ["", ""]
    made = ReviewDecision.objects.filter(reviewer_id=f"user:{person.pk}")
    assert {decision.artifact_id for decision in made} == {item.artifact_id for item in items}
    outcomes = undo_items(item_ids=[item.pk for item in items], actor=Actor.human(person))
    assert [outcome.refusal for outcome in outcomes] == ["", ""]
    assert ReviewItem.objects.open().count() == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"reasons": [" "], "decision": Decision.REJECT}, "Say why you reject"),
        ({"decision": "burn"}, "not a decision"),
        ({"seen": []}, "Nothing is selected"),
    ],
)
def test_many_are_refused_at_once_when_nothing_could_be_done(given: Any, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        decide_all([], reviewer(), **({"seen": seen(waiting_item())} | given))
    assert not ReviewDecision.objects.filter(reviewer_type="human").exists()


def test_more_than_a_hundred_are_too_many() -> None:
    item = waiting_item()
    with pytest.raises(Invalid, match="at most 100"):
        decide_all([], reviewer(), seen=seen(item) * (MOST + 1))


# Many at once, on real connections.


@pytest.mark.django_db(transaction=True)
def test_no_item_is_handed_to_two_people() -> None:
    """Twelve people ask for the next item at the same instant, again and again, until nothing is left."""
    campaign, agent = make_campaign(), make_agent()
    waiting = {waiting_item(campaign=campaign, agent=agent).pk for _ in range(30)}
    people = [reviewer() for _ in range(12)]

    def clear(person: User) -> Any:
        def run() -> list[Any]:
            mine: list[Any] = []
            while (item := following(person, skipped=mine)) is not None:
                mine.append(item.pk)
            return mine

        return run

    handed = [key for mine in together(*map(clear, people)) for key in mine]
    assert len(handed) == len(set(handed))
    rest = following(reviewer())  # passed over by all because it was locked at the wrong moment: still to be had
    assert waiting == {*handed, *([rest.pk] if rest else [])}
    assert AuditLog.objects.filter(entity_type="review_item", action="claim").count() == len(waiting)


@pytest.mark.django_db(transaction=True)
def test_what_somebody_is_claiming_at_this_instant_is_passed_over() -> None:
    first, second = waiting_item(confidence="0.2"), waiting_item(confidence="0.6")
    dawit, sara = reviewer(), reviewer()
    assert one_then_other(lambda: following(dawit), lambda: following(sara)) == (first, second)


@pytest.mark.django_db(transaction=True)
def test_two_open_one_item() -> None:
    item, dawit, sara = waiting_item(), reviewer("Dawit Haile"), reviewer()
    one, two = one_then_other(lambda: claim(item, dawit), lambda: claim(item, sara))
    assert one.claimed_by == dawit
    assert isinstance(two, Conflict)
    assert "Dawit Haile" in two.sentence


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("decided_first", [True, False])
def test_a_decision_and_anothers_claim(decided_first: bool) -> None:
    item, dawit, sara = waiting_item(), reviewer("Dawit Haile"), reviewer()
    verbs = [lambda: decide(item, dawit), lambda: claim(item, sara)]
    won, lost = one_then_other(*(verbs if decided_first else verbs[::-1]))
    assert not isinstance(won, Conflict)
    assert isinstance(lost, Conflict)
    item.refresh_from_db()
    assert item.status == (ReviewItemStatus.DECIDED if decided_first else ReviewItemStatus.OPEN)


@pytest.mark.django_db(transaction=True)
def test_a_claim_and_a_stop() -> None:
    item, boss = waiting_item(), make_user(OPERATOR)
    person = reviewer()
    claimed, stopped = one_then_other(
        lambda: claim(item, person),
        lambda: control_campaign("stop", campaign_id=item.campaign_id, actor=Actor.human(boss), reason="Over."),
    )
    assert claimed.claimed_by == person
    assert stopped.status == "stopped"
    item.refresh_from_db()
    assert (item.status, item.claimed_by) == (ReviewItemStatus.WITHDRAWN, None)


def test_next_walks_the_index_of_what_is_open() -> None:
    """The plan of the query that hands out the next item: the partial index in its order, and no sort of all."""
    from content.services.desk import ORDER
    from content.services.duties import decidable_by

    many_open_items(3000)
    person = reviewer()
    free = decidable_by(Queue().waiting().free_for(person), person).order_by(*ORDER)
    with connection.cursor() as cursor:  # whatever is known of the table by now
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = free[:1].explain()
    assert "idx_review_item_open" in plan
    assert "Seq Scan on review_item" not in plan
    assert "Hash Join" not in plan


def many_open_items(amount: int) -> None:
    """Open items by plain SQL, all of one task, and the planner's statistics of them."""
    item = waiting_item()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO artifact (task_id, campaign_id, artifact_type, version, content_ref, content_sha256)"
            " SELECT %s, %s, 'text', n + 1, 'x', repeat('a', 64) FROM generate_series(1, %s) n",
            [item.task_id, item.campaign_id, amount],
        )
        cursor.execute(
            "INSERT INTO review_item (artifact_id, task_id, campaign_id, reason, risk, opened_at, due_at)"
            " SELECT artifact_id, task_id, campaign_id, 'low_confidence', random()::numeric(4, 3), now(), now()"
            " FROM artifact WHERE content_ref = 'x'"
        )
