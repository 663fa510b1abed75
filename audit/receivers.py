"""Every change that Django makes becomes audit rows here, in the transaction of the change."""

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models import CharField, DateTimeField, F, Func, Value
from django.db.models.signals import m2m_changed, post_save, pre_save

from audit import exact_json
from audit.base import AuditedModel
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


def _remember(sender: type[AuditedModel], instance: AuditedModel, **_: Any) -> None:
    """Lock and keep the row as it is, so that the log tells what really changed and not what was asked."""
    before = None
    if not instance._state.adding:
        before = sender._base_manager.select_for_update(of=("self",)).filter(pk=instance.pk).first()
    setattr(instance, _BEFORE, before)


def _saved(sender: type[AuditedModel], instance: AuditedModel, created: bool, raw: bool, **_: Any) -> None:
    before = getattr(instance, _BEFORE, None)
    delattr(instance, _BEFORE)
    write(sender, None if created else [before], [instance], "create" if created else "update")


def _changed(sender: type[AuditedModel], before: Any, after: Any, action: str, **_: Any) -> None:
    write(sender, before, after, action)


def write(
    model: type[AuditedModel], before: Sequence[Any] | None, written: Sequence[AuditedModel], action: str
) -> None:
    """One audit row for each row that differs, all in one INSERT.

    What a row is now is read back: the instance holds what was asked for, and the database may have rounded it, filled
    it in or stamped it.
    """
    context, spec = current(), model.audit
    fallback = context.trace_id or new_trace_id()
    rows = _read(model, written)
    AuditLog.objects.bulk_create(
        AuditLog(
            trace_id=row.audit_trace or fallback,
            actor_type=context.actor.type,
            actor_id=context.actor.id,
            entity_type=spec.entity,
            entity_id=str(row.pk),
            action=action,
            severity=Severity.WARNING if action in WARNING_ACTIONS else Severity.INFO,
            tool_name=context.tool_name,
            campaign_id=row.audit_campaign,
            changes=changes,
            created_at=ClockTime(),
        )
        for old, row in zip(before or [None] * len(rows), rows, strict=True)
        if (changes := difference(old, row))
    )


def _read(model: type[AuditedModel], written: Sequence[AuditedModel]) -> list[Any]:
    """The rows as the database has them, in the same order, with the trace and the campaign that they belong to."""
    spec = model.audit
    paths = {"audit_trace": spec.trace, "audit_campaign": spec.campaign}
    rows = model._base_manager.annotate(
        **{name: F(path) if path else Value(None, CharField()) for name, path in paths.items()}
    ).in_bulk([row.pk for row in written])
    return [rows[row.pk] for row in written]


def register_links(model: type[models.Model], field: str, entity: EntityType) -> None:
    """Audit a many-to-many field of `model`, from whichever side it is changed: groups of people, rights of groups."""
    link = model._meta.get_field(field)
    other_side = str(link.remote_field.get_accessor_name())  # type: ignore[union-attr]

    def changed(instance: models.Model, action: str, reverse: bool, pk_set: set[Any] | None, **_: Any) -> None:
        rows: Any = [instance]
        if reverse:
            linked = getattr(instance, other_side)
            rows = model._base_manager.filter(pk__in=pk_set) if pk_set is not None else linked.all()
        for row in rows if pk_set or action == "pre_clear" else ():
            after = {str(each) for each in getattr(row, field).all()}
            touched = {str(instance)} if reverse else {str(each) for each in linked_rows(row, pk_set)}
            if action == "post_add":
                _write_links(row, entity, field, after - touched, after)
            elif action == "post_remove":
                _write_links(row, entity, field, after | touched, after)
            elif action == "pre_clear":
                _write_links(row, entity, field, after, after - touched if reverse else set())

    def linked_rows(row: models.Model, pk_set: set[Any] | None) -> Any:
        manager = getattr(row, field).model._base_manager
        return manager.filter(pk__in=pk_set) if pk_set is not None else ()

    through = getattr(model, field).through
    m2m_changed.connect(changed, sender=through, weak=False, dispatch_uid=f"audit:{model._meta.label}:{field}")


def _write_links(row: models.Model, entity: EntityType, field: str, before: set[str], after: set[str]) -> None:
    if before == after:
        return
    context = current()
    AuditLog.objects.create(
        trace_id=context.trace_id or new_trace_id(),
        actor_type=context.actor.type,
        actor_id=context.actor.id,
        entity_type=entity,
        entity_id=str(row.pk),
        action="update",
        tool_name=context.tool_name,
        changes={field: [sorted(before), sorted(after)]},
        created_at=ClockTime(),
    )


def difference(before: models.Model | None, after: AuditedModel) -> dict[str, Any] | None:
    """`{column: [before, after]}` of what differs, as the database's `audit_changes` would tell it."""
    old, new = (_values(before) if before else {}), _values(after)
    spec = after.audit
    changes: dict[str, Any] = {
        column: [REDACTED, REDACTED] if column in spec.redact else [old.get(column), value]
        for column, value in new.items()
        if old.get(column) != value and column not in spec.ignore
    }
    if spec.redact & changes.keys():
        changes["_redaction"] = REDACTION_VERSION
    return changes or None


def _values(row: models.Model) -> dict[str, Any]:
    plain = {field.column: getattr(row, field.attname) for field in row._meta.concrete_fields}
    values: dict[str, Any] = exact_json.loads(exact_json.dumps(plain))
    return values
