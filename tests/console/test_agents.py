"""Agents at work: who works, who went quiet, whose work fails; and suspending one with its consequences in sight."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents.choices import AgentStatus, TokenRole
from agents.models import Agent, ApiToken
from agents.services import suspend_agent
from audit.context import Actor
from campaigns.choices import TaskStatus
from campaigns.models import Task
from campaigns.services import control_campaign, fail_task
from config.console.agent_control import consequences
from config.console.fleet import CUT_OFF, Ended
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from content.services import claim_posts
from tests import factories
from tests.factories import claimed_task, make_agent, make_campaign, make_task, make_user, task_in

pytestmark = pytest.mark.django_db
PAGE = "/admin/fleet/"


def text(answer) -> str:
    return answer.content.decode()


def control(agent, verb) -> str:
    return reverse("admin:agent_control", args=[agent.pk, verb])


def rows(client, query: str = "") -> dict:
    return {row.work.agent.pk: row for row in client.get(PAGE + query).context["rows"]}


def token(agent, role=TokenRole.WORKER, **fields):
    n = next(factories.number)
    given = {"name": f"token {n}", "role": role, "prefix": f"gh_{n:09}", "token_sha256": f"{n:064}", "agent": agent}
    return ApiToken.objects.create(**given, **fields)


def old_task(**fields):
    """Pending for an hour."""
    return make_task(created_at=timezone.now() - timedelta(hours=1), **fields)


def seen(agent, minutes) -> None:
    token(agent, last_used_at=timezone.now() - timedelta(minutes=minutes))


def test_who_works_on_what_and_until_when(sign_in) -> None:
    task = claimed_task()
    make_task(campaign=task.campaign, agent=task.agent)
    row = rows(sign_in(REVIEWER))[task.agent_id]
    assert (row.word, row.work.in_progress, row.pending) == ("working", 1, "1")
    assert (row.work.since, row.work.lease_until) == (task.claimed_at, task.lease_expires_at)
    assert row.work.last_seen == task.claimed_at


def test_a_lease_that_ended_makes_its_agent_quiet(sign_in) -> None:
    task = claimed_task()
    task.change("test", lease_expires_at=timezone.now() - timedelta(minutes=3))
    row = rows(sign_in(REVIEWER))[task.agent_id]
    assert (row.word, "lease has ended" in row.why) == ("quiet", True)


@pytest.mark.parametrize(
    ("case", "word"),
    [
        ("seen long ago, and work waits", "quiet"),
        ("seen a moment ago, and work waits", "idle"),
        ("seen long ago, and nothing waits", "idle"),
        ("seen long ago, and what waits is paused", "idle"),
        ("seen long ago, and what waits is for later", "idle"),
        ("never seen, and work waits", "not seen yet"),
    ],
)
def test_who_went_quiet(sign_in, case, word) -> None:
    agent, campaign = make_agent(), make_campaign()
    if "never" not in case:
        seen(agent, 1 if "moment" in case else 40)
    if "nothing waits" not in case:
        later = timezone.now() + timedelta(hours=3) if "later" in case else None
        old_task(agent=agent, campaign=campaign, not_before=later)
    if "paused" in case:
        operator = Actor.human(make_user(OPERATOR))
        control_campaign("pause", campaign_id=campaign.pk, actor=operator, reason="lunch")
    assert rows(sign_in(REVIEWER))[agent.pk].word == word


def test_failures_are_told_apart_from_rejections_and_from_halts(sign_in) -> None:
    agent, campaign = make_agent(), make_campaign()
    given = {"agent": agent, "campaign": campaign}
    task_in(TaskStatus.DONE, **given)
    fail_task(task=claimed_task(**given), actor=Actor.system("test"), error="The model timed out.", retryable=False)
    rejected = task_in(TaskStatus.REVIEW, **given)
    rejected.change("reject", status=TaskStatus.FAILED, error="Rejected: the price.")
    claimed_task(**given)
    operator = Actor.human(make_user(OPERATOR))
    control_campaign("halt", campaign_id=campaign.pk, actor=operator, reason="wrong price")
    assert Task.objects.filter(error__startswith=CUT_OFF).count() == 1
    work = rows(sign_in(REVIEWER))[agent.pk].work
    assert work.day == work.week == Ended(ended=3, failed=1, rejected=1)


def test_small_numbers_are_not_told_in_percent_and_do_not_come_first() -> None:
    assert Ended(1, 1).in_words == "1 of 1"
    assert Ended(40, 10).in_words == "10 of 40 (25 %)"
    assert Ended().in_words == "none ended"
    assert Ended(100, 30).at_least > Ended(1, 1).at_least > Ended(50, 0).at_least >= 0


def test_judges_decisions_of_today_are_counted(sign_in) -> None:
    for _ in range(3):
        factories.judged()
    row = rows(sign_in(REVIEWER))["judge-2"]
    assert (row.work.judged, row.word) == (3, "idle")
    assert row.work.last_seen is not None


def test_it_is_sorted_narrowed_and_paged(sign_in, monkeypatch) -> None:
    campaign = make_campaign(name="Meskel launch")
    make_agent("a-1", agent_group="writers", campaign=campaign)
    failing, quiet = make_agent("b-2", agent_group="writers"), make_agent("c-3")
    fail_task(task=claimed_task(agent=failing), actor=Actor.system("test"), error="x", retryable=False)
    old_task(agent=quiet)
    seen(quiet, 40)
    reviewer = sign_in(REVIEWER)
    assert list(rows(reviewer)) == ["c-3", "b-2", "a-1"]
    assert list(rows(reviewer, "?sort=name")) == ["a-1", "b-2", "c-3"]
    assert next(iter(rows(reviewer, "?sort=errors"))) == "b-2"
    assert set(rows(reviewer, "?group=writers")) == {"a-1", "b-2"}
    assert set(rows(reviewer, f"?campaign={campaign.pk}")) == {"a-1"}
    assert rows(reviewer, "?group=nobody") == {}
    assert reviewer.get(f"{PAGE}?campaign=x").status_code == 404
    monkeypatch.setattr("config.console.agents.ON_A_PAGE", 2)
    first = reviewer.get(f"{PAGE}?sort=name")
    assert [row.work.agent.pk for row in first.context["rows"]] == ["a-1", "b-2"]
    second = reviewer.get(PAGE + first.context["after"])
    assert [row.work.agent.pk for row in second.context["rows"]] == ["c-3"]
    for odd in ("?page=0", "?page=x", "?page=99", "?sort=x"):
        assert reviewer.get(PAGE + odd).status_code == 200


def test_who_rests_is_folded_with_who_and_why(sign_in) -> None:
    agent, operator = make_agent("writer-9"), sign_in(OPERATOR)
    suspend_agent(agent_id=agent.pk, actor=Actor.human(operator.user), reason="it repeats itself")
    answer = operator.get(PAGE)
    assert rows(operator) == {}
    assert "it repeats itself" in text(answer)
    assert str(operator.user) in text(answer)
    assert control(agent, "reactivate") in text(answer)


def test_five_hundred_agents_cost_what_two_cost_and_weigh_little(sign_in) -> None:
    operator = sign_in(OPERATOR)
    for _ in range(2):
        task = claimed_task()
        old_task(agent=task.agent, campaign=task.campaign)
    operator.get(PAGE)
    with CaptureQueriesContext(connection) as few:
        operator.get(PAGE)
    made = Agent.objects.create_all(
        Agent(agent_id=f"agent-{n:03}", display_name=f"Agent {n}", status=AgentStatus.ACTIVE, agent_group=f"g{n % 9}")
        for n in range(500)
    )
    for agent in made[:5]:
        old_task(agent=agent, campaign=task.campaign)
        seen(agent, 40)
        suspend_agent(agent_id=make_agent().pk, actor=Actor.human(operator.user), reason="x")
    with CaptureQueriesContext(connection) as many:
        answer = operator.get(PAGE)
    assert answer.context["total"] == 502
    # Those that rest have reasons, and each kind of name that the log tells is one question more.
    assert len(many) <= len(few) + 4, [query["sql"][:90] for query in many]
    assert len(many) <= 28
    assert len(answer.content) < 150_000


# --- Verbs -----------------------------------------------------------------------------------------------------------


def test_the_consequences_are_counted_first() -> None:
    agent, campaign = make_agent("publisher-1"), make_campaign(target_platforms=["tiktok"])
    given = {"agent": agent, "campaign": campaign}
    claimed_task(**given)
    make_task(**given)
    make_task(**given)
    factories.queued_posts(campaign=campaign)
    claim_posts(platform="tiktok", actor=factories.worker(make_task(**given)), agent=agent)
    token(agent)
    assert {row.what: row.word for row in consequences(agent, "suspend")} == {
        "1 task in progress": "may finish",
        "3 pending tasks": "wait",
        "1 post in its hands": "may finish",
        "1 token bound to it": "stay valid",
    }
    assert {row.what: row.word for row in consequences(agent, "retire")}["3 pending tasks"] == "stranded"
    assert Task.objects.filter(status=TaskStatus.IN_PROGRESS).count() == 1  # counted, not done


@pytest.mark.parametrize(
    ("before", "verb", "then"),
    [("active", "suspend", "suspended"), ("suspended", "reactivate", "active"), ("active", "retire", "retired")],
)
def test_an_operator_uses_each_verb_with_a_reason(sign_in, before, verb, then) -> None:
    agent, operator = make_agent("writer-4", status=before), sign_in(OPERATOR)
    make_task(agent=agent)
    own = reverse("admin:agents_agent_change", args=[agent.pk])
    assert control(agent, verb) in text(operator.get(own))
    said = operator.get(control(agent, verb))
    assert "What will happen" in text(said)
    for row in said.context["rows"]:
        assert operator.get(row.url).status_code == 200, row.url
    answer = operator.post(control(agent, verb), {"reason": "it repeats itself"}, follow=True)
    assert answer.redirect_chain[-1][0] == own
    agent.refresh_from_db()
    assert agent.status == then
    again = operator.post(control(agent, verb), {"reason": "typed twice"})
    assert (again.status_code, "is possible only when" in text(again)) == (409, True)
    assert "typed twice" in text(again)


def test_without_a_reason_nothing_happens(sign_in) -> None:
    agent = make_agent()
    answer = sign_in(OPERATOR).post(control(agent, "suspend"), {"reason": " "})
    assert (answer.status_code, "Say why you suspend it" in text(answer)) == (422, True)
    agent.refresh_from_db()
    assert agent.status == AgentStatus.ACTIVE


def test_an_agent_of_any_name_has_its_page(sign_in) -> None:
    agent = make_agent("team/writer_4:ä?")
    operator = sign_in(OPERATOR)
    link = re.search(r'href="(/admin/fleet/[^"]*/suspend/)"', text(operator.get(PAGE)))
    assert link is not None
    assert operator.post(link[1], {"reason": "x"}).status_code == 302
    agent.refresh_from_db()
    assert agent.status == AgentStatus.SUSPENDED


def test_the_status_is_not_in_the_form_but_of_a_new_agent(sign_in) -> None:
    operator, agent = sign_in(OPERATOR), make_agent("writer-4")
    answer = operator.post(
        reverse("admin:agents_agent_change", args=[agent.pk]), {"status": "retired", "display_name": "Writer"}
    )
    assert answer.status_code == 302
    agent.refresh_from_db()
    assert (agent.status, agent.display_name) == (AgentStatus.ACTIVE, "Writer")
    added = operator.post(reverse("admin:agents_agent_add"), {"agent_id": "writer-5", "status": "retired"})
    assert "Select a valid choice" in text(added)
    operator.post(reverse("admin:agents_agent_add"), {"agent_id": "writer-5", "status": "suspended"})
    assert Agent.objects.get(pk="writer-5").status == AgentStatus.SUSPENDED


@pytest.mark.parametrize("group", [REVIEWER, AUDITOR])
def test_without_the_permission_no_button_and_a_sentence(sign_in, group) -> None:
    client, agent = sign_in(group), make_agent()
    make_agent(status="suspended")
    for path in (PAGE, reverse("admin:agents_agent_change", args=[agent.pk])):
        assert not re.search(r"/fleet/.+/(suspend|reactivate|retire)/", text(client.get(path)))
    for answer in (client.get(control(agent, "suspend")), client.post(control(agent, "suspend"), {"reason": "x"})):
        assert (answer.status_code, "agents.change_agent" in text(answer)) == (403, True)
    agent.refresh_from_db()
    assert agent.status == AgentStatus.ACTIVE


def test_who_may_not_see_agents_is_told_so(sign_in) -> None:
    answer = sign_in().get(PAGE)
    assert (answer.status_code, "agents.view_agent" in text(answer)) == (403, True)
    assert sign_in(OPERATOR).get("/admin/fleet/nobody/suspend/").status_code == 404
    assert sign_in(OPERATOR).get(control(make_agent(), "burn")).status_code == 404


# --- Pickers ---------------------------------------------------------------------------------------------------------


def suggested(client, model: str, field: str, term: str) -> list[str]:
    app, name = model.split(".")
    query = {"app_label": app, "model_name": name, "field_name": field, "term": term}
    return [found["text"] for found in client.get("/admin/autocomplete/", query).json()["results"]]


def test_the_pickers_offer_no_retired_agent(sign_in) -> None:
    make_agent("writer-1", status="active").change("test", status="retired")
    make_agent("writer-2")
    administrator = sign_in(ADMINISTRATOR)
    assert suggested(administrator, "agents.apitoken", "agent", "writer") == ["writer-2"]
    assert suggested(administrator, "campaigns.task", "agent", "writer") == ["writer-2"]
    assert "writer-1" in text(administrator.get("/admin/agents/agent/?q=writer"))


@pytest.mark.parametrize("typed", ["Meskel launch", " Meskel launch ", "the key"])
def test_a_campaign_is_given_by_its_name_or_its_key(sign_in, typed) -> None:
    campaign = make_campaign(name="Meskel launch")
    given = {"agent_id": "writer-4", "status": "active", "campaign": str(campaign.pk) if "key" in typed else typed}
    operator = sign_in(OPERATOR)
    assert operator.post(reverse("admin:agents_agent_add"), given).status_code == 302
    agent = Agent.objects.get()
    assert agent.campaign == campaign
    page = text(operator.get(reverse("admin:agents_agent_change", args=[agent.pk])))
    assert 'value="Meskel launch"' in page


@pytest.mark.parametrize(
    ("typed", "said"),
    [("Nothing like it", "Nothing is called “Nothing like it”"), ("Twice", "Several are called so"), ("a\0b", "NUL")],
)
def test_what_names_no_campaign_is_refused_in_words(sign_in, typed, said) -> None:
    for _ in range(2):
        make_campaign(name="Twice")
    answer = sign_in(OPERATOR).post(
        reverse("admin:agents_agent_add"), {"agent_id": "w", "status": "active", "campaign": typed}
    )
    assert (answer.status_code, Agent.objects.count()) == (200, 0)
    if said != "NUL":
        assert said in text(answer)


def test_an_agent_of_one_of_two_campaigns_of_a_name_keeps_it_when_its_form_is_saved(sign_in) -> None:
    campaign, _ = make_campaign(name="Twice"), make_campaign(name="Twice")
    agent, operator = make_agent(campaign=campaign), sign_in(OPERATOR)
    form = operator.get(reverse("admin:agents_agent_change", args=[agent.pk]))
    shown = form.context["adminform"].form["campaign"].value()
    typed = form.context["adminform"].form.fields["campaign"].prepare_value(shown)
    operator.post(reverse("admin:agents_agent_change", args=[agent.pk]), {"campaign": typed, "display_name": "x"})
    agent.refresh_from_db()
    assert (agent.campaign, agent.display_name) == (campaign, "x")


def test_the_forms_are_light(sign_in) -> None:
    administrator = sign_in(ADMINISTRATOR)
    for name in ("agents_agent", "agents_apitoken", "campaigns_task"):
        page = text(administrator.get(reverse(f"admin:{name}_add")))
        assert "jquery" not in page.lower()
        assert "select2" not in page
        assert "console/picker.js" in page
