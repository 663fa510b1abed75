"""What every table of Gatehouse has in common: its identity, its clock, and writes that leave audit rows.

A change reaches the database by `save()`, `create_all()` or `change()`, each in a transaction with its audit rows.
Django's own bulk methods would slip past the signals, so they refuse.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, NoReturn, Self, TypeVar, cast

from django.db import models, transaction
from django.db.models import CharField, F, Func, Value
from uuid_utils.compat import uuid7

from audit import exact_json
from audit.choices import EntityType
from audit.errors import broken_rule
from audit.signals import rows_changed


def new_id() -> uuid.UUID:
    """A UUIDv7: it sorts by creation time, so it pages too."""
    return uuid7()


class UUIDv7(Func):
    function = "uuidv7"
    output_field = models.UUIDField()


class SQLNow(Func):
    """`now()`, the default that the specification writes; Django's `Now` is another clock."""

    function = "now"
    output_field = models.DateTimeField()


def IdField() -> models.UUIDField[Any, Any]:
    """A primary key. The Python default is for forms (an add page with inlines needs it), the other for SQL."""
    return models.UUIDField(primary_key=True, default=new_id, db_default=UUIDv7(), editable=False)


class Sha256Field(models.CharField[str, str]):
    """64 lowercase hex digits. Left empty, a trigger fills it; anything else is the writer's claim of what it is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 64, **options})

    def db_type(self, connection: Any) -> str:
        return "char(64)"


def CreatedAtField() -> models.DateTimeField[Any, Any]:
    return models.DateTimeField(db_default=SQLNow(), editable=False, help_text="When the row was written.")


def UpdatedAtField() -> models.DateTimeField[Any, Any]:
    return models.DateTimeField(db_default=SQLNow(), editable=False, help_text="When the row last changed.")


def one_of(column: str, table: str, choices: type[models.TextChoices]) -> models.CheckConstraint:
    """The CHECK of an enumeration, under the name that PostgreSQL gives a column's check."""
    return models.CheckConstraint(
        name=f"{table}_{column}_check",
        condition=models.Q(**{f"{column}__in": choices.values}),
        violation_error_message=f"{column} must be one of: {', '.join(choices.values)}.",
    )


def at_least(column: str, table: str, minimum: int) -> models.CheckConstraint:
    return models.CheckConstraint(
        name=f"{table}_{column}_check",
        condition=models.Q(**{f"{column}__gte": minimum}),
        violation_error_message=f"{column} must be {minimum} or more.",
    )


class JSONShape(Func):
    function = "jsonb_typeof"
    output_field = models.TextField()


class JSONIsShallow(Func):
    """No value lies 64 levels down: deeper ones can be written to PostgreSQL, but not read by most languages."""

    template = "(NOT jsonb_path_exists(%(expressions)s, '$.**{64}'))"
    output_field = models.BooleanField()


def json_shaped(column: str, table: str) -> models.CheckConstraint:
    """JSON columns hold an object or an array, and no bottomless one; a bare text is a writer's mistake."""
    return models.CheckConstraint(
        name=f"{table}_{column}_check",
        condition=models.Q(models.lookups.In(JSONShape(models.F(column)), ["object", "array"]))
        & models.Q(JSONIsShallow(models.F(column))),
        violation_error_message=f"{column} must be a JSON object or array.",
    )


FIRST_INSTANT, LAST_INSTANT = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def times_within_reach(table: str, *columns: str) -> models.CheckConstraint:
    """PostgreSQL knows infinity and years BC; a row that holds one could not be read, and so not be halted either."""
    within = models.Q()
    for column in columns:
        within &= models.Q(**{f"{column}__isnull": True}) | models.Q(
            **{f"{column}__range": (FIRST_INSTANT, LAST_INSTANT)}
        )
    return models.CheckConstraint(
        name=f"{table}_times_check", condition=within, violation_error_message="A time lies outside of the calendar."
    )


def sha256_shaped(column: str, table: str) -> models.CheckConstraint:
    return models.CheckConstraint(
        name=f"{table}_{column}_check",
        condition=models.Q(**{f"{column}__regex": "^[0-9a-f]{64}$"}),
        violation_error_message=f"{column} must be 64 lowercase hex digits.",
    )


@dataclass(frozen=True)
class AuditSpec:
    """How rows of a model appear in the audit log.

    `trace` and `campaign` are ORM paths; without a trace of its own, a row is on the trace of whoever changes it.
    `redact` names what the log must not repeat; `ignore` what is not worth a row (`last_login`).
    """

    entity: EntityType
    trace: str = ""
    campaign: str = ""
    redact: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset({"updated_at"})


M = TypeVar("M", bound="AuditedModel")

UNAUDITED = "would leave no audit rows; use save(), create_all() or change()"


