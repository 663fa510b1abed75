"""What a person does with one post: each verb on a page that says first where the post stands and what will happen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from audit.admin.cells import admin_url
from audit.admin.entries import Entry, read
from audit.base import called
from audit.choices import EntityType
from audit.context import Actor
from audit.errors import Refused
from audit.models import AuditLog
from campaigns.choices import CAMPAIGN_FINAL
from campaigns.models import SystemControl
from content.choices import ArtifactType, Hold, Outcome, PublishStatus
from content.models import Artifact, PublishRecord
from content.platforms import post_id_in, post_url
from content.post_forms import PostForm, SettleForm, first_error
from content.publishing_page import SHOWN_FIRST, part_url, unknown
from content.services import (
    hold_post,
    queue_post_again,
    release_hold,
    reschedule_post,
    settle_unknown_post,
)
from content.services.post_control import PERMISSION, told_ids, who_settled, why_not_again
from content.services.publishing import tries_of
from content.standing import reasons_of_holds, standing
from content.stored import opened

BEGINNING = 400  # characters of a text, to look for on the platform
LAST_ENTRIES = 20
SETTLED = {
    Outcome.PUBLISHED: "Settled: it is out, as {post.platform_post_id}.",
    Outcome.RETRY: "Settled: it is queued again, and leaves after a short delay.",
    Outcome.DROP: "Settled: it was dropped.",
}


@dataclass(frozen=True)
class PostVerb:
    """One thing that can be done to a post: when, by which service, and what it says before and after."""

    label: str
    service: Callable[..., PublishRecord]
    done: str
    means: str
    asks_when: bool = False


VERBS = {
    "again": PostVerb(
        "Queue again",
        queue_post_again,
        "Queued again: this is the new try.",
        "A new try is queued, with the same content and the same approval. The failed ones stay as they are.",
        asks_when=True,
    ),
    "hold": PostVerb(
        "Hold", hold_post, "It is held, and does not leave.", "It does not leave until somebody releases it."
    ),
    "release": PostVerb(
        "Release",
        release_hold,
        "It is released.",
        "It leaves as soon as its time has come and nothing else keeps it.",
    ),
    "reschedule": PostVerb(
        "Reschedule",
        reschedule_post,
        "Its time is changed.",
        "It leaves no earlier than the time you give; without one, as soon as nothing else keeps it.",
        asks_when=True,
    ),
}


def possible(post: PublishRecord) -> list[str]:
    """The names of the verbs that this post allows; the service has the last word."""
    if post.status == PublishStatus.FAILED:
        again = post.campaign.status not in CAMPAIGN_FINAL and not why_not_again(post, post.artifact.task)
        return ["again"] if again else []
    if post.status != PublishStatus.QUEUED:
        return []
    if post.hold == Hold.OUTCOME_UNKNOWN:
        return ["settle"]
    if post.lease_id is not None:
        return []
    return ["release" if post.hold == Hold.OPERATOR else "hold", "reschedule"]


def control(request: HttpRequest, key: UUID, verb: str) -> HttpResponse:
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied(
            f"You may not settle, hold or queue posts. Ask an Administrator for the permission “{PERMISSION}”."
        )
    post = _find(key)
    if verb == "settle":
        return _settle(request, post)
    if verb not in VERBS:
        raise Http404("Nothing of that name can be done to a post.")
    form = PostForm(request.POST or None)
    if request.method != "POST":
        return _page(request, post, verb, form)
    if not form.is_valid():
        return _page(request, post, verb, form, refusal=first_error(form), status=422)
    try:
        changed = _do(request, post, verb, form)
    except Refused as refusal:
        return _page(request, _find(key), verb, form, refusal=refusal.sentence, status=refusal.status)
    messages.success(request, VERBS[verb].done)
    return HttpResponseRedirect(admin_url(changed))


def _find(key: UUID) -> PublishRecord:
    post = PublishRecord.objects.select_related(*SHOWN_FIRST).filter(pk=key).first()
    if post is None:
        raise Http404("There is no such post.")
    return post


def _do(request: HttpRequest, post: PublishRecord, verb: str, form: PostForm) -> PublishRecord:
    given: dict[str, Any] = {"actor": Actor.human(request.user), "reason": form.cleaned_data["reason"]}
    if VERBS[verb].asks_when:
        given["scheduled_for"] = form.cleaned_data["scheduled_for"]
    if verb == "again":
        given["platform_post_id"] = post_id_in(post.platform, form.cleaned_data["platform_post_id"])
    return VERBS[verb].service(publish_id=post.pk, **given)


def _page(
    request: HttpRequest, post: PublishRecord, verb: str, form: PostForm, *, refusal: str = "", status: int = 200
) -> HttpResponse:
    is_possible = verb in possible(post)
    if not is_possible and not refusal:
        refusal, status = _why_not(post, verb), 409
    context = {
        **_common(request, post),
        "title": f"{VERBS[verb].label} “{post.artifact.task}”?",
        "verb": VERBS[verb],
        "form": form,
        "asks_id": verb == "again" and is_possible and bool(told_ids(post)),
        "possible": is_possible,
        "refusal": refusal,
    }
    return TemplateResponse(request, "admin/publishing_verb.html", context, status=status)


def _why_not(post: PublishRecord, verb: str) -> str:
    if post.status == PublishStatus.FAILED and verb == "again":
        ended = f"Campaign “{post.campaign}” has ended; nothing of it is tried again."
        return ended if post.campaign.status in CAMPAIGN_FINAL else why_not_again(post, post.artifact.task)
    if post.lease_id is not None:
        return "A publisher has this post in hand right now; wait until it says what became of it."
    is_held = post.hold and post.status == PublishStatus.QUEUED
    state = post.get_hold_display() if is_held else post.get_status_display()
    return f"This post is {state}; it cannot be changed in this way now."


def _common(request: HttpRequest, post: PublishRecord) -> dict[str, Any]:
    """What every page of one post shows."""
    held = reasons_of_holds([post], request.user)
    others = PublishRecord.objects.live().filter(artifact=post.artifact_id).exclude(pk=post.pk).order_by("platform")
    return {
        **admin.site.each_context(request),
        "post": post,
        "standing": standing(post, SystemControl.objects.get(), held.get(post.pk, "")),
        "told": [(told, post_url(post.platform, told)) for told in told_ids(post)],
        "tries": tries_of(post).count(),
        "others": others[:LAST_ENTRIES],
    }


# Settling


def _settle(request: HttpRequest, post: PublishRecord) -> HttpResponse:
    form = SettleForm(request.POST or None)
    if request.method != "POST":
        return _settle_page(request, post, form)
    if not form.is_valid():
        return _settle_page(request, post, form, refusal=first_error(form), status=422)
    given = form.cleaned_data
    try:
        settled = settle_unknown_post(
            publish_id=post.pk,
            outcome=given["outcome"],
            actor=Actor.human(request.user),
            reason=given["reason"],
            platform_post_id=post_id_in(post.platform, given["platform_post_id"]),
            published_at=given["published_at"] if given["outcome"] == Outcome.PUBLISHED else None,
        )
    except Refused as refusal:
        return _settle_page(request, _find(post.pk), form, refusal=refusal.sentence, status=refusal.status)
    messages.success(request, SETTLED[Outcome(given["outcome"])].format(post=settled))
    following = unknown().exclude(pk=post.pk).first() if "next" in request.POST else None
    return HttpResponseRedirect(_settle_url(following) if following else part_url("unknown"))


def _settle_url(post: PublishRecord) -> str:
    return reverse("admin:post_control", args=[post.pk, "settle"])


def _settle_page(
    request: HttpRequest, post: PublishRecord, form: SettleForm, *, refusal: str = "", status: int = 200
) -> HttpResponse:
    is_unknown = post.hold == Hold.OUTCOME_UNKNOWN and post.status == PublishStatus.QUEUED
    if not is_unknown and not refusal:
        refusal, status = who_settled(post), 409
    following = unknown().exclude(pk=post.pk).first()
    context = {
        **_common(request, post),
        "title": f"Is “{post.artifact.task}” out?",
        "form": form,
        "possible": is_unknown,
        "beginning": beginning(post.artifact) if is_unknown else "",
        "account": account(post.artifact),
        "has_ended": post.campaign.status in CAMPAIGN_FINAL,
        "next_url": _settle_url(following) if following else "",
        "refusal": refusal,
    }
    return TemplateResponse(request, "admin/publishing_settle.html", context, status=status)


def beginning(artifact: Artifact) -> str:
    """The first words of a text, to look for on the platform; empty for what is no text, or is not stored here."""
    file = opened(artifact.content_ref) if artifact.artifact_type == ArtifactType.TEXT else None
    if file is None:
        return ""
    with file:
        start: bytes = file.read(4 * BEGINNING)
    return start.decode(errors="ignore").replace("\x00", "")[:BEGINNING].strip()


def account(artifact: Artifact) -> str:
    """The account on the platform, where the maker has told it."""
    told = artifact.metadata if isinstance(artifact.metadata, dict) else {}
    return next((str(told[name]) for name in ("account", "channel") if told.get(name)), "")


# The page of a post in the list


def reading(request: HttpRequest, post: PublishRecord) -> dict[str, Any]:
    """What the post's own page shows above its columns."""
    may = request.user.has_perm(PERMISSION)
    labels = {"settle": "Settle", **{name: verb.label for name, verb in VERBS.items()}}
    held = reasons_of_holds([post], request.user)
    return {
        "heading": f"“{post.artifact.task}” on {called(post.platform)}",
        "standing": standing(post, SystemControl.objects.get(), held.get(post.pk, "")),
        "verbs": [(name, labels[name]) for name in possible(post)] if may else [],
        "address": post_url(post.platform, post.platform_post_id) if post.platform_post_id else "",
        "tries": tries_of(post).order_by("attempt", "created_at")[:LAST_ENTRIES],
        "entries": _entries(post, request.user),
    }


def _entries(post: PublishRecord, person: Any) -> list[Entry]:
    """What was done to it last, with the reasons that people gave."""
    if not person.has_perm("audit.view_auditlog"):
        return []
    rows = AuditLog.objects.filter(entity_type=EntityType.PUBLISH_RECORD, entity_id=str(post.pk))
    return read(list(rows.order_by("-created_at")[:LAST_ENTRIES]), person)
