"""The form of a campaign: fields for what people know, and nothing lost of what agents write."""

from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse

from audit.context import Actor
from audit.exact_json import same
from audit.models import AuditLog
from campaigns.forms import DEFAULT_REASONS, CampaignForm
from campaigns.models import Campaign
from campaigns.rules import PARTS, put_together, taken_apart
from config.groups import AUDITOR, OPERATOR
from content.services import set_approve_threshold
from content.services.policy import ReviewPolicy
from tests.concurrency import one_then_other
from tests.factories import make_campaign, make_user

pytestmark = pytest.mark.django_db
ADD = "/admin/campaigns/campaign/add/"
NEW = {
    "name": "Meskel launch",
    "goal": "5,000 sign-ups",
    "target_platforms": ["tiktok", "youtube"],
    "target_platforms_other": "mastodon",
    "status": "draft",
    "budget_cap_etb": "1000",
    "rules": "no rate promises\r\n\r\n  be kind  \r\n",
    "approve_threshold": "0.9",
    "blind_share": "0.1",
    "due_minutes": "60",
    "judge_minutes": "15",
    "reasons": "wrong price\nno source",
}
# Whatever agents wrote: lists, malformed policies, texts that are no lines, numbers that a float cannot hold.
SHAPES: list[Any] = [
    None,
    {},
    [],
    ["no rate promises", {"deep": [1]}],
    {"rules": ["a", "b"]},
    {"rules": "be kind"},
    {"rules": ["two\nlines", 3, None, " spaced "]},
    {"rules": []},
    {"rules": ["twice", "twice"]},
    {"review_policy": "strict"},
    {"review_policy": []},
    {"review_policy": {}},
    {"review_policy": {"approve_threshold": "high", "blind_share": True, "due_minutes": 0, "judge_minutes": 3.5}},
    {"review_policy": {"approve_threshold": Decimal("0.85000000000000000001"), "more": {"x": 1}}},
    {"review_policy": {"approve_threshold": 1, "reasons": [f"reason {n}" for n in range(12)]}},
    {"review_policy": {"reasons": ["one", {"not": "a text"}]}},
    {"no": ["rate promises"], "review_policy": {"due_minutes": 30, "reasons": ["tone"]}, "rules": ["be kind"]},
]


def text(answer) -> str:
    return answer.content.decode()


def page_of(campaign: Campaign) -> str:
    return reverse("admin:campaigns_campaign_change", args=[campaign.pk])


def sent(client, campaign: Campaign, **changes: Any) -> Any:
    """The form as a browser sends it, with what it shows and what it hides, and these changes."""
    form = client.get(page_of(campaign)).context["adminform"].form
    data: dict[str, Any] = {}
    for field in form:
        value = field.value()
        if field.name == "target_platforms":
            ticked, other = field.field.widget.decompress(value)
            data |= {"target_platforms": ticked, "target_platforms_other": other}
            continue
        data[field.html_name] = "" if value is None else value
        if field.field.show_hidden_initial:
            data[field.html_initial_name] = data[field.html_name]
    return client.post(page_of(campaign), {**data, **changes})


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_taking_apart_and_putting_together_loses_nothing(shape) -> None:
    parts, rest = taken_apart(shape)
    assert same(put_together(parts, rest), shape)
    assert set(parts) <= set(PARTS)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_whatever_agents_wrote_opens_saves_and_stays(sign_in, shape) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign(constraints=shape)
    assert sent(operator, campaign).status_code == 302
    assert AuditLog.objects.filter(entity_id=str(campaign.pk)).count() == 1  # its creation: nothing was written
    assert sent(operator, campaign, name="Another name").status_code == 302
    (row,) = AuditLog.objects.filter(entity_id=str(campaign.pk), action="update")
    assert set(row.changes) == {"name"}
    campaign.refresh_from_db()
    assert same(campaign.constraints, Campaign.objects.get().constraints)
    assert same(campaign.constraints, shape)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if not isinstance(shape, list)], ids=str)
def test_a_field_is_added_to_whatever_agents_wrote(sign_in, shape) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign(constraints=shape)
    answer = sent(operator, campaign, due_minutes="55")
    campaign.refresh_from_db()
    if shape and not isinstance(shape.get("review_policy", {}), dict):
        assert "is not an object" in text(answer)
        assert same(campaign.constraints, shape)
    else:
        policy = {**(shape or {}).get("review_policy", {}), "due_minutes": 55}
        assert same(campaign.constraints, {**(shape or {}), "review_policy": policy})


