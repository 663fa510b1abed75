"""The search of the audit log: ten million rows, five indexes, and questions that none of these answers.

A trace, a key, or somebody who did few things is found by an index, however long ago it was. Everything else is looked
for among the newest rows before the page's end, `LOOKED_AT` of them; the page says how far it looked, and further back
is one click. So no question reads the whole log, and none is left without an answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Model, OrderBy, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import QueryDict

from audit.admin.entries import DID, PERSON, models_by_entity
from audit.admin.fields import Moment
from audit.choices import WARNING_ACTIONS, ActorType, EntityType, Severity
from audit.context import TRACE_ID
from audit.keyset import Row
from audit.models import AuditLog

LOOKED_AT = 100_000  # rows whose columns are compared
READ = 20_000  # rows whose changes are read for words
FEW = 10_000  # rows that an index may find before they are put in order
NAMES = 50  # people, agents or campaigns that a name may mean
ANY = ("", "any")
VERBS = sorted({*DID, *WARNING_ACTIONS, "create", "claim", "approve", "pause", "resume", "queue", "publish", "ingest"})


class SearchForm(forms.Form):
    """Its names are those of the columns, so that a link can say what it wants without knowing this form."""

    q = forms.CharField(required=False, label="Anything", help_text="Trace, key, person, agent or program")
    since = forms.DateTimeField(required=False, label="From", widget=Moment)
    until = forms.DateTimeField(required=False, label="To", widget=Moment)
    who = forms.CharField(required=False, label="Who", help_text="Name, e-mail, agent or program")
    actor_type = forms.ChoiceField(required=False, label="As", choices=[ANY, *ActorType.choices])
    action = forms.CharField(
        required=False, label="Did", widget=forms.TextInput({"list": "verbs"}), help_text="halt, approve…"
    )
    entity_type = forms.ChoiceField(required=False, label="To what", choices=[ANY, *EntityType.choices])
    entity_id = forms.CharField(required=False, label="Its key")
    campaign_id = forms.CharField(required=False, label="Campaign", help_text="Name or key")
    severity = forms.ChoiceField(required=False, choices=[ANY, *Severity.choices])
    trace_id = forms.CharField(required=False, label="Trace")
    changed = forms.CharField(required=False, label="Words in what changed")

    verbs = VERBS  # that the browser offers

    def __init__(self, data: QueryDict) -> None:
        """Django's own spelling of a filter (`severity__exact`) is understood too."""
        given = {name: data.get(name, data.get(f"{name}__exact", "")) for name in self.base_fields}
        super().__init__({name: value.strip() for name, value in given.items()}, label_suffix="")

    def rare(self) -> Iterator[forms.BoundField]:
        return (self[name] for name in ("actor_type", "entity_id", "trace_id", "changed"))

    def common(self) -> Iterator[forms.BoundField]:
        return (
            self[name] for name in ("q", "who", "action", "entity_type", "campaign_id", "severity", "since", "until")
        )


NAMES_OF_FIELDS = {spelt for name in SearchForm.base_fields for spelt in (name, f"{name}__exact")} - {"q"}


@dataclass(frozen=True)
class Found:
    """`rows` in the order of the log; `limit` is how many rows may be looked at, None where an index has the answer."""

    rows: QuerySet[AuditLog]
    limit: int | None


