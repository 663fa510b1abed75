"""The page of the judges, and the page on which a threshold is changed."""

import re
import time
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.context import Actor
from audit.models import AuditLog
from campaigns.models import Campaign
from campaigns.services import control_campaign
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from content.choices import Decision, NextAction
from content.models import ReviewDecision, ReviewItem
from content.services import decide_review_item
from content.services.policy import ReviewPolicy
from tests.factories import judged, make_agent, make_artifact, make_campaign, make_user, waiting_item

pytestmark = pytest.mark.django_db
PAGE, CHANGE = "/admin/judges/", "/admin/judges/threshold/"


def decided(amount: int, confidence: str, people: str = Decision.APPROVE, **fields: Any) -> None:
    """As many approvals of a judge, each of which a person decided on."""
    person = fields.pop("person", None) or make_user(REVIEWER)
    for _ in range(amount):
        made = judged(confidence=confidence, **fields)
        item = ReviewItem.objects.open().get(artifact=made.artifact)
        decide_review_item(item_id=item.pk, decision=people, reasons=["Read it."], actor=Actor.human(person))


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def blind_campaign(**fields: Any) -> Campaign:
    return make_campaign(**({"constraints": {"review_policy": {"blind_share": 1}}} | fields))


def test_the_page_begins_with_sentences(sign_in: Any) -> None:
    decided(9, "0.80")
    decided(3, "0.80", Decision.REJECT)
    decided(4, "0.95", campaign=blind_campaign())
    decided(1, "0.70", Decision.REJECT, decision=Decision.ESCALATE)
    page = text(sign_in(REVIEWER).get(PAGE))
    assert "judge-2 said 0.80 on average, and people agreed in <strong>9 of 12</strong> cases, 75 % (47–91 %)" in page
    assert "<strong>about as sure as it should be</strong>" in page
    assert "judge-2 said 0.95 on average, and people agreed in <strong>4 of 4</strong> cases: too few to tell." in page
    assert "It escalated 1 time, which is neither right nor wrong: of these, people approved 0 and rejected 1." in page


def test_the_drawing_and_the_table_tell_the_same(sign_in: Any) -> None:
    decided(9, "0.80")
    decided(3, "0.80", Decision.REJECT)
    answer = sign_in(REVIEWER).get(PAGE)
    page = text(answer)
    assert page.count('class="mark-override"') == 1
    assert 'class="mark-blind"' not in page
    assert "0.80–0.85: 75 % agreed." in page  # said to those who do not see it
    ((_, chart),) = answer.context["seen"].records
    (mark,) = chart.marks
    assert (mark.x, mark.y) == ("246", "72.5")  # 0.8 and 0.75 of a square of 250, from (46, 260)
    assert float(mark.high) < float(mark.y) < float(mark.low)


def test_a_drawing_of_nothing_is_left_out(sign_in: Any) -> None:
    decided(2, "0.80")
    assert '<svg viewBox="0 0 320' not in text(sign_in(REVIEWER).get(PAGE))


@pytest.mark.parametrize("group", [REVIEWER, OPERATOR, AUDITOR, ADMINISTRATOR])
def test_who_reads_and_who_changes(sign_in: Any, group: str) -> None:
    decided(1, "0.80")
    client, may = sign_in(group), group in {OPERATOR, ADMINISTRATOR}
    page = client.get(PAGE)
    assert page.status_code == 200
    assert (CHANGE in page.content.decode()) == may
    assert client.get(CHANGE).status_code == (200 if may else 403)


def test_without_permission_there_is_neither_page_nor_place(sign_in: Any) -> None:
    client = sign_in()
    answer = client.get(PAGE)
    assert answer.status_code == 403
    assert client.get(CHANGE).status_code == client.post(CHANGE).status_code == 403
    assert PAGE not in client.get("/admin/").content.decode()


def test_the_place_stands_after_the_review_desk(sign_in: Any) -> None:
    page = sign_in(REVIEWER).get(PAGE)
    (_, places), *_ = page.context["places"]
    names = [place.name for place in places]
    assert names.index("Judges") == names.index("Review desk") + 1
    assert next(place for place in places if place.name == "Judges").is_here


def test_with_nothing_decided_it_says_what_would_be_here(sign_in: Any) -> None:
    page = text(sign_in(REVIEWER).get(PAGE))
    assert "No judge has decided anything here." in page
    assert 'id="thresholds"' not in page


