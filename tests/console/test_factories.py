"""The factories make what they say, by the real verbs."""

import pytest

from audit.models import AuditLog
from campaigns.choices import TaskStatus
from content.choices import PublishStatus, ReviewItemStatus
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("status", TaskStatus)
def test_a_task_in_each_state(status: TaskStatus) -> None:
    assert factories.task_in(status).status == status


def test_the_way_from_task_to_event() -> None:
    post = factories.published_post()
    (event,) = factories.make_events(post)

    assert post.status == PublishStatus.PUBLISHED
    trace = AuditLog.objects.filter(trace_id=post.artifact.task.trace_id).order_by("created_at", "audit_id")
    assert trace.last().entity_id == str(event.pk)


def test_an_item_waits_and_is_decided() -> None:
    assert factories.waiting_item().status == ReviewItemStatus.OPEN
    assert factories.decided_item(person=factories.make_user("Reviewer")).status == ReviewItemStatus.DECIDED