def read_back(model: "type[AuditedModel]", keys: Sequence[Any], using: str) -> list[Any]:
    """The rows of these keys as the database has them, in that order, with the trace and campaign they belong to.

    The log tells what a row is, and not what was asked: the database may have rounded it, filled it in or stamped it.
    """
    paths = {"audit_trace": model.audit.trace, "audit_campaign": model.audit.campaign}
    rows = (
        model._base_manager.using(using)
        .annotate(**{name: F(path) if path else Value(None, CharField()) for name, path in paths.items()})
        .in_bulk(keys)
    )
    return [rows[key] for key in keys]


class AuditedQuerySet(models.QuerySet[M]):
    @transaction.atomic
    def change(self, action: str, **values: Any) -> list[M]:
        """Set `values` on every row that still matches when its lock is granted; return those rows as they now are.

        This is the compare-and-swap that settles races: put the expected status into the filter, and an empty list
        means that somebody else won (PostgreSQL looks at a row again after waiting for its lock).
        """
        before = list(self.order_by("pk").select_for_update(of=("self",)))
        if not before:
            return []
        keys = [row.pk for row in before]
        self.model._base_manager.using(self.db).filter(pk__in=keys).update(**values)
        after: list[M] = read_back(self.model, keys, self.db)
        rows_changed.send(self.model, before=before, after=after, action=action, using=self.db)
        return after

    @transaction.atomic
    def create_all(self, rows: Iterable[M], *, action: str = "create") -> list[M]:
        created = super().bulk_create(rows)
        if created:
            after = read_back(self.model, [row.pk for row in created], self.db)
            rows_changed.send(self.model, before=None, after=after, action=action, using=self.db)
        return created

    def update(self, **_: Any) -> NoReturn:
        raise TypeError(f"{self.model.__name__}.update() {UNAUDITED}")

    def bulk_create(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(f"{self.model.__name__}.bulk_create() {UNAUDITED}")

    def bulk_update(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(f"{self.model.__name__}.bulk_update() {UNAUDITED}")

    def delete(self) -> NoReturn:
        raise TypeError(f"{self.model._meta.verbose_name_plural} are never deleted")


class AuditedModel(models.Model):
    """A table whose every change leaves exactly one audit row."""

    audit: ClassVar[AuditSpec]
    immutable: ClassVar[bool] = False

    objects = AuditedQuerySet.as_manager()

    class Meta:
        abstract = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._loaded: dict[str, Any] = {}  # what the columns are known to hold in the database
        super().__init__(*args, **kwargs)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Writes only what was changed since the row was read: a form that was open during a pause does not undo it."""
        now = self._current()
        if not self._state.adding and not args and not kwargs.get("force_insert") and "update_fields" not in kwargs:
            changed = [name for name, value in now.items() if name not in self._loaded or self._loaded[name] != value]
            if not changed:
                return
            kwargs["update_fields"] = changed
        written = kwargs.get("update_fields") or list(now)
        # Outside a transaction Django would send post_save after the row has committed.
        with transaction.atomic(using=kwargs.get("using")):
            super().save(*args, **kwargs)
            # Only once it is committed does the row hold it: after a rollback the same save has to write again.
            kept = {name: now[name] for name in written if name in now}
            transaction.on_commit(lambda: self._loaded.update(kept), using=kwargs.get("using"))

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        row = super().from_db(*args, **kwargs)
        row._loaded = row._current()
        return row

    def _current(self) -> dict[str, Any]:
        """The values of the columns that were loaded; JSON as text, since it is changed in place and 1 equals True."""
        fields = [f for f in self._meta.concrete_fields if f.attname in self.__dict__ and not f.primary_key]
        return {
            field.name: exact_json.dumps(value, sort_keys=True)
            if isinstance(value := getattr(self, field.attname), dict | list)
            else value
            for field in fields
        }

    def refresh_from_db(
        self, using: str | None = None, fields: Iterable[str] | None = None, from_queryset: Any = None
    ) -> None:
        super().refresh_from_db(using=using, fields=fields, from_queryset=from_queryset)
        read = None if fields is None else set(fields)
        self._loaded |= {
            name: value
            for name, value in self._current().items()
            if read is None or {name, self._meta.get_field(name).attname} & read  # type: ignore[union-attr]
        }

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"{self._meta.verbose_name_plural} are never deleted")

    def change(self, action: str, **values: Any) -> Self:
        """Set `values` on this row, whatever its state; for rows that the caller has locked or just made."""
        (row,) = type(self).objects.filter(pk=self.pk).change(action, **values)
        return cast(Self, row)


def rule_in_words(error: Exception) -> str:
    """What the constraint by which the database refused says to people; empty when it is none of ours."""
    name = broken_rule(error)
    for model in audited_models() if name else ():
        for constraint in model._meta.constraints:
            if constraint.name == name:
                return str(constraint.get_violation_error_message())
    return ""


def audited_models(app_label: str | None = None) -> Iterator[type[AuditedModel]]:
    """Every audited model, or those of one app."""
    from django.apps import apps

    for model in apps.get_models():
        if issubclass(model, AuditedModel) and app_label in (None, model._meta.app_label):
            yield model


LONGEST_NAME = 160


def called(text: str) -> str:
    """What a row is called on a page: its title, as far as one reads a title. Agents write some, of any length."""
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…"
