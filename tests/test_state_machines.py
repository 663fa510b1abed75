"""Every illegal change of status is refused by the database, whichever way Django takes to get there.

The pairs are derived from `choices.py`: whatever is not legal there is illegal. Plain SQL is in tests/contract.
"""

from collections.abc import Iterator
from typing import Any

import pgtrigger
import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models, transaction

from agents.choices import AGENT_INITIAL, AGENT_TRANSITIONS
from agents.models import Agent
from audit.base import AuditedModel, audited_models
from audit.choices import EntityType
from audit.models import AuditLog
from campaigns.choices import (
    CAMPAIGN_INITIAL,
    CAMPAIGN_TRANSITIONS,
    TASK_INITIAL,
    TASK_TRANSITIONS,
    UNREVIEWED_TYPES,
    TaskStatus,
    TaskType,
)
from campaigns.models import Campaign, Task
from content.choices import (
    PUBLISH_INITIAL,
    PUBLISH_TRANSITIONS,
    REVIEW_ITEM_INITIAL,
    REVIEW_ITEM_TRANSITIONS,
    VIDEO_INITIAL,
    VIDEO_TRANSITIONS,
)
from content.models import PublishRecord, ReviewItem, VideoAsset
from tests.factories import make_agent, make_artifact, make_campaign, make_task, queued_posts, waiting_item

pytestmark = pytest.mark.django_db

MACHINES: dict[type[AuditedModel], tuple[set[Any], dict[Any, set[Any]]]] = {
    Campaign: (CAMPAIGN_INITIAL, CAMPAIGN_TRANSITIONS),
    Agent: (AGENT_INITIAL, AGENT_TRANSITIONS),
    Task: (TASK_INITIAL, TASK_TRANSITIONS),
    VideoAsset: (VIDEO_INITIAL, VIDEO_TRANSITIONS),
    ReviewItem: (REVIEW_ITEM_INITIAL, REVIEW_ITEM_TRANSITIONS),
    PublishRecord: (PUBLISH_INITIAL, PUBLISH_TRANSITIONS),
}


def fresh(model: type[AuditedModel]) -> Any:
    """A row in its first state."""
    if model is VideoAsset:
        task = make_task()
        return VideoAsset.objects.create(agent=task.agent, task=task, platform="tiktok", status="pending")
    made = {
        Campaign: make_campaign,
        Agent: make_agent,
        Task: lambda: make_task(task_type=TaskType.TREND_FETCH),
        ReviewItem: waiting_item,
        PublishRecord: lambda: queued_posts()[0],
    }[model]
    return made()  # type: ignore[operator]


def way(model: type[AuditedModel], start: Any, target: Any) -> list[Any] | None:
    """The shortest legal way from one state to another; None when there is none."""
    _, transitions = MACHINES[model]
    ways = [[start]]
    while ways:
        path = ways.pop(0)
        if path[-1] == target:
            return path[1:]
        ways += [[*path, following] for following in sorted(transitions[path[-1]]) if following not in path]
    return None


def in_state(model: type[AuditedModel], status: Any) -> Any:
    row = fresh(model)
    if way(model, row.status, status) is None:  # another first state leads there
        pytest.skip(f"{model.__name__} never comes to {status} from {row.status}")
    for step in way(model, row.status, status) or []:
        row = row.change("test", status=step)
    return row


def illegal_pairs() -> Iterator[Any]:
    for model, (_, transitions) in MACHINES.items():
        for old in transitions:
            for new in transitions:
                if new != old and new not in transitions[old] and way(model, fresh_status(model), old) is not None:
                    yield pytest.param(model, old, new, id=f"{model._meta.db_table}-{old}-{new}")


def legal_pairs() -> Iterator[Any]:
    for model, (_, transitions) in MACHINES.items():
        for old, targets in transitions.items():
            for new in sorted(targets):
                if way(model, fresh_status(model), old) is not None:
                    yield pytest.param(model, old, new, id=f"{model._meta.db_table}-{old}-{new}")


def fresh_status(model: type[AuditedModel]) -> Any:
    return {Campaign: "active", Agent: "active", Task: "pending", VideoAsset: "pending", ReviewItem: "open"}.get(
        model, "queued"
    )