def test_a_list_has_no_place_for_a_field_and_the_page_says_so(sign_in) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign(constraints=["no rate promises"])
    answer = sent(operator, campaign, rules="be kind")
    assert "which has no place for the fields above" in text(answer)
    assert "be kind" in text(answer)
    campaign.refresh_from_db()
    assert campaign.constraints == ["no rate promises"]


def test_a_new_campaign_is_written_as_typed(sign_in) -> None:
    answer = sign_in(OPERATOR).post(ADD, NEW)
    assert answer.status_code == 302, text(answer)
    campaign = Campaign.objects.get()
    assert campaign.platforms == ["tiktok", "youtube", "mastodon"]
    assert campaign.constraints == {
        "rules": ["no rate promises", "be kind"],
        "review_policy": {
            "approve_threshold": Decimal("0.9"),
            "blind_share": Decimal("0.1"),
            "due_minutes": 60,
            "judge_minutes": 15,
            "reasons": ["wrong price", "no source"],
        },
    }
    policy = ReviewPolicy.of(campaign)
    assert (policy.approve_threshold, policy.due_minutes) == (Decimal("0.9"), 60)
    assert policy.reasons == ("wrong price", "no source")


def test_an_empty_form_leaves_the_policy_to_its_defaults_and_shows_them(sign_in) -> None:
    operator = sign_in(OPERATOR)
    page, defaults = text(operator.get(ADD)), ReviewPolicy()
    for name in ("approve_threshold", "blind_share", "due_minutes", "judge_minutes"):
        placeholder = CampaignForm.base_fields[name].widget.attrs["placeholder"]
        assert Decimal(placeholder) == getattr(defaults, name)
        assert f'placeholder="{placeholder}"' in page
    assert tuple(DEFAULT_REASONS) == defaults.reasons
    bare = {name: NEW[name] for name in ("name", "goal", "target_platforms", "status", "budget_cap_etb")}
    assert operator.post(ADD, bare).status_code == 302
    assert Campaign.objects.get().constraints is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"approve_threshold": "1.2"}, "less than or equal to 1"),
        ({"blind_share": "-0.1"}, "greater than or equal to 0"),
        ({"approve_threshold": "NaN"}, "Enter a number"),
        ({"due_minutes": "0"}, "greater than or equal to 1"),
        ({"due_minutes": "525601"}, "less than or equal to 525600"),
        ({"judge_minutes": "soon"}, "Enter a whole number"),
        ({"reasons": "\n".join("abcdefghij")}, "At most 9, one a line; these are 10"),
        ({"rules": "x" * 501}, "at most 500 characters"),
        ({"rules": "a\0b"}, "(NUL)"),
        ({"target_platforms": [], "target_platforms_other": " , "}, "Name at least one platform"),
        ({"constraints": '["a list"]'}, "which has no place for the fields above"),
        ({"constraints": '{"review_policy": 3}'}, "is not an object"),
    ],
)
def test_a_bad_value_is_refused_in_words(sign_in, given, said) -> None:
    answer = sign_in(OPERATOR).post(ADD, NEW | given)
    assert answer.status_code == 200
    assert said in text(answer)
    assert not Campaign.objects.exists()


def test_a_changed_policy_is_on_record_with_before_and_after(sign_in) -> None:
    operator = sign_in(OPERATOR)
    campaign = make_campaign(constraints={"review_policy": {"due_minutes": 60, "more": 1}, "no": ["promises"]})
    assert sent(operator, campaign, due_minutes="30", reasons="tone").status_code == 302
    row = AuditLog.objects.get(entity_id=str(campaign.pk), action="update")
    before, after = row.changes["constraints"]
    assert before == {"review_policy": {"due_minutes": 60, "more": 1}, "no": ["promises"]}
    assert after == {"review_policy": {"due_minutes": 30, "more": 1, "reasons": ["tone"]}, "no": ["promises"]}
    assert row.actor_id == f"user:{operator.user.pk}"


def test_an_emptied_field_is_left_out(sign_in) -> None:
    campaign = make_campaign(constraints={"rules": ["be kind"], "review_policy": {"due_minutes": 60}, "no": 1})
    assert sent(sign_in(OPERATOR), campaign, due_minutes="", rules="").status_code == 302
    campaign.refresh_from_db()
    assert campaign.constraints == {"no": 1}


