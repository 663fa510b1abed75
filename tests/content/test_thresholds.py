"""What a threshold would have let through, counted by hand; and setting one, alone and against others."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction

from audit import exact_json
from audit.context import Actor
from audit.errors import Conflict, Invalid, NotAllowed
from audit.models import AuditLog
from campaigns.choices import CampaignStatus, CampaignVerb
from campaigns.models import Campaign
from campaigns.services import control_campaign
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from content.choices import Decision, NextAction, ReviewReason
from content.models import ReviewItem
from content.services.calibration import Count
from content.services.intervals import wilson
from content.services.policy import ReviewPolicy
from content.services.thresholds import outcomes, reviews_now, set_approve_threshold, threshold_given
from tests.concurrency import one_then_other
from tests.factories import judged, make_agent, make_artifact, make_campaign, make_user, waiting_item

HERE, THERE = UUID(int=1), UUID(int=2)


def approvals(amount: int, confidence: str, reason: str = "", people: str = "", campaign: UUID = HERE) -> Count:
    return Count("judge-2", campaign, Decimal(confidence), Decision.APPROVE, reason, people, True, amount)


def unsure(amount: int, confidence: str, people: str = "") -> Count:
    return approvals(amount, confidence, ReviewReason.LOW_CONFIDENCE, people)


def blind(amount: int, confidence: str, people: str = "", campaign: UUID = HERE) -> Count:
    return approvals(amount, confidence, ReviewReason.BLIND_SAMPLE, people, campaign)


# Under 0.85: 100 approvals at 0.80 came to people, who rejected 20; of 400 at 0.90, 40 were drawn, and 2 rejected.
WORLD = [
    unsure(80, "0.80", "approve"),
    unsure(20, "0.80", "reject"),
    approvals(360, "0.90"),
    blind(38, "0.90", "approve"),
    blind(2, "0.90", "reject"),
    # Not ruled by a threshold: a policy hit, and an escalation.
    Count("judge-2", HERE, Decimal("0.99"), "approve", ReviewReason.POLICY_HIT, "reject", False, 50),
    Count("judge-2", HERE, Decimal("0.99"), "escalate", ReviewReason.ESCALATED, "reject", False, 50),
]


def found(counts: list[Count], *thresholds: str) -> Any:
    made = outcomes(counts, [Decimal(threshold) for threshold in thresholds])
    return made[0] if len(made) == 1 else made


def test_above_the_threshold_in_force_only_the_blind_samples_tell() -> None:
    at = found(WORLD, "0.85")
    assert (at.published.part, at.published.whole) == (400, 500)
    assert (at.rejected.part, at.rejected.whole) == (2, 40)
    low, high = wilson(0.05, 40)
    assert (at.faulty.value, at.faulty.low, at.faulty.high) == pytest.approx((50, 1000 * low, 1000 * high))


def test_below_it_what_people_were_given_is_added() -> None:
    at = found(WORLD, "0.80")
    assert (at.published.part, at.published.whole) == (500, 500)
    assert (at.rejected.part, at.rejected.whole) == (22, 140)
    assert at.faulty.value == pytest.approx(80)  # (20 of 100, and 5 % of 400) of 500
    (unsure_low, unsure_high), (drawn_low, drawn_high) = wilson(0.2, 100), wilson(0.05, 40)
    below = ((0.2 * (0.2 - unsure_low)) ** 2 + (0.8 * (0.05 - drawn_low)) ** 2) ** 0.5
    above = ((0.2 * (unsure_high - 0.2)) ** 2 + (0.8 * (drawn_high - 0.05)) ** 2) ** 0.5
    assert (at.faulty.low, at.faulty.high) == pytest.approx((80 - 1000 * below, 80 + 1000 * above))


def test_what_people_have_to_look_at() -> None:
    """A tenth of what is published is drawn, as it was."""
    lower, present, higher = found(WORLD, "0.80", "0.85", "0.95")
    assert lower.reviews.value == pytest.approx(100)
    assert present.reviews.value == pytest.approx(280) == reviews_now(WORLD)  # 200 unsure, and a tenth of 800
    assert higher.reviews.value == 1000
    low, high = wilson(0.8, 500)
    assert (present.reviews.low, present.reviews.high) == pytest.approx((1000 - 900 * high, 1000 - 900 * low))
    assert (higher.published.part, higher.faulty) == (0, None)


def test_each_blind_sample_stands_for_the_others_of_its_campaign() -> None:
    """Here one of ten is checked and one of ten rejected; there every one, and none. Half of all are here."""
    counts = [
        approvals(90, "0.95"),
        blind(9, "0.95", "approve"),
        blind(1, "0.95", "reject"),
        blind(100, "0.95", "approve", THERE),
    ]
    at = found(counts, "0.90")
    assert (at.rejected.part, at.rejected.whole) == (1, 110)
    assert at.faulty.value == pytest.approx(50)
    low, high = wilson(0.05, 200**2 / (10 * 10**2 + 100 * 1**2))
    assert (at.faulty.low, at.faulty.high) == pytest.approx((1000 * low, 1000 * high))


def test_campaigns_in_which_nothing_was_checked_are_taken_to_be_like_the_others() -> None:
    counts = [blind(18, "0.95", "approve"), blind(2, "0.95", "reject"), approvals(500, "0.95", campaign=THERE)]
    assert found(counts, "0.90").faulty.value == pytest.approx(100)


def test_what_waits_stands_for_nothing_yet_and_is_counted_among_all() -> None:
    counts = [*WORLD, unsure(100, "0.80"), blind(10, "0.90")]
    at = found(counts, "0.80")
    assert (at.published.part, at.rejected.whole) == (610, 140)
    assert at.faulty.value == pytest.approx(1000 * (200 * 0.2 + 410 * 0.05) / 610)


@pytest.mark.parametrize(
    "counts",
    [
        [],
        [approvals(500, "0.95")],  # nothing of it was checked
        [unsure(80, "0.80", "approve"), approvals(1, "0.95")],  # of one part nothing is known
        [blind(9, "0.95", "approve"), approvals(100, "0.95")],  # too few
        [unsure(100, "0.80"), blind(50, "0.95", "approve")],  # all of one part still waits
    ],
)
def test_what_nobody_can_tell_is_not_told(counts: list[Count]) -> None:
    assert found(counts, "0.50").faulty is None


def test_a_person_who_looked_on_their_own_is_no_sample() -> None:
    counts = [approvals(100, "0.95"), approvals(20, "0.95", people="reject"), blind(20, "0.95", "approve")]
    at = found(counts, "0.90")
    assert (at.rejected.part, at.rejected.whole, at.faulty.value) == (0, 20, 0)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("0.9", "0.900"), ("1", "1.000"), (" 0 ", "0.000"), (0.873, "0.873"), (Decimal("0.85"), "0.850")],
)
def test_a_threshold_is_kept_with_three_digits(given: Any, kept: str) -> None:
    assert str(threshold_given(given)) == kept


@pytest.mark.parametrize("given", ["", "high", "NaN", "Infinity", "-0.1", "1.001", "0.8555", "1e9", None, "0.9\x00"])
def test_what_is_no_threshold_is_refused(given: Any) -> None:
    with pytest.raises(Invalid, match="a number from 0 to 1"):
        threshold_given(given)


def put(campaign: Campaign, threshold: str = "0.9", **given: Any) -> Campaign:
    values = {"reason": "Two false claims went out.", "actor": Actor.human(make_user(OPERATOR))} | given
    return set_approve_threshold(campaign_id=campaign.pk, threshold=Decimal(threshold), **values)


def constraints_in_database(campaign: Campaign) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT constraints::text FROM campaign WHERE campaign_id = %s", [campaign.pk])
        return str(cursor.fetchone()[0])


@pytest.mark.django_db
def test_only_the_threshold_changes_and_it_is_an_exact_number() -> None:
    rules: dict[str, Any] = {
        "no": ["rate promises"],
        "review_policy": {"blind_share": Decimal("0.10"), "reasons": ["tone"]},
        "x": None,
    }
    campaign = make_campaign(constraints=rules)
    changed = put(campaign, "0.873")
    assert changed.constraints == {
        **rules,
        "review_policy": {**rules["review_policy"], "approve_threshold": Decimal("0.873")},
    }
    assert '"approve_threshold": 0.873' in constraints_in_database(campaign)
    assert '"blind_share": 0.10' in constraints_in_database(campaign)
    assert ReviewPolicy.of(changed).approve_threshold == Decimal("0.873")


@pytest.mark.django_db
@pytest.mark.parametrize("constraints", [None, {}, {"review_policy": None}])
def test_a_campaign_without_a_policy_gets_one(constraints: Any) -> None:
    assert put(make_campaign(constraints=constraints)).constraints == {
        "review_policy": {"approve_threshold": Decimal("0.900")}
    }


@pytest.mark.django_db
@pytest.mark.parametrize("constraints", [["no promises"], {"review_policy": ["strict"]}])
def test_rules_that_hold_something_else_are_not_overwritten(constraints: Any) -> None:
    campaign = make_campaign(constraints=constraints)
    with pytest.raises(Conflict, match="mend them in its form"):
        put(campaign)
    campaign.refresh_from_db()
    assert campaign.constraints == constraints


@pytest.mark.django_db
def test_the_audit_log_keeps_who_what_and_why() -> None:
    campaign = make_campaign(name="Meskel launch", constraints={"review_policy": {"approve_threshold": 0.5}})
    person = make_user(OPERATOR)
    put(campaign, "0.95", reason="  Two false claims went out. ", actor=Actor.human(person))
    row = AuditLog.objects.get(entity_type="campaign", action="set_threshold")
    assert (row.actor_id, row.entity_id, row.campaign_id) == (f"user:{person.pk}", str(campaign.pk), campaign.pk)
    assert row.output_summary == "Two false claims went out."
    before, after = row.changes["constraints"]
    assert (list(row.changes), before["review_policy"]["approve_threshold"]) == (["constraints"], Decimal("0.5"))
    assert exact_json.same(after, {"review_policy": {"approve_threshold": Decimal("0.950")}})
    campaign.refresh_from_db()
    assert campaign.control_reason is None


@pytest.mark.django_db
@pytest.mark.parametrize(("group", "may"), [("", False), (REVIEWER, False), (AUDITOR, False), (ADMINISTRATOR, True)])
def test_who_may(group: str, may: bool) -> None:
    campaign, actor = make_campaign(), Actor.human(make_user(group))
    if may:
        assert put(campaign, actor=actor)
        return
    with pytest.raises(NotAllowed, match=r"campaigns\.change_campaign"):
        put(campaign, actor=actor)
    campaign.refresh_from_db()
    assert "approve_threshold" not in campaign.constraints["review_policy"]


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["", "  ", "a\x00b"])
def test_a_reason_is_required(reason: str) -> None:
    with pytest.raises(Invalid):
        put(make_campaign(), reason=reason)
    assert not AuditLog.objects.filter(action="set_threshold").exists()


@pytest.mark.django_db
@pytest.mark.parametrize("verb", [CampaignVerb.STOP, CampaignVerb.COMPLETE])
def test_an_ended_campaign_is_left_alone(verb: CampaignVerb) -> None:
    campaign = make_campaign(name="Coffee stories")
    control_campaign(verb, campaign_id=campaign.pk, actor=Actor.human(make_user(OPERATOR)), reason="Over.")
    with pytest.raises(Conflict, match=r"“Coffee stories” is (stopped|completed)"):
        put(campaign)


@pytest.mark.django_db
@pytest.mark.parametrize("status", [CampaignStatus.DRAFT, CampaignStatus.ACTIVE])
def test_a_paused_campaign_and_a_draft_may_be_prepared(status: str) -> None:
    campaign = make_campaign(status=status)
    if status == CampaignStatus.ACTIVE:
        boss = Actor.human(make_user(OPERATOR))
        control_campaign(CampaignVerb.PAUSE, campaign_id=campaign.pk, actor=boss, reason="Wait.")
    assert put(campaign).constraints["review_policy"]["approve_threshold"] == Decimal("0.9")


@pytest.mark.django_db
def test_what_is_no_change_and_what_was_seen_no_longer_is_are_refused() -> None:
    campaign = make_campaign()
    put(campaign, "0.9", seen=Decimal("0.85"))
    with pytest.raises(Conflict, match=r"is 0\.900 already"):
        put(campaign, "0.9")
    with pytest.raises(Conflict, match=r"changed to 0\.900 meanwhile"):
        put(campaign, "0.95", seen=Decimal("0.850"))
    with pytest.raises(Invalid, match="no such campaign"):
        set_approve_threshold(campaign_id=uuid4(), threshold=Decimal("0.9"), reason="-", actor=Actor.system("test"))
    assert AuditLog.objects.filter(action="set_threshold").count() == 1


@pytest.mark.django_db
def test_it_holds_for_what_judges_decide_next_and_for_nothing_that_waits() -> None:
    campaign = make_campaign()
    item = waiting_item(campaign=campaign, confidence="0.80")
    put(campaign, "0.7")
    item.refresh_from_db()
    assert item.is_open
    assert judged(campaign=campaign, confidence="0.80").next_action == NextAction.PUBLISH
    put(campaign, "0.9")
    assert judged(campaign=campaign, confidence="0.89").next_action == NextAction.HUMAN_REVIEW
    assert ReviewItem.objects.open().count() == 2


def edit_rules(campaign: Campaign) -> Any:
    """Another rule is added, as a form does that reads the campaign, and writes what was changed of it."""

    @transaction.atomic
    def edit() -> str:
        row = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
        row.constraints = {**(row.constraints or {}), "no": ["promises"]}
        row.save()
        return "edited"

    return edit


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("edit_first", [True, False])
def test_two_who_change_the_rules_lose_nothing_of_each_other(edit_first: bool) -> None:
    campaign, actor = make_campaign(), Actor.human(make_user(OPERATOR))
    both = edit_rules(campaign), lambda: put(campaign, "0.9", actor=actor)
    one_then_other(*(both if edit_first else both[::-1]))
    campaign.refresh_from_db()
    assert campaign.constraints == {
        "no": ["promises"],
        "review_policy": {"blind_share": 0, "approve_threshold": Decimal("0.900")},
    }


@pytest.mark.django_db(transaction=True)
def test_two_people_set_it_at_once_and_the_second_is_told() -> None:
    campaign, one, other = make_campaign(), *(Actor.human(make_user(OPERATOR)) for _ in range(2))
    seen = Decimal("0.850")
    first, second = one_then_other(
        lambda: put(campaign, "0.9", actor=one, seen=seen), lambda: put(campaign, "0.7", actor=other, seen=seen)
    )
    assert isinstance(first, Campaign)
    assert isinstance(second, Conflict)
    campaign.refresh_from_db()
    assert ReviewPolicy.of(campaign).approve_threshold == Decimal("0.9")


@pytest.mark.django_db(transaction=True)
def test_a_stop_wins_or_loses_against_it_and_never_both() -> None:
    campaign, boss = make_campaign(), Actor.human(make_user(OPERATOR))
    _, refused = one_then_other(
        lambda: control_campaign(CampaignVerb.STOP, campaign_id=campaign.pk, actor=boss, reason="Over."),
        lambda: put(campaign, actor=boss),
    )
    assert isinstance(refused, Conflict)


@pytest.mark.django_db(transaction=True)
def test_it_waits_for_what_is_being_written_and_holds_for_what_comes_after() -> None:
    """A fleet that writes all the time lets it through: it stands in line for the campaign's gate."""
    campaign, actor = make_campaign(), Actor.human(make_user(OPERATOR))
    first, later = (make_artifact(campaign=campaign, agent=make_agent()) for _ in range(2))
    decided, changed = one_then_other(
        lambda: judged(artifact=first, confidence="0.80"), lambda: put(campaign, "0.7", actor=actor)
    )
    assert decided.next_action == NextAction.HUMAN_REVIEW
    assert isinstance(changed, Campaign)
    assert judged(artifact=later, confidence="0.80").next_action == NextAction.PUBLISH