def test_filters(sign_in: Any) -> None:
    campaign = make_campaign(name="Meskel launch")
    decided(2, "0.80", campaign=campaign)
    decided(3, "0.80", judge=make_agent("judge-9"))
    client = sign_in(REVIEWER)
    ended = make_campaign(name="Long over")
    control_campaign("stop", campaign_id=ended.pk, actor=Actor.human(make_user(OPERATOR)), reason="Over.")
    assert "Long over" not in text(client.get(PAGE))
    assert "selected>Long over</option>" in text(client.get(PAGE, {"campaign": ended.pk}))

    def counted(**given: Any) -> dict[str, int]:
        answer = client.get(PAGE, given)
        assert answer.status_code == 200
        return {found.judge: found.judged for found, _ in answer.context["seen"].records}

    assert counted() == {"judge-2": 2, "judge-9": 3}
    assert counted(judge="judge-9") == {"judge-9": 3}
    assert counted(campaign=campaign.pk) == {"judge-2": 2}
    assert counted(campaign=campaign.pk, judge="judge-9") == {}
    assert counted(days="0") == counted(days="30") == counted(days="x") == {"judge-2": 2, "judge-9": 3}
    assert counted(campaign="x", judge="<script>") == {}
    assert counted(campaign="019a0000-0000-7000-8000-000000000000") == {}


def test_what_agents_write_is_only_text(sign_in: Any) -> None:
    name = "<script>alert(1)</script>"
    decided(12, "0.80", judge=make_agent(name), campaign=make_campaign(name=name))
    page = sign_in(ADMINISTRATOR).get(PAGE).content.decode()
    assert name not in page
    assert "&lt;script&gt;alert(1)" in page


def test_thresholds_in_force_are_marked_with_their_campaigns(sign_in: Any) -> None:
    decided(1, "0.80", campaign=make_campaign(name="Usual"))
    make_campaign(name="Odd", constraints={"review_policy": {"approve_threshold": 0.873}})
    rows = sign_in(REVIEWER).get(PAGE).context["rows"]
    marked = {
        str(row.outcome.threshold): {campaign.name for campaign in row.campaigns} for row in rows if row.campaigns
    }
    assert marked == {"0.85": {"Usual"}, "0.873": {"Odd"}}
    assert [row.outcome.threshold for row in rows] == sorted(row.outcome.threshold for row in rows)


def test_more_rows_ask_no_more(sign_in: Any) -> None:
    decided(1, "0.80")
    client = sign_in(ADMINISTRATOR)
    for path in (PAGE, f"{CHANGE}?threshold=0.7&campaign={Campaign.objects.get().pk}"):
        client.get(path)
        cache.clear()
        with CaptureQueriesContext(connection) as few:
            client.get(path)
        for n in range(4):
            judge = make_agent(f"{path[-3:]}-judge-{n}")
            decided(2, f"0.{60 + 5 * n}", judge=judge)
        every = "&".join(f"campaign={campaign.pk}" for campaign in Campaign.objects.all())
        more = path if path == PAGE else f"{CHANGE}?threshold=0.7&{every}"
        cache.clear()
        with CaptureQueriesContext(connection) as many:
            client.get(more)
        assert len(many) <= len(few), [query["sql"][:90] for query in many]


def test_it_is_counted_anew_after_five_minutes_and_not_before(sign_in: Any, monkeypatch: Any) -> None:
    client = sign_in(REVIEWER)

    def judged_by_now() -> int:
        return int(client.get(PAGE).context["seen"].amount)

    decided(1, "0.80")
    assert judged_by_now() == 1
    decided(1, "0.80")
    with CaptureQueriesContext(connection) as asked:
        assert judged_by_now() == 1
    assert not [query for query in asked if "review_decision" in query["sql"]]
    later = time.time() + 301
    monkeypatch.setattr(time, "time", lambda: later)
    assert judged_by_now() == 2


def test_a_page_of_many_judges_is_light_and_bounded(sign_in: Any) -> None:
    for n in range(9):
        decided(1, "0.80", judge=make_agent(f"judge-{n}"))
    answer = sign_in(ADMINISTRATOR).get(PAGE)
    assert len(answer.context["seen"].records) == 6
    assert "3 more judges" in text(answer)
    assert len(answer.content) < 60_000


