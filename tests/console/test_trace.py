"""The page of a trace: how far it has come, what it is about, whether its hashes agree, and the trace as a file."""

import csv
import io
import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from audit import trace as trace_module
from audit.admin.cells import admin_url
from audit.context import Actor
from audit.models import AuditLog
from config.groups import AUDITOR, REVIEWER
from metrics.services import Measurement, append_events
from metrics.views.subject import page_of as metrics_of
from tests import factories
from tests.console.test_large_tables import entries

pytestmark = pytest.mark.django_db


def page_of(trace_id: str) -> str:
    return reverse("admin:trace", args=[trace_id])


def stages(answer) -> dict[str, str]:
    return {stage.word: stage.says if stage.at is None else "reached" for stage in answer.context["journey"].stages}


def body(answer) -> str:
    return (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode()


def test_the_whole_way_from_the_plan_to_the_measurement(sign_in) -> None:
    post = factories.published_post()
    factories.make_events(post, observed_at=post.published_at + timedelta(hours=2))
    factories.make_events(post, observed_at=post.published_at + timedelta(days=1), metric_value=1224)
    answer = sign_in(AUDITOR).get(page_of(post.artifact.task.trace_id))
    assert stages(answer) == {
        "planned": "reached",
        "claimed": "reached",
        "made": "reached",
        "judged": "reached",
        "decided": "no person was asked",
        "queued": "reached",
        "published": "reached",
        "measured": "reached",
    }
    text = body(answer)
    for stage in answer.context["journey"].stages:
        assert stage.at is None or f'id="{stage.link.removeprefix("#")}"' in text
    for row in (post, post.artifact, post.decision, post.artifact.task):
        assert admin_url(row) in text
    assert answer.context["journey"].stages[-1].says.startswith("after 1 h")
    measured = answer.context["journey"].measured
    assert (measured.last - measured.first) == timedelta(hours=22)
    assert [content.sums for content in measured.contents] == [[("views", "1,234")]]
    leads = f"{metrics_of('content', post.artifact_id)}?{measured.query}"
    assert leads.replace("&", "&amp;") in text
    assert sign_in(AUDITOR).get(leads).context["curve"].total == 1234


def test_measurements_are_told_only_to_whoever_may_see_them(sign_in) -> None:
    post = factories.published_post()
    append_events(
        measurements=[
            Measurement(1, post.platform, "views", timezone.now(), "test", artifact_id=post.artifact_id, increase=777)
        ],
        actor=Actor.system("collector"),
    )
    page, client = page_of(post.artifact.task.trace_id), sign_in()
    gathered = '<strong class="num">777</strong> views'
    client.user.user_permissions.add(Permission.objects.get(codename="view_auditlog"))
    assert gathered not in body(client.get(page))
    assert gathered in body(sign_in(AUDITOR).get(page))


def test_a_trace_of_several_contents_tells_what_each_has_gathered(sign_in) -> None:
    first = factories.published_post(title="In two versions")
    factories.make_events(first, metric_value=5)
    second = factories.make_artifact(task=factories.claimed_task(trace_id=first.artifact.task.trace_id))
    append_events(
        measurements=[Measurement(1, "x", "likes", timezone.now(), "test", artifact_id=second.pk, increase=3)],
        actor=Actor.system("collector"),
    )
    answer = sign_in(AUDITOR).get(page_of(first.artifact.task.trace_id))
    told = {content.artifact.pk: content.sums for content in answer.context["journey"].measured.contents}
    assert told == {first.artifact_id: [("views", "5")], second.pk: [("likes", "3")]}


def test_what_is_still_to_come_is_told(sign_in) -> None:
    told = stages(sign_in(AUDITOR).get(page_of(factories.waiting_item().task.trace_id)))
    assert told["judged"] == "reached"
    assert {told["decided"], told["queued"], told["published"], told["measured"]} == {"not yet"}


def test_a_persons_decision_is_a_stage_of_its_own(sign_in) -> None:
    item = factories.decided_item(person=factories.make_user(REVIEWER))
    assert stages(sign_in(AUDITOR).get(page_of(item.task.trace_id)))["decided"] == "reached"


def test_a_failed_end_is_told(sign_in) -> None:
    task = factories.task_in("failed")
    assert "its last try failed" in body(sign_in(AUDITOR).get(page_of(task.trace_id)))


def test_a_stage_on_another_page_is_led_to(sign_in, monkeypatch) -> None:
    monkeypatch.setattr(trace_module, "PAGE", 3)
    post = factories.published_post()
    client, page = sign_in(AUDITOR), page_of(post.artifact.task.trace_id)
    published = client.get(page).context["journey"].stages[6]
    assert published.link.startswith("?after=")
    where, _, step = published.link.partition("#")
    assert f'id="{step}"' in body(client.get(page + where))


def test_plain_sql_rows_count_too(sign_in) -> None:
    entries(1, trace_id="ab" * 16, entity_type="task", action="create", changes={"status": [None, "pending"]})
    entries(
        1,
        trace_id="ab" * 16,
        entity_type="publish_record",
        action="update",
        changes={"status": ["queued", "published"]},
    )
    entries(1, trace_id="ab" * 16, entity_type="task", action="update", changes=["odd"])
    told = stages(sign_in(AUDITOR).get(page_of("ab" * 16)))
    assert (told["planned"], told["published"], told["made"]) == ("reached", "reached", "nothing was made")


def test_hashes_are_computed_anew(sign_in) -> None:
    task = factories.claimed_task()  # with a context snapshot, whose hash is the context's
    client = sign_in(AUDITOR)
    assert "every hash agrees" in body(client.get(page_of(task.trace_id)))
    entries(1, trace_id=task.trace_id, changes={"a": [1, 2]}, inputs_hash="0" * 64)
    text = body(client.get(page_of(task.trace_id)))
    assert "1 with a hash that does not agree" in text
    assert "hash differs" in text


def test_the_page_of_an_entry_says_whether_its_hash_agrees(sign_in) -> None:
    factories.make_task()
    client, row = sign_in(AUDITOR), AuditLog.objects.filter(entity_type="task").first()
    assert "agrees with what changed" in body(client.get(admin_url(row)))
    entries(1, trace_id="ab" * 16, changes={"a": [1, 2]}, inputs_hash="0" * 64)
    forged = AuditLog.objects.get(trace_id="ab" * 16)
    assert "does not agree" in body(client.get(admin_url(forged)))


@pytest.mark.parametrize("form", ["csv", "json"])
def test_the_trace_is_taken_as_a_file_and_that_is_on_record(sign_in, form, monkeypatch) -> None:
    monkeypatch.setattr(trace_module, "PAGE", 3)  # several short questions for one file
    post = factories.published_post()
    trace = post.artifact.task.trace_id
    expected = list(AuditLog.objects.filter(trace_id=trace).order_by("created_at", "audit_id"))
    client = sign_in(AUDITOR)
    answer = client.get(f"{page_of(trace)}trace.{form}")
    assert answer["Content-Disposition"] == f'attachment; filename="trace-{trace}.json"' or form == "csv"
    text = body(answer)
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    else:
        told = json.loads(text)
        assert told["trace_id"] == trace
        rows = told["entries"]
    assert [row["audit_id"] for row in rows] == [str(row.audit_id) for row in expected]
    assert "lease_id" not in text
    taken = AuditLog.objects.get(entity_type="list", action="export")
    assert (taken.actor_id, taken.entity_id) == (f"user:{client.user.pk}", "audit_log")
    assert taken.changes == {"query": [None, f"trace_id={trace}"]}


@pytest.mark.parametrize("form", ["csv", "json"])
def test_the_file_needs_the_permission_and_a_trace(sign_in, form) -> None:
    trace = factories.make_task().trace_id
    assert sign_in().get(f"{page_of(trace)}trace.{form}").status_code == 403
    assert sign_in(AUDITOR).get(f"{page_of('f' * 32)}trace.{form}").status_code == 404
    assert sign_in(AUDITOR).get(f"{page_of('xyz')}trace.{form}").status_code == 404
    assert not AuditLog.objects.filter(entity_type="list").exists()


def test_the_trace_is_reached_from_everything_on_it(sign_in) -> None:
    post, item = factories.published_post(), factories.waiting_item()
    client = sign_in(AUDITOR)
    for row, trace in (
        (post, post.artifact.task.trace_id),
        (post.artifact, post.artifact.task.trace_id),
        (post.decision, post.artifact.task.trace_id),
        (post.artifact.task, post.artifact.task.trace_id),
        (item, item.task.trace_id),
    ):
        assert page_of(trace) in body(client.get(admin_url(row))), row


def test_a_measurement_leads_to_its_trace(sign_in) -> None:
    post = factories.published_post("p-1")
    (event, *_) = factories.make_events(post, amount=1)
    client, trace = sign_in(AUDITOR), reverse("admin:trace", args=[post.artifact.task.trace_id])
    for page in (
        reverse("admin:metrics_metricevent_changelist"),
        reverse("admin:metrics_metricevent_change", args=[event.pk]),
    ):
        assert trace in client.get(page).rendered_content
