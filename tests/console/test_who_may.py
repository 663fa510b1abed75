"""Every address of the console, and who reaches it: by GET, and by a POST that carries nothing.

The table names each address by its name, so that a new one fails here until somebody has said who may.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from accounts.models import User
from agents.models import ApiToken
from audit.admin import export
from audit.models import AuditLog
from campaigns.models import Campaign, Task
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from content.frame import _signed
from content.models import Artifact, PublishRecord, ReviewItem
from tests import factories

pytestmark = pytest.mark.django_db

ANONYMOUS, NO_GROUP = "nobody", ""
PEOPLE = [ANONYMOUS, NO_GROUP, REVIEWER, OPERATOR, AUDITOR, ADMINISTRATOR]
NONE: set[str] = set()
ALL, SIGNED_IN, IN_A_GROUP = set(PEOPLE), set(PEOPLE[1:]), set(PEOPLE[2:])
REVIEWERS, OPERATORS = {REVIEWER, ADMINISTRATOR}, {OPERATOR, ADMINISTRATOR}
ADMINISTRATORS, SEE_PEOPLE = {ADMINISTRATOR}, {AUDITOR, ADMINISTRATOR}


@dataclass(frozen=True)
class May:
    """`get` and `post` are those who get further than a 403, a 405 or the page for signing in."""

    get: set[str]
    post: set[str]
    args: Callable[[], list[Any]] = list


def first(model: Any) -> Callable[[], list[Any]]:
    return lambda: [model._default_manager.first().pk]


def with_verb(model: Any, verb: str) -> Callable[[], list[Any]]:
    return lambda: [model._default_manager.first().pk, verb]


def trace() -> str:
    return str(Task.objects.order_by("created_at")[0].trace_id)


def link() -> list[Any]:
    return ["x", "y"]


def token() -> list[Any]:
    return [_signed(Artifact.objects.first(), User.objects.get(display_name="Dawit Haile"))]


OWN: dict[str, May] = {
    # The frame, and what everybody has for themselves.
    "admin:index": May(SIGNED_IN, SIGNED_IN),
    "admin:login": May(ALL, ALL),
    "admin:logout": May({ANONYMOUS}, ALL),
    "admin:password_change": May(SIGNED_IN, SIGNED_IN),
    "admin:password_change_done": May(SIGNED_IN, SIGNED_IN),
    "admin:autocomplete": May(NONE, NONE),
    "admin:jsi18n": May(SIGNED_IN, NONE),
    "admin:view_on_site": May(SIGNED_IN, SIGNED_IN, lambda: [1, 1]),  # no model has an address on a site: 404
    "admin:app_list": May(SIGNED_IN, SIGNED_IN, lambda: ["content"]),  # leads to the index
    "admin:control_room": May(SIGNED_IN, NONE),
    "admin:you": May(SIGNED_IN, SIGNED_IN),
    "admin:sessions": May(SIGNED_IN, SIGNED_IN),
    "admin:second_factor_begin": May(SIGNED_IN, SIGNED_IN),
    "admin:second_factor_code": May(SIGNED_IN, SIGNED_IN),
    "admin:second_factor_off": May(SIGNED_IN, SIGNED_IN),
    "admin:second_factor_codes": May(SIGNED_IN, SIGNED_IN),
    "admin:notifications": May(SIGNED_IN, NONE),
    "admin:notifications_read": May(NONE, SIGNED_IN),
    "admin:notification": May(SIGNED_IN, NONE, first(Task)),  # another's, or none: 404
    "admin:saved_filter": May(NONE, SIGNED_IN),
    "admin:search": May(SIGNED_IN, NONE),
    # The ways in by e-mail.
    "admin:password_reset": May(ALL, ALL),
    "admin:password_reset_done": May(ALL, ALL),
    "admin:password_reset_complete": May(ALL, ALL),
    "admin:password_reset_confirm": May(ALL, ALL, link),
    "admin:join": May(ALL, ALL, link),
    # Places.
    "admin:agents": May(IN_A_GROUP, NONE),
    "admin:agent_control": May(OPERATORS, OPERATORS, lambda: ["writer-7", "suspend"]),
    "admin:publishing": May(IN_A_GROUP, NONE),
    "admin:publishing_part": May(IN_A_GROUP, NONE, lambda: ["failures"]),
    "admin:post_control": May(OPERATORS, OPERATORS, with_verb(PublishRecord, "hold")),
    "admin:calibration": May(IN_A_GROUP, NONE),
    "admin:calibration_threshold": May(OPERATORS, OPERATORS),
    "admin:metrics": May(IN_A_GROUP, NONE),
    "admin:metrics_campaign": May(IN_A_GROUP, NONE, first(Campaign)),
    "admin:metrics_content": May(IN_A_GROUP, NONE, first(Artifact)),
    "admin:metrics_agent": May(IN_A_GROUP, NONE, lambda: ["writer-4"]),
    "admin:metrics_platform": May(IN_A_GROUP, NONE, lambda: ["tiktok"]),
    "admin:archive": May(IN_A_GROUP, NONE),
    "admin:slow_queries": May(ADMINISTRATORS, NONE),
    "admin:trace": May(IN_A_GROUP, NONE, lambda: [trace()]),
    "admin:trace_file": May(IN_A_GROUP, NONE, lambda: [trace(), "csv"]),
    "admin:system_control": May(OPERATORS, OPERATORS, lambda: ["halt"]),
    # Verbs of single models.
    "admin:accounts_user_invite": May(NONE, ADMINISTRATORS, first(User)),
    "admin:accounts_user_sign_out": May(NONE, ADMINISTRATORS, first(User)),
    "admin:accounts_user_reset": May(ADMINISTRATORS, ADMINISTRATORS, first(User)),
    "admin:auth_user_password_change": May(ADMINISTRATORS, ADMINISTRATORS, first(User)),
    "admin:agents_apitoken_revoke": May(ADMINISTRATORS, ADMINISTRATORS, first(ApiToken)),
    "admin:agents_apitoken_rotate": May(ADMINISTRATORS, ADMINISTRATORS, first(ApiToken)),
    "admin:campaigns_task_operate": May(OPERATORS, OPERATORS, with_verb(Task, "retry")),
    "admin:campaigns_task_operate_many": May(OPERATORS, OPERATORS, lambda: ["retry"]),
    "admin:campaigns_task_reassign_all": May(OPERATORS, OPERATORS),
    "admin:campaigns_campaign_control": May(OPERATORS, OPERATORS, with_verb(Campaign, "pause")),
    "admin:campaigns_campaign_control_many": May(OPERATORS, OPERATORS, lambda: ["pause"]),
    "admin:content_artifact_alone": May(IN_A_GROUP, IN_A_GROUP, first(Artifact)),
    "admin:content_artifact_file": May(IN_A_GROUP, IN_A_GROUP, first(Artifact)),
    "admin:content_reviewitem_next": May(NONE, REVIEWERS),
    "admin:content_reviewitem_bulk": May(REVIEWERS, REVIEWERS),
    "admin:content_reviewitem_claim": May(NONE, REVIEWERS, first(ReviewItem)),
    "admin:content_reviewitem_release": May(NONE, SIGNED_IN, first(ReviewItem)),  # only what they hold: else 409
    # What the sandboxed frame loads: whoever has the signed address, while its person may see the artifact.
    "content-frame": May(ALL, NONE, token),
    "content-media": May(ALL, NONE, token),
    "content-file": May(ALL, NONE, token),
}
# Who may see and write the rows of each model; whoever is in a group sees what is not named here, and nobody writes it.
SEES = {
    "accounts.user": SEE_PEOPLE,
    "auth.group": SEE_PEOPLE,
    "agents.apitoken": SEE_PEOPLE,
    "axes.accessattempt": ADMINISTRATORS,
    "axes.accesslog": ADMINISTRATORS,
    "axes.accessfailurelog": NONE,
}
ADDS = {
    "campaigns.campaign": OPERATORS,
    "campaigns.task": OPERATORS,
    "agents.agent": OPERATORS,
    "agents.apitoken": ADMINISTRATORS,
    "accounts.user": ADMINISTRATORS,
    "auth.group": ADMINISTRATORS,
}
CHANGES = {
    "campaigns.campaign": OPERATORS,
    "agents.agent": OPERATORS,
    "accounts.user": ADMINISTRATORS,
    "auth.group": ADMINISTRATORS,
    "content.reviewitem": REVIEWERS,
}
WORDS = {"accounts.user": "email", "auth.group": "name", "agents.agent": "agent_id"}


def of_models() -> Iterator[tuple[str, May]]:
    for model in admin.site._registry:
        label, name = model._meta.label_lower, f"admin:{model._meta.app_label}_{model._meta.model_name}"
        sees, row = SEES.get(label, IN_A_GROUP), _row(model)
        yield f"{name}_changelist", May(sees, sees)
        yield f"{name}_export", May(sees, sees)
        yield f"{name}_add", May(ADDS.get(label, NONE), ADDS.get(label, NONE))
        yield f"{name}_change", May(sees, CHANGES.get(label, NONE), row)
        yield f"{name}_delete", May(NONE, NONE, row)
        yield f"{name}_history", May(sees, sees, row)
        yield f"{name}_value", May(sees, sees, _value(model))


def _row(model: Any) -> Callable[[], list[Any]]:
    return lambda: [quote(model._default_manager.first().pk)]


def _value(model: Any) -> Callable[[], list[Any]]:
    """A column that the page of the row shows; of a task the first that is written by people."""
    return lambda: [quote(model._default_manager.first().pk), _shown(model)]


def _shown(model: Any) -> str:
    found = admin.site._registry[model]
    listed = [name for _, given in (found.fieldsets or []) for name in given["fields"]] or list(found.fields or [])
    columns = [field.name for field in model._meta.concrete_fields if field.name not in export.SECRET]
    return next(name for name in columns[1:] if not listed or name in listed)


def named(resolver: Any = None, namespaces: tuple[str, ...] = ()) -> Iterator[str]:
    """Every name of an address outside of the API, with its namespace."""
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            yield from named(entry, (*namespaces, entry.namespace) if entry.namespace else namespaces)
        elif isinstance(entry, URLPattern):
            yield ":".join([*namespaces, entry.name or ""])


# Django's two that have no name: `<key>/` leads on to `<key>/change/`, and what is no address at all is a 404.
ELSEWHERE = {"", "admin:", "healthz", "readyz", "metrics", "api-docs"}


def test_every_address_says_who_may() -> None:
    there = {name for name in named() if not name.startswith("api:")} - ELSEWHERE
    assert there == OWN.keys() | dict(of_models()).keys()


@pytest.fixture
def world(standing_world: None, db: None) -> None:
    """Made once for all of this module."""


@pytest.fixture
def who(world, sign_in) -> Callable[[str], Client]:
    factories.make_user("Reviewer")

    def client_of(person: str) -> Client:
        client = Client() if person == ANONYMOUS else sign_in(person)
        client.raise_request_exception = False
        return client

    return client_of


@pytest.mark.parametrize("person", PEOPLE)
def test_who_reaches_what(who, person) -> None:
    client, wrong = who(person), []
    for name, may in [*OWN.items(), *of_models()]:
        address = reverse(name, args=may.args())
        for method, allowed in (("get", may.get), ("post", may.post)):
            with transaction.atomic():
                before = AuditLog.objects.count()
                answer = getattr(client, method)(address)
                if answer.streaming:
                    list(answer.streaming_content)  # to its end, where what is sent is closed
                written = AuditLog.objects.count() - before
                transaction.set_rollback(True)
            wrong += [f"{method} {address}: {problem}" for problem in unguarded(name, answer)]
            if method == "get" and written and not name.endswith(ON_RECORD):
                wrong.append(f"{method} {address}: a GET has done something")
            if name == "admin:logout" and person != ANONYMOUS:
                client.force_login(client.user, backend="django.contrib.auth.backends.ModelBackend")  # type: ignore[attr-defined]
            if answer.status_code >= 500 or reached(answer) != (person in allowed):
                wrong.append(f"{method} {address}: {answer.status_code} {answer.get('Location', '')}")
            elif not reached(answer) and written:
                wrong.append(f"{method} {address}: refused, and yet something was done")
    assert wrong == []


# A GET changes nothing that the log tells of, but that somebody took a file, and that they have an item in hand.
ON_RECORD = ("_export", "trace_file", "reviewitem_change")


def unguarded(name: str, answer: Any) -> Iterator[str]:
    """What is missing of the headers that every answer has; only the content's own document may be framed, by us."""
    framed = name.startswith("content-")
    policy = answer.headers.get("Content-Security-Policy", "")
    if f"frame-ancestors '{'self' if framed and answer.status_code != 405 else 'none'}'" not in policy:
        yield f"may be framed: {policy}"
    if "unsafe" in policy or "default-src '" not in policy:
        yield f"policy: {policy}"
    if answer.headers.get("X-Content-Type-Options") != "nosniff":
        yield "its type is guessed"
    if answer.headers.get("X-Frame-Options") not in ({"SAMEORIGIN", "DENY"} if name == "content-frame" else {"DENY"}):
        yield "may be framed"
    if answer.status_code == 200 and "no-store" not in answer.headers.get("Cache-Control", ""):
        yield "may be kept by caches"


def test_every_post_wants_its_token(world) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(factories.make_user(is_superuser=True), backend="django.contrib.auth.backends.ModelBackend")
    addresses = [reverse(name, args=may.args()) for name, may in [*OWN.items(), *of_models()]]
    assert [address for address in addresses if client.post(address).status_code != 403] == []


def reached(answer: Any) -> bool:
    return answer.status_code not in {403, 405} and not answer.get("Location", "").startswith("/admin/login/")
