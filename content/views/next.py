"""What comes next at the review desk, and the claims that an open page renews and gives back."""

from datetime import datetime
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from audit.admin.cells import admin_url, clock
from audit.context import Actor
from audit.errors import NotAllowed, Refused
from content.queue import as_uuid, carried, queue_of
from content.services import claim_item, claim_next, release_item

SKIPPED = "skipped_items"  # in the session: what this person has passed over
REMEMBERED = 100


@require_POST
def next_item(request: HttpRequest) -> HttpResponse:
    try:
        return to_the_next(request)
    except NotAllowed as refusal:
        raise PermissionDenied(refusal.sentence) from None


def to_the_next(request: HttpRequest) -> HttpResponse:
    """To the best free item of the queue that is in the address, claimed; to the list when there is none.

    What somebody has passed over comes back to them when nothing else waits.
    """
    actor, queue = Actor.human(request.user), queue_of(request)
    skipped = [key for text in request.session.get(SKIPPED, []) if (key := as_uuid(text))]
    item = claim_next(actor=actor, queue=queue, skipped=skipped)
    if item is None and skipped:
        del request.session[SKIPPED]
        item = claim_next(actor=actor, queue=queue)
        if item is not None:
            messages.info(request, "Nothing else waits: this is what you passed over.")
    if item is None:
        messages.info(request, "Nothing waits here that is free and yours to decide.")
        return HttpResponseRedirect(reverse("admin:content_reviewitem_changelist") + carried(request))
    return HttpResponseRedirect(admin_url(item) + carried(request))


def remember_skipped(request: HttpRequest, key: UUID) -> None:
    known = [text for text in request.session.get(SKIPPED, []) if text != str(key)]
    request.session[SKIPPED] = [*known, str(key)][-REMEMBERED:]


def forget_skipped(request: HttpRequest, key: UUID) -> None:
    known = request.session.get(SKIPPED, [])
    if str(key) in known:
        request.session[SKIPPED] = [text for text in known if text != str(key)]


@require_POST
def claim(request: HttpRequest, key: UUID) -> HttpResponse:
    """An open page asks every minute; the answer is until when the item is held, or why it is not."""
    try:
        item = claim_item(item_id=key, actor=Actor.human(request.user))
    except Refused as refusal:
        return JsonResponse({"refusal": refusal.sentence}, status=refusal.status)
    assert item.claimed_until is not None
    return JsonResponse({"until": item.claimed_until.isoformat(), "clock": clock(item.claimed_until)})


@require_POST
def release(request: HttpRequest, key: UUID) -> HttpResponse:
    """A page that is left says good-bye, if its browser lets it."""
    try:
        until = datetime.fromisoformat(request.POST.get("until", ""))
        release_item(item_id=key, actor=Actor.human(request.user), until=until)
    except (ValueError, Refused):
        return HttpResponse(status=409)
    return HttpResponse(status=204)