class LogSearch:
    def __init__(self, data: QueryDict) -> None:
        self.form = SearchForm(data)
        self.is_right = self.form.is_valid()
        self.given: dict[str, Any] = {name: value for name, value in self.form.cleaned_data.items() if value}

    @property
    def has_rare(self) -> bool:
        return any(bound.value() for bound in self.form.rare())

    def narrow(self, rows: QuerySet[AuditLog]) -> Found:
        if not self.is_right:
            return Found(rows.none(), None)
        asked, others, words = self._by_index(), self._others(), self.given.get("changed")
        narrowed = rows.filter(self._period(), others, *(reduce(or_, either) for either in asked))
        if words:
            narrowed = narrowed.annotate(said=Cast("changes", TextField())).filter(said__icontains=words)
        if any(all(map(_are_few, either)) for either in asked):
            # In an order that no index has, or PostgreSQL might walk the whole log in the order of time instead.
            return Found(narrowed.order_by(OrderBy(Row(F("created_at"), F("audit_id")), descending=True)), None)
        if not asked and not others and not words:
            return Found(narrowed, None)
        return Found(narrowed, READ if words else LOOKED_AT)

    def _period(self) -> Q:
        since, until = self.given.get("since"), self.given.get("until")
        period = Q(created_at__gte=since) if since else Q()
        return period & Q(created_at__lt=until) if until else period

    def _by_index(self) -> list[list[Q]]:
        """What an index of the log begins with: for each question the answers it can have, by any of them.

        Every type is named where the index begins with the type.
        """
        asked = []
        if "trace_id" in self.given:
            asked.append([Q(trace_id=self.given["trace_id"].lower())])
        if "entity_id" in self.given:
            types = [self.given["entity_type"]] if "entity_type" in self.given else EntityType.values
            asked.append([Q(entity_type__in=types, entity_id=self.given["entity_id"])])
        elif "entity_type" in self.given:
            asked.append([Q(entity_type=self.given["entity_type"])])
        if "who" in self.given:
            asked.append([_done_by(self.given["who"])])
        if "q" in self.given:
            asked.append(_anything(self.given["q"]))
        return asked

    def _others(self) -> Q:
        equal = {name: self.given[name] for name in ("actor_type", "severity") if name in self.given}
        asked = Q(**equal)
        if "action" in self.given:
            asked &= Q(action=self.given["action"].lower())
        if "campaign_id" in self.given:
            asked &= Q(campaign_id__in=keys_of(EntityType.CAMPAIGN, self.given["campaign_id"], "name"))
        return asked


def _anything(term: str) -> list[Q]:
    if TRACE_ID.fullmatch(term):
        return [Q(trace_id=term)]
    return [Q(entity_type__in=EntityType.values, entity_id=term), _done_by(term)]


def _done_by(term: str) -> Q:
    """Somebody by name or e-mail, an agent by its key or the name that people call it, a program by its own."""
    user = get_user_model()
    people = user._default_manager.filter(Q(email__iexact=term) | Q(display_name__icontains=term))
    ids = [term, *(f"{PERSON}{key}" for key in people.values_list("pk", flat=True)[:NAMES])]
    return Q(actor_type__in=ActorType.values, actor_id__in=[*ids, *keys_of(EntityType.AGENT, term, "display_name")])


def keys_of(entity: EntityType, term: str, column: str) -> list[Any]:
    """What the text can mean among things of a kind: a key, or a part of the column; their apps are higher rooms."""
    model = models_by_entity()[entity]
    found = list(model._base_manager.filter(**{f"{column}__icontains": term}).values_list("pk", flat=True)[:NAMES])
    return found + _key(model, term)


def _key(model: type[Model], term: str) -> list[Any]:
    try:
        return [model._meta.pk.to_python(term)]
    except (ValueError, FieldDoesNotExist, forms.ValidationError):
        return []


def _are_few(asked: Q) -> bool:
    """Counted in the index, and no further than that."""
    return AuditLog.objects.filter(asked).order_by()[: FEW + 1].count() <= FEW


def edge(limit: int, start: datetime | None, *, older: bool) -> datetime | None:
    """The moment until which `limit` rows from `start` reach; None when there are no more than that."""
    rows = AuditLog.objects.order_by("-created_at" if older else "created_at").values_list("created_at", flat=True)
    if start is not None:
        rows = rows.filter(created_at__lte=start) if older else rows.filter(created_at__gte=start)
    return next(iter(rows[limit : limit + 1]), None)