def test_what_an_agent_writes_while_the_form_is_open_stays(sign_in) -> None:
    """A person changes one field; an agent has meanwhile written another, and a rule of its own."""
    operator, campaign = sign_in(OPERATOR), make_campaign(constraints={"review_policy": {"due_minutes": 60}})
    opened = operator.get(page_of(campaign)).context["adminform"].form
    agents = {"review_policy": {"due_minutes": 60, "judge_minutes": 5}, "found": "by an agent"}
    campaign.change("update", constraints=agents)
    data: dict[str, Any] = {"name": campaign.name, "goal": campaign.goal, "budget_cap_etb": "1000.00"}
    data |= {"target_platforms": ["tiktok", "instagram"]}
    for name in [*PARTS, "constraints"]:
        value = opened[name].value()
        data[name] = data[f"initial-{name}"] = "" if value is None else value
    assert operator.post(page_of(campaign), {**data, "due_minutes": "30"}).status_code == 302
    campaign.refresh_from_db()
    policy = {"due_minutes": 30, "judge_minutes": 5}
    assert campaign.constraints == {"review_policy": policy, "found": "by an agent"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("form_first", [True, False])
def test_a_form_and_a_threshold_that_are_saved_at_once_lose_nothing(sign_in, form_first) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign(constraints={"no": 1})
    threshold = {"threshold": Decimal("0.9"), "reason": "Too many faults.", "actor": Actor.human(make_user(OPERATOR))}
    both = [
        lambda: sent(operator, campaign, due_minutes="30").status_code,
        lambda: set_approve_threshold(campaign_id=campaign.pk, **threshold),
    ]
    one_then_other(*(both if form_first else both[::-1]))
    campaign.refresh_from_db()
    assert campaign.constraints == {"no": 1, "review_policy": {"due_minutes": 30, "approve_threshold": Decimal("0.9")}}


@pytest.mark.parametrize(
    "platforms",
    [
        ["instagram", "tiktok"],
        ["mastodon", "tiktok", "Bluesky"],
        ["x", "x", " youtube "],
        {"tiktok": {"handle": "@meskel"}},
        ["with, comma"],
        [1, None, {"a": 2}],
    ],
    ids=str,
)
def test_platforms_of_any_shape_stay_as_they_are(sign_in, platforms) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign(target_platforms=platforms)
    assert sent(operator, campaign).status_code == 302
    campaign.refresh_from_db()
    assert same(campaign.target_platforms, platforms)
    assert AuditLog.objects.filter(entity_id=str(campaign.pk)).count() == 1


def test_platforms_are_ticked_and_named(sign_in) -> None:
    operator, campaign = sign_in(OPERATOR), make_campaign(target_platforms=["tiktok", "mastodon"])
    page = text(operator.get(page_of(campaign)))
    assert 'value="tiktok" id="id_target_platforms_0_1" checked' in page or "checked" in page
    given = {"target_platforms": ["tiktok", "x"], "target_platforms_other": "mastodon, peertube"}
    assert sent(operator, campaign, **given).status_code == 302
    campaign.refresh_from_db()
    assert campaign.platforms == ["tiktok", "x", "mastodon", "peertube"]


def test_the_window_is_asked_for_in_the_viewers_zone(sign_in) -> None:
    operator = sign_in(OPERATOR)
    operator.cookies["zone"] = "Africa/Addis_Ababa"
    assert "Start (EAT)" in text(operator.get(ADD))
    assert operator.post(ADD, {**NEW, "start_time": "2026-12-01T09:00"}).status_code == 302
    assert Campaign.objects.get().start_time.isoformat() == "2026-12-01T06:00:00+00:00"


def test_who_only_looks_reads_the_rules_in_words_and_whole(sign_in) -> None:
    campaign = make_campaign(
        constraints={"rules": ["be kind"], "review_policy": {"approve_threshold": Decimal("0.9")}, "no": ["promises"]}
    )
    page = text(sign_in(AUDITOR).get(page_of(campaign)))
    assert "be kind" in page
    assert "from a confidence of 0.9" in page
    assert "promises" in page
    assert "<textarea" not in page


def test_the_page_counts_what_there_is_and_links_to_it(sign_in) -> None:
    from tests.factories import make_task, waiting_item

    campaign = make_campaign()
    for _ in range(2):
        make_task(campaign=campaign)
    make_task()
    waiting_item(campaign=campaign)
    auditor = sign_in(AUDITOR)
    page = auditor.get(page_of(campaign))
    figures = {figure.what: figure for figure in page.context["figures"]}
    assert {name: figures[name].amount for name in ("tasks pending", "tasks in review", "reviews waiting")} == {
        "tasks pending": "2",
        "tasks in review": "1",
        "reviews waiting": "1",
    }
    for figure in figures.values():
        answer = auditor.get(figure.url)
        assert answer.status_code == 200
        assert str(len(answer.context["cl"].result_list)) == figure.amount, figure
