"""What opens a door is on no page, in no file and not in the log: password hashes, leases, tokens."""

import re

import pytest
from django.urls import reverse

from audit.models import AuditLog
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from content.choices import ReviewReason
from tests import factories

pytestmark = pytest.mark.django_db


def body(answer) -> str:
    return (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode()


@pytest.mark.parametrize("group", [AUDITOR, ADMINISTRATOR])
def test_nobody_sees_the_hash_of_a_password(sign_in, group) -> None:
    person, client = factories.make_user(OPERATOR), sign_in(group)
    page = client.get(reverse("admin:accounts_user_change", args=[person.pk]))
    assert page.status_code == 200
    assert person.password not in body(page)
    assert client.get(reverse("admin:accounts_user_value", args=[person.pk, "password"])).status_code == 403
    assert person.password not in body(client.get(reverse("admin:accounts_user_export")))


def test_nobody_sees_a_lease(sign_in) -> None:
    """Whoever knows it can report in its holder's name."""
    post, task = factories.claimed_post(), factories.claimed_task()
    leases, client = [str(post.lease_id), str(task.lease_id)], sign_in(ADMINISTRATOR)
    trace = {row.trace_id for row in AuditLog.objects.filter(entity_id__in=[str(post.pk), str(task.pk)])}
    addresses = [
        reverse("admin:content_publishrecord_change", args=[post.pk]),
        reverse("admin:campaigns_task_change", args=[task.pk]),
        reverse("admin:content_publishrecord_export"),
        reverse("admin:campaigns_task_export"),
        reverse("admin:audit_auditlog_export"),
        reverse("admin:audit_auditlog_changelist"),
        *(reverse("admin:trace", args=[each]) for each in trace),
        *(reverse("admin:trace_file", args=[each, form]) for each in trace for form in ("csv", "json")),
        *(reverse("admin:audit_auditlog_change", args=[row.pk]) for row in AuditLog.objects.all()),
        *(reverse("admin:audit_auditlog_value", args=[row.pk, "changes"]) for row in AuditLog.objects.all()),
    ]
    seen = [(address, lease) for address in addresses for lease in leases if lease in body(client.get(address))]
    assert seen == []
    for row, label in ((post, "content_publishrecord"), (task, "campaigns_task")):
        assert client.get(reverse(f"admin:{label}_value", args=[row.pk, "lease_id"])).status_code == 403


def test_nobody_who_may_decide_reads_what_the_judge_of_a_routine_check_said(sign_in) -> None:
    item = factories.waiting_item(reasons=["said by the judge"], confidence="0.777")
    item.change("test", reason=ReviewReason.BLIND_SAMPLE)
    made, trace = item.artifact.decisions.get(), item.task.trace_id
    reviewer, auditor = sign_in(REVIEWER), sign_in(AUDITOR)
    of_decision = [
        reverse("admin:content_reviewdecision_changelist"),
        reverse("admin:content_reviewdecision_export"),
        reverse("admin:content_reviewdecision_change", args=[made.pk]),
        reverse("admin:content_reviewdecision_value", args=[made.pk, "reasons"]),
        reverse("admin:trace", args=[trace]),
        *(reverse("admin:trace_file", args=[trace, form]) for form in ("csv", "json")),
    ]
    others = [
        reverse("admin:index"),
        reverse("admin:content_reviewitem_changelist"),
        reverse("admin:content_reviewitem_export"),
        reverse("admin:content_reviewitem_change", args=[item.pk]),
        reverse("admin:content_artifact_change", args=[item.artifact.pk]),
        reverse("admin:campaigns_task_change", args=[item.task.pk]),
        reverse("admin:search") + f"?q={made.pk}",
    ]
    told = re.compile(r"said by the judge|0\.777?\b")
    assert [page for page in of_decision if not told.search(body(auditor.get(page)))] == []
    assert [page for page in [*of_decision, *others] if told.search(body(reviewer.get(page)))] == []
    assert str(made.pk) not in body(reviewer.get(others[4]))
    reviewer.post(others[3], {"decision": "approve", "reasons": "Read it."})
    assert [page for page in of_decision if not told.search(body(reviewer.get(page)))] == []
