"""Every change that Django makes becomes audit rows here, in the transaction of the change."""

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models import DateTimeField, Func
from django.db.models.signals import m2m_changed, post_save, pre_save

from audit import exact_json
from audit.base import AuditedModel, read_back
from audit.choices import WARNING_ACTIONS, EntityType, Severity
from audit.context import current, new_trace_id
from audit.models import AuditLog
from audit.signals import rows_changed


class ClockTime(Func):
    """Now, and not when the transaction began: the log is read in the order in which things were done."""

    function = "clock_timestamp"
    output_field = DateTimeField()


REDACTED = "[redacted]"
REDACTION_VERSION = 1
_BEFORE = "_audit_before"


def register(model: type[AuditedModel]) -> None:
    """From now on, changes of `model` are audited. Called from each app's `AppConfig.ready`."""
    pre_save.connect(_remember, sender=model, dispatch_uid=f"audit:{model._meta.label}:pre")
    post_save.connect(_saved, sender=model, dispatch_uid=f"audit:{model._meta.label}:post")
    rows_changed.connect(_changed, sender=model, dispatch_uid=f"audit:{model._meta.label}:rows")


def _remember(sender: type[AuditedModel], instance: AuditedModel, using: str, **_: Any) -> None:
    """Lock and keep the row as it is, so that the log tells what really changed and not what was asked.

    Not against those who hold its key: a busy fleet would keep an edit of its campaign or agent waiting without end.
    """
    before = None
    if not instance._state.adding:
        before = (
            sender._base_manager.using(using)
            .select_for_update(of=("self",), no_key=True)
            .filter(pk=instance.pk)
            .first()
        )
    setattr(instance, _BEFORE, before)


def _saved(sender: type[AuditedModel], instance: AuditedModel, created: bool, using: str, **_: Any) -> None:
    before = getattr(instance, _BEFORE, None)
    delattr(instance, _BEFORE)
    after = read_back(sender, [instance.pk], using)
    write(sender, None if created else [before], after, "create" if created else "update", using)


def _changed(sender: type[AuditedModel], before: Any, after: Any, action: str, using: str, **_: Any) -> None:
    write(sender, before, after, action, using)


def write(
    model: type[AuditedModel], before: Sequence[Any] | None, after: Sequence[Any], action: str, using: str
) -> None:
    """One audit row for each row that differs, all in one INSERT; `after` comes from `read_back`."""
    fallback = current().trace_id or new_trace_id()
    AuditLog.objects.using(using).bulk_create(
        _entry(
            model.audit.entity,
            row.pk,
            action,
            changes,
            trace_id=row.audit_trace or fallback,
            campaign_id=row.audit_campaign,
        )
        for old, row in zip(before or [None] * len(after), after, strict=True)
        if (changes := difference(old, row))
    )


def _entry(
    entity: EntityType, key: object, action: str, changes: dict[str, Any], *, trace_id: str, campaign_id: Any = None
) -> AuditLog:
    """An audit row of whoever is acting now."""
    context = current()
    return AuditLog(
        trace_id=trace_id,
        actor_type=context.actor.type,
        actor_id=context.actor.id,
        entity_type=entity,
        entity_id=str(key),
        action=action,
        severity=Severity.WARNING if action in WARNING_ACTIONS else Severity.INFO,
        tool_name=context.tool_name,
        output_summary=context.reason,
        campaign_id=campaign_id,
        changes=changes,
        created_at=ClockTime(),
    )


def record(entity: EntityType, key: object, action: str, changes: dict[str, Any], **columns: Any) -> None:
    """An audit row for what changed no single row of ours: something was read, a library keeps it, or a whole batch.

    `columns` are set on the row as they are.
    """
    entry = _entry(entity, key, action, changes, trace_id=current().trace_id or new_trace_id())
    for name, value in columns.items():
        setattr(entry, name, value)
    entry.save()


def register_links(model: type[models.Model], field: str, entity: EntityType) -> None:
    """Audit a many-to-many field of `model`, from whichever side it is changed: groups of people, rights of groups."""
    link = model._meta.get_field(field)
    other_side = str(link.remote_field.get_accessor_name())  # type: ignore[union-attr]
    before: dict[Any, set[str]] = {}

    def linked(row: Any) -> set[str]:
        return {str(each) for each in getattr(row, field).all()}

    def changed(instance: models.Model, action: str, reverse: bool, pk_set: set[Any] | None, **_: Any) -> None:
        rows: list[Any] = [instance]
        if reverse:
            rows = list(
                getattr(instance, other_side).all() if pk_set is None else model._base_manager.filter(pk__in=pk_set)
            )
        if action == "pre_clear":
            for row in rows:
                told = linked(row)
                _write_links(row, entity, field, told, told - {str(instance)} if reverse else set())
        elif action in {"pre_add", "pre_remove"}:
            before.update({row.pk: linked(row) for row in rows})
        elif action in {"post_add", "post_remove"}:
            for row in rows:
                _write_links(row, entity, field, before.pop(row.pk, set()), linked(row))

    through = getattr(model, field).through
    m2m_changed.connect(changed, sender=through, weak=False, dispatch_uid=f"audit:{model._meta.label}:{field}")


def _write_links(row: models.Model, entity: EntityType, field: str, before: set[str], after: set[str]) -> None:
    if before == after:
        return
    record(entity, row.pk, "update", {field: [sorted(before), sorted(after)]})


def difference(before: models.Model | None, after: AuditedModel) -> dict[str, Any] | None:
    """`{column: [before, after]}` of what differs, as the database's `audit_changes` would tell it."""
    old, new = (_values(before) if before else {}), _values(after)
    spec = after.audit
    changes: dict[str, Any] = {
        column: [REDACTED, REDACTED] if column in spec.redact else [old.get(column), value]
        for column, value in new.items()
        if column not in spec.ignore and not exact_json.same(old.get(column), value)
    }
    if spec.redact & changes.keys():
        changes["_redaction"] = REDACTION_VERSION
    return changes or None


def _values(row: models.Model) -> dict[str, Any]:
    plain = {field.column: getattr(row, field.attname) for field in row._meta.concrete_fields}
    values: dict[str, Any] = exact_json.loads(exact_json.dumps(plain))
    return values