def test_consequences_come_first(sign_in: Any) -> None:
    campaign = make_campaign(name="Meskel launch")
    decided(10, "0.80", campaign=campaign)
    decided(2, "0.80", Decision.REJECT, campaign=campaign)
    waiting_item(campaign=campaign, confidence="0.75")
    answer = sign_in(OPERATOR).get(CHANGE, {"campaign": campaign.pk, "threshold": "0.78"})
    page = text(answer)
    assert "0.85 → <strong>0.78</strong>" in page
    assert '0 → <strong>12</strong> <span class="quiet">of 13 approvals</span>' in page
    assert "12 more would have been published; people saw 12 of these and rejected <strong>2</strong>" in page
    assert "1 open review in this campaign stays with people: nothing that waits is decided anew." in page
    assert not AuditLog.objects.filter(action="set_threshold").exists()


def test_raising_it_says_what_would_have_come_to_people(sign_in: Any) -> None:
    campaign = blind_campaign(name="Meskel launch")
    decided(3, "0.90", campaign=campaign)
    decided(1, "0.90", Decision.REJECT, campaign=campaign)
    page = text(sign_in(OPERATOR).get(CHANGE, {"campaign": campaign.pk, "threshold": "0.95"}))
    assert "4 more would have come to people; people saw 4 of these and rejected <strong>1</strong>" in page


def form(campaigns: list[Campaign], **given: Any) -> dict[str, Any]:
    seen = {f"seen_{campaign.pk}": "0.850" for campaign in campaigns}
    return {
        "campaign": [campaign.pk for campaign in campaigns],
        "threshold": "0.9",
        "reason": "False claims.",
        **seen,
    } | given


def thresholds() -> dict[str, str]:
    return {found.name: str(ReviewPolicy.of(found).approve_threshold.normalize()) for found in Campaign.objects.all()}


def test_it_is_set_for_several_at_once_and_each_is_audited(sign_in: Any) -> None:
    campaigns = [make_campaign(name=name) for name in ("One", "Two", "Three")]
    client = sign_in(OPERATOR)
    answer = client.post(CHANGE, form(campaigns[:2]), follow=True)
    assert answer.redirect_chain == [(PAGE, 302)]
    page = text(answer)
    assert "The threshold of “One” is 0.900 from now on." in page
    assert thresholds() == {"One": "0.9", "Two": "0.9", "Three": "0.85"}
    rows = AuditLog.objects.filter(action="set_threshold")
    assert {row.campaign_id for row in rows} == {campaign.pk for campaign in campaigns[:2]}
    assert {row.output_summary for row in rows} == {"False claims."}
    trace = client.get(reverse("admin:trace", args=[rows[0].trace_id]))
    assert "False claims." in text(sign_in(AUDITOR).get(reverse("admin:audit_auditlog_change", args=[rows[0].pk])))
    assert trace.status_code == 200
    assert "set the approve threshold of" in text(trace)


def test_what_is_refused_for_one_is_done_for_the_others_and_nothing_typed_is_lost(sign_in: Any) -> None:
    fine, stale = make_campaign(name="Fine"), make_campaign(name="Stale")
    given = form([fine, stale], **{f"seen_{stale.pk}": "0.700"})
    answer = sign_in(OPERATOR).post(CHANGE, given)
    page = text(answer)
    assert answer.status_code == 409
    assert "The threshold of “Stale” has changed to 0.850 meanwhile." in page
    assert "The threshold of “Fine” is 0.900 from now on." in page
    assert "False claims." in page
    assert [row.campaign.name for row in answer.context["rows"]] == ["Stale"]
    assert thresholds() == {"Fine": "0.9", "Stale": "0.85"}
    again = sign_in(OPERATOR).post(CHANGE, form([stale]))
    assert again.status_code == 302


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"reason": " "}, "Say why you change the threshold"),
        ({"threshold": "1.2"}, "A threshold is a number from 0 to 1"),
        ({"threshold": ""}, "Choose a threshold, and at least one campaign"),
        ({"campaign": []}, "Choose a threshold, and at least one campaign"),
        ({"campaign": ["x", "019a0000-0000-7000-8000-000000000000"]}, "at least one campaign that has not ended"),
        ({"seen": "high"}, "A threshold is a number from 0 to 1"),
    ],
)
def test_what_is_missing_or_damaged_is_said(sign_in: Any, given: dict[str, Any], said: str) -> None:
    campaign = make_campaign()
    if "seen" in given:
        given = {f"seen_{campaign.pk}": given["seen"]}
    answer = sign_in(OPERATOR).post(CHANGE, form([campaign], **given))
    assert answer.status_code == 422
    assert said in text(answer)
    assert set(thresholds().values()) == {"0.85"}


