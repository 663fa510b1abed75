"""The page on which a person decides what waits for one."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from accounts.models import User
from audit.admin.cells import admin_url
from audit.context import Actor
from audit.errors import Conflict, Invalid, Refused
from content.choices import DECISION_COLOUR, REVIEW_ITEM_COLOUR, Decision, ReviewItemStatus
from content.models import ReviewItem
from content.queue import carried, figures, queue_of, undoable, waiting_in
from content.reading import due_in_words, read_item
from content.services import claim_item, decide_review_item, release_item, undo_decision
from content.services.duties import ADMINISTRATORS
from content.services.policy import ReviewPolicy
from content.services.review import PERMISSION
from content.steps import steps_to
from content.views.next import forget_skipped, remember_skipped, to_the_next

SAID = {
    Decision.APPROVE: "Approved. Its posts are queued, and leave when the time to take it back is over.",
    Decision.REJECT: "Rejected. Its maker is told why, and tries again.",
    Decision.ESCALATE: "Escalated. It waits for another person now.",
}
UNDO, SKIP = "undo", "skip"
MAY_NOT = "You may read this, but not decide it. Ask an Administrator for the permission “content.decide_reviewitem”."
KEYS = 9  # reasons that a number key gives


def review_item(request: HttpRequest, key: UUID) -> HttpResponse:
    """Opening an item claims it; a POST decides it, passes it over, or takes a decision back.

    After a decision one is before the next item. A refusal is said on the same page, which keeps what was typed.
    """
    item = find(key)
    if request.method != "POST":
        return _page(request, _claimed(request, item))
    try:
        return _act(request, item)
    except Refused as refusal:
        found = find(key)
        if _is_recorded(request, found):
            messages.info(request, "This was recorded already; it was sent twice.")
            return to_the_next(request)
        return _page(request, found, refusal=refusal.sentence, status=refusal.status)


def find(key: UUID) -> ReviewItem:
    related = ["artifact__task", "task__agent__owner", "task__created_by", "campaign", "decision"]
    people = ["undone_by", "claimed_by"]
    items = ReviewItem.objects.select_related(*related, *people).prefetch_related("artifact__decisions")
    item = items.filter(pk=key).first()
    if item is None:
        raise Http404("There is no such item.")
    return item


def _claimed(request: HttpRequest, item: ReviewItem) -> ReviewItem:
    """The item as it is after this person has opened it: theirs, when it is free and they may decide it."""
    if not item.is_open or not request.user.has_perm(PERMISSION):
        return item
    forget_skipped(request, item.pk)
    try:
        claimed = claim_item(item_id=item.pk, actor=Actor.human(request.user))
    except Conflict:  # somebody was quicker, a moment ago or long before
        return find(item.pk)
    except Refused:
        return item
    item.claimed_by, item.claimed_until = request.user, claimed.claimed_until
    return item


def _act(request: HttpRequest, item: ReviewItem) -> HttpResponse:
    actor, verb = Actor.human(request.user), request.POST.get("decision", "")
    if verb == UNDO:
        undo_decision(item_id=item.pk, actor=actor)
        messages.success(request, "Taken back. It waits for a person again.")
        return HttpResponseRedirect(admin_url(item) + carried(request))
    if verb == SKIP:
        remember_skipped(request, item.pk)
        release_item(item_id=item.pk, actor=actor)
        return to_the_next(request)
    seen = request.POST.get("seen_version", "")
    if seen and not (seen.isdecimal() and len(seen) < 10):
        raise Invalid("This form is damaged; open the page anew.")
    decide_review_item(
        item_id=item.pk,
        decision=verb,
        reasons=given_reasons(request),
        actor=actor,
        seen_version=int(seen) if seen else None,
        seen_sha256=request.POST.get("seen_sha256", ""),
        escalate_to_administrators="to_administrators" in request.POST,
    )
    if undoable(actor.person) is None:  # otherwise the next page says it, beside the way back
        messages.success(request, SAID[Decision(verb)])
    return to_the_next(request)


def given_reasons(request: HttpRequest) -> list[str]:
    """Those that were ticked, and those that were written, one a line."""
    return [*request.POST.getlist("reason"), *request.POST.get("reasons", "").splitlines()]


def _is_recorded(request: HttpRequest, item: ReviewItem) -> bool:
    """The same person has just decided the same on what this form shows: a form that was sent twice."""
    made, person = item.decision, request.user
    return (
        item.status == ReviewItemStatus.DECIDED
        and made is not None
        and (made.reviewer_id, made.decision) == (f"user:{person.pk}", request.POST.get("decision"))
        and request.POST.get("seen_version") == str(item.version - 1)
    )


def _page(request: HttpRequest, item: ReviewItem, *, refusal: str = "", status: int = 200) -> HttpResponse:
    person = request.user
    assert not isinstance(person, AnonymousUser)
    due, due_colour = due_in_words(item)
    context = {
        **admin.site.each_context(request),
        "title": str(item.task),
        "reading": read_item(item, person),
        "item": item,
        "due": due,
        "due_colour": due_colour,
        "status_colour": REVIEW_ITEM_COLOUR[ReviewItemStatus(item.status)],
        "outcome_colour": DECISION_COLOUR[Decision(item.decision.decision)] if item.decision else "",
        "is_mine": item.is_open and item.claimed_by_id == person.pk,
        "steps": steps_to(item) if person.has_perm("audit.view_auditlog") else [],
        "posts": item.decision.publish_records.all() if item.decision else [],
        "refusal": refusal,
        **_form(request, item, person),
        **beside(request, item, person),
    }
    return TemplateResponse(request, "admin/content/reviewitem/item.html", context, status=status)


def _form(request: HttpRequest, item: ReviewItem, person: User) -> dict[str, Any]:
    """What the form offers, and what was given to it already."""
    return {
        "may_not": "" if person.has_perm(PERMISSION) else MAY_NOT,
        "reasons": ReviewPolicy.of(item.campaign).reasons[:KEYS],
        "ticked": request.POST.getlist("reason"),
        "typed": request.POST.get("reasons", ""),
        "to_administrators": "to_administrators" in request.POST,
        "escalates_to": {1: "person", 2: "administrators"}.get(item.level, ""),
        "for_administrators": item.level == ADMINISTRATORS,
    }


def beside(request: HttpRequest, item: ReviewItem, person: User) -> dict[str, Any]:
    """The desk around the item: the queue, what this person has done today, the last thing they can take back."""
    around = desk(request)
    if around["undo"] and around["undo"][0] == item:
        around["undo"] = None  # the page itself offers it
    return {**around, "queue": waiting_in(queue_of(request), item, person)}


def desk(request: HttpRequest) -> dict[str, Any]:
    """What an item's page and the list have in common."""
    person: User = request.user  # type: ignore[assignment]
    told = figures(queue_of(request), person)
    return {
        "figures": told,
        "carried": carried(request),
        "undo": undoable(person) if told.can_undo else None,
        "may_decide": person.has_perm(PERMISSION),
    }
