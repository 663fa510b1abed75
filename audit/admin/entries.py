"""Audit rows as people read them: names instead of ids, and a link to what was changed.

A page of rows costs one query for the people and one for each kind of thing that it names, however many rows it has.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import models

from audit.admin.cells import admin_url
from audit.base import audited_models, called
from audit.choices import ActorType, EntityType
from audit.models import AuditLog

PERSON = "user:"
HANDLE = re.compile(r"user:[0-9a-f-]{36}")  # as names of decisions carry it
DID = {
    "submit": "submitted",
    "stop": "stopped",
    "drop": "dropped",
    "undo": "took back",
    "withdraw": "withdrew",
    "retry": "retried",
    "send_back": "sent back",
    "update": "changed",
    "set_threshold": "set the approve threshold of",
    "give": "was given",
    "reset": "reset the second factor of",
    "heartbeat": "is still at",
    "hold": "held",
    "published": "found published:",
    "expire": "ended the lost lease of",
    "unknown": "does not know what became of",
    "evidence": "reported too late on",
    "overdue": "found overdue:",
}


@dataclass(frozen=True)
class Entry:
    row: AuditLog
    actor: str
    entity: str  # what people call it
    url: str  # its page, when it has one
    campaign: models.Model | None

    @property
    def did(self) -> str:
        """The verb in the past, since it has happened."""
        verb = self.row.action
        return DID.get(verb) or called(f"{verb}d" if verb.endswith("e") else f"{verb}ed" if verb.isalpha() else verb)

    @property
    def kind(self) -> str:
        return str(self.row.get_entity_type_display())


@cache
def models_by_entity() -> dict[str, type[models.Model]]:
    """What an audit row can be about. Groups are Django's own, and audited by what they may do."""
    return {EntityType.GROUP: Group, **{model.audit.entity: model for model in audited_models()}}


def entity_of(model: type[models.Model]) -> str | None:
    """What the audit log calls rows of a model; None when it does not tell of them."""
    return next((entity for entity, known in models_by_entity().items() if known is model), None)


def read(rows: Sequence[AuditLog], person: Any) -> list[Entry]:
    """The rows as `person` reads them: with links to what that person may see."""
    people = _people(rows)
    named = {entity: _named(entity, ids) for entity, ids in _ids(rows).items()}
    campaigns = _named(EntityType.CAMPAIGN, {str(row.campaign_id) for row in rows if row.campaign_id})
    open_to = {entity for entity in named if _may_see(person, entity)}
    return [_entry(row, people, named[row.entity_type], campaigns, open_to) for row in rows]


@dataclass(frozen=True)
class Thing:
    """What an audit row is about, as people call it; `url` is empty when it has no page that they may open."""

    name: str
    url: str


def named(ids: dict[str, set[str]], person: Any) -> dict[tuple[str, str], Thing]:
    """Things by kind and key; one question for each kind, and what is not there any more is left out."""
    found = {}
    for kind, keys in ids.items():
        is_open = _may_see(person, kind)
        for key, row in _named(kind, keys).items():
            found[kind, key] = Thing(_without_handles(str(row)), admin_url(row) if is_open else "")
    return found


def _without_handles(name: str) -> str:
    return HANDLE.sub("a person", name)


def _may_see(person: Any, entity: str) -> bool:
    model = models_by_entity().get(entity)
    return model is not None and person.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")


def _entry(
    row: AuditLog, people: dict[str, str], named: dict[str, Any], campaigns: dict[str, Any], open_to: set[str]
) -> Entry:
    actor = row.actor_id or row.get_actor_type_display()
    thing = named.get(row.entity_id)
    name = HANDLE.sub(lambda found: people.get(found[0], "a person"), str(thing)) if thing else row.entity_id
    return Entry(
        row=row,
        actor=people.get(actor, "somebody who is not known here" if actor.startswith(PERSON) else actor),
        entity=called(name or ""),
        url=admin_url(thing) if thing and row.entity_type in open_to else "",
        campaign=campaigns.get(str(row.campaign_id)),
    )


def _people(rows: Iterable[AuditLog]) -> dict[str, str]:
    ids = {row.actor_id for row in rows if row.actor_type == ActorType.HUMAN and row.actor_id}
    found = _rows(get_user_model(), {actor.removeprefix(PERSON) for actor in ids})
    return {f"{PERSON}{key}": str(person) for key, person in found.items()}


def _ids(rows: Iterable[AuditLog]) -> dict[str, set[str]]:
    ids: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        ids[row.entity_type].add(row.entity_id)
    return ids


def _named(entity: str, ids: set[str]) -> dict[str, Any]:
    model = models_by_entity().get(entity)
    return _rows(model, ids) if model else {}


def _rows(model: type[models.Model], ids: set[str]) -> dict[str, Any]:
    """The rows of those ids with what their names need; ids that plain SQL misspelt are left out."""
    field, keys = model._meta.pk, []
    for text in ids:
        try:
            keys.append(field.to_python(text))
        except ValidationError:
            continue
    if not keys:
        return {}
    registered = admin.site._registry.get(model)
    related = registered.list_select_related if registered else ()
    rows = model._base_manager.filter(pk__in=keys)
    if related and not isinstance(related, bool):
        rows = rows.select_related(*related)
    return {str(row.pk): row for row in rows}