@pytest.mark.parametrize("query", ["?threshold=high", "?threshold=NaN", "?campaign=x&threshold=2", "?threshold=-1"])
def test_a_damaged_address_is_no_accident(sign_in: Any, query: str) -> None:
    assert sign_in(OPERATOR).get(CHANGE + query).status_code == 422
    assert sign_in(OPERATOR).get(PAGE + query).status_code == 200


def test_ended_campaigns_are_not_offered(sign_in: Any) -> None:
    campaign = make_campaign(name="Coffee stories")
    control_campaign("stop", campaign_id=campaign.pk, actor=Actor.human(make_user(OPERATOR)), reason="Over.")
    assert "Coffee stories" not in text(sign_in(OPERATOR).get(CHANGE))
    assert sign_in(OPERATOR).post(CHANGE, form([campaign])).status_code == 422
    assert Decimal(thresholds()["Coffee stories"]) == Decimal("0.85")


def enough(**fields: Any) -> None:
    """Ten decisions of people in one band, of which they agreed with seven."""
    decided(7, "0.62", **fields)
    decided(3, "0.62", Decision.REJECT, **fields)


def test_an_items_page_says_how_far_to_trust_its_judge(sign_in: Any) -> None:
    enough()
    item = waiting_item(confidence="0.65", title="Reel: 3 fees to avoid")
    page = text(sign_in(REVIEWER).get(reverse("admin:content_reviewitem_change", args=[item.pk])))
    assert f'<dt>people agree</dt><dd><a href="{PAGE}?judge=judge-2">70 % in this band</a>' in page


def test_an_items_page_says_nothing_of_few_nor_of_a_judge_that_only_asked(sign_in: Any) -> None:
    decided(9, "0.62")
    unsure, asked = waiting_item(confidence="0.65"), waiting_item(confidence="0.65", decision=Decision.ESCALATE)
    client = sign_in(REVIEWER)
    for item in (unsure, asked):
        assert "people agree<" not in text(client.get(reverse("admin:content_reviewitem_change", args=[item.pk])))


def test_a_blind_sample_says_it_only_after_the_decision(sign_in: Any) -> None:
    campaign = blind_campaign()
    decided(10, "0.96", campaign=campaign)
    made = judged(confidence="0.97", campaign=campaign)
    item = ReviewItem.objects.open().get(artifact=made.artifact)
    client = sign_in(REVIEWER)
    address = reverse("admin:content_reviewitem_change", args=[item.pk])
    before = text(client.get(address))
    assert "people agree<" not in before
    assert "judge-2" not in before
    decide_review_item(item_id=item.pk, decision=Decision.APPROVE, reasons=[], actor=Actor.human(client.user))
    assert "100 % in this band" in text(client.get(address))


def unnamed() -> ReviewDecision:
    """A decision of a judge that wrote no name, as plain SQL allows."""
    artifact, plain = make_artifact(), {"reasons": [], "next_action": NextAction.RETRY, "reviewer_type": "judge"}
    return ReviewDecision(
        **plain, task=artifact.task, artifact=artifact, decision=Decision.REJECT, confidence_score=Decimal("0.6")
    )


@pytest.mark.parametrize("group", [REVIEWER, OPERATOR, AUDITOR, ADMINISTRATOR])
def test_every_link_of_the_page_leads_somewhere(sign_in: Any, group: str) -> None:
    enough()
    ReviewDecision.objects.create_all([unnamed()])
    client = sign_in(group)
    page = client.get(PAGE).content.decode()
    main = page[page.index("<main") :]
    links = {link.replace("&amp;", "&") for link in re.findall(r'href="([^"]+)"', main)}
    assert any("confidence_score__gte=0.6&confidence_score__lt=0.7" in link for link in links)
    for link in links:
        found = client.get(link if link.startswith("/") else PAGE + link)
        assert found.status_code == 200, link
        if "confidence_score" in link:
            assert found.context["cl"].result_count == (1 if "isnull" in link else 10)


def test_the_review_desk_and_the_agents_lead_here(sign_in: Any) -> None:
    client = sign_in(REVIEWER)
    for path in (reverse("admin:content_reviewitem_changelist"), reverse("admin:agents")):
        page = client.get(path).content.decode()
        assert f'href="{PAGE}"' in page[page.index("<main") :], path