@pytest.mark.parametrize(("model", "old", "new"), list(illegal_pairs()))
def test_an_illegal_change_is_refused_by_the_database(model: type[AuditedModel], old: Any, new: Any) -> None:
    row = in_state(model, old)
    constraint = f"{model._meta.db_table}_status_transition"
    with pytest.raises(IntegrityError) as by_save, transaction.atomic():
        row.status = new
        row.save()
    with pytest.raises(IntegrityError) as by_change, transaction.atomic():
        model.objects.filter(pk=row.pk).change("test", status=new)
    with pytest.raises(IntegrityError) as by_update, transaction.atomic():
        model._base_manager.filter(pk=row.pk).update(status=new)
    for refused in (by_save, by_change, by_update):
        diagnosis = refused.value.__cause__.diag  # type: ignore[union-attr]
        assert (diagnosis.sqlstate, diagnosis.constraint_name) == ("23514", constraint)


@pytest.mark.parametrize(("model", "old", "new"), list(legal_pairs()))
def test_a_legal_change_is_let_through(model: type[AuditedModel], old: Any, new: Any) -> None:
    assert in_state(model, old).change("test", status=new).status == new


@pytest.mark.parametrize("model", list(MACHINES), ids=lambda model: model._meta.db_table)
def test_a_row_begins_only_where_it_may(model: type[AuditedModel]) -> None:
    initial, transitions = MACHINES[model]
    row = fresh(model)
    for status in set(transitions) - initial:
        row.pk = "another" if model is Agent else None
        row._state.adding = True
        row.status = status
        with pytest.raises(IntegrityError, match="does not begin as"), transaction.atomic():
            row.save(force_insert=True)


@pytest.mark.parametrize("task_type", list(TaskType))
def test_only_what_nobody_reviews_is_done_without_a_review(task_type: TaskType) -> None:
    task = make_task(task_type=task_type).change("claim", status=TaskStatus.IN_PROGRESS)
    if task_type in UNREVIEWED_TYPES:
        assert task.change("complete", status=TaskStatus.DONE).status == TaskStatus.DONE
    else:
        with pytest.raises(IntegrityError, match="reviewed before it is done"), transaction.atomic():
            task.change("complete", status=TaskStatus.DONE)


def test_every_machine_is_tested() -> None:
    declared = {
        model
        for model in audited_models()
        if any(trigger.name == "transition" and trigger.column == "status" for trigger in model._meta.triggers)  # type: ignore[attr-defined]
    }
    assert declared == set(MACHINES)


def test_every_declared_trigger_is_installed() -> None:
    for model, trigger in pgtrigger.registered():
        assert trigger.get_installation_status(model, database="default") == ("INSTALLED", True), (model, trigger)


def check_values(table: str, column: str) -> set[str]:
    """What the CHECK of an enumeration allows, from the catalogue."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT array_agg(m[1])"
            " FROM pg_constraint, regexp_matches(pg_get_constraintdef(oid), '''([^'']+)''', 'g') m"
            " WHERE conname = %s AND conrelid = %s::regclass",
            [f"{table}_{column}_check", f'"{table}"'],
        )
        (values,) = cursor.fetchone()
    return set(values or [])


def enumerations() -> Iterator[Any]:
    ours = {model._meta.app_label for model in audited_models()} | {"audit"}
    for model in apps.get_models():
        for field in model._meta.concrete_fields if model._meta.app_label in ours else []:
            if field.choices:
                yield pytest.param(model, field, id=f"{model._meta.db_table}.{field.column}")


@pytest.mark.parametrize(("model", "field"), list(enumerations()))
def test_enumerations_in_code_and_database_are_equal(model: type[models.Model], field: Any) -> None:
    assert check_values(model._meta.db_table, field.column) == {value for value, _ in field.choices}


def test_every_audited_model_has_an_entity_type_of_its_own() -> None:
    entities = [model.audit.entity for model in audited_models()]
    assert len(entities) == len(set(entities))
    assert set(entities) | {EntityType.CONTEXT_SNAPSHOT, EntityType.GROUP, EntityType.LIST} == set(EntityType)
    assert check_values(AuditLog._meta.db_table, "entity_type") == set(EntityType.values)


def test_the_fence_is_for_every_door() -> None:
    """A task begun before a halt takes no artifact, even straight through the model."""
    artifact = make_artifact()
    Campaign.objects.filter(pk=artifact.campaign_id).change("test", epoch=1)
    with pytest.raises(IntegrityError, match="before a halt"), transaction.atomic():
        artifact.pk, artifact.version, artifact._state.adding = None, 2, True
        artifact.save(force_insert=True)
