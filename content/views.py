"""The page on which a person decides what waits for one."""

from django.contrib import admin, messages
from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from accounts.models import User
from audit.admin.cells import admin_url
from audit.context import Actor
from audit.errors import Invalid, Refused
from content.choices import DECISION_COLOUR, REVIEW_ITEM_COLOUR, Decision, ReviewItemStatus
from content.models import ReviewItem
from content.reading import due_in_words, read_item
from content.services import decide_review_item, undo_decision
from content.services.review import PERMISSION

SAID = {
    Decision.APPROVE: "Approved. Its posts are queued, and leave when the time to take it back is over.",
    Decision.REJECT: "Rejected. Its maker is told why, and tries again.",
    Decision.ESCALATE: "Escalated. It waits for another person now.",
}
UNDO = "undo"
MAY_NOT = "You may read this, but not decide it. Ask an Administrator for the permission “content.decide_reviewitem”."


def review_item(request: HttpRequest, key: str) -> HttpResponse:
    """Shows an item; a POST decides it, or takes the decision back. A refusal is said on the same page."""
    item = find(key)
    if request.method != "POST":
        return _page(request, item)
    try:
        said = _act(request, item)
    except Refused as refusal:
        found = find(key)
        if _is_recorded(request, found):
            messages.info(request, "This was recorded already; it was sent twice.")
            return HttpResponseRedirect(admin_url(found))
        return _page(request, found, refusal=refusal.sentence, status=refusal.status)
    messages.success(request, said)
    return HttpResponseRedirect(admin_url(item))


def find(key: str) -> ReviewItem:
    related = ["artifact", "task__agent__owner", "task__created_by", "campaign", "decision", "undone_by", "claimed_by"]
    item = ReviewItem.objects.select_related(*related).prefetch_related("artifact__decisions").filter(pk=key).first()
    if item is None:
        raise Http404("There is no such item.")
    return item


def _act(request: HttpRequest, item: ReviewItem) -> str:
    actor, verb = Actor.human(request.user), request.POST.get("decision", "")
    if verb == UNDO:
        undo_decision(item_id=item.pk, actor=actor)
        return "Taken back. It waits for a person again."
    reasons = request.POST.get("reasons", "").splitlines()
    seen = request.POST.get("seen_version", "")
    if seen and not (seen.isdecimal() and len(seen) < 10):
        raise Invalid("This form is damaged; open the page anew.")
    decide_review_item(
        item_id=item.pk,
        decision=verb,
        reasons=reasons,
        actor=actor,
        seen_version=int(seen) if seen else None,
        seen_sha256=request.POST.get("seen_sha256", ""),
    )
    return SAID[Decision(verb)]


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
    may_decide = person.has_perm(PERMISSION)
    context = {
        **admin.site.each_context(request),
        "title": str(item.task),
        "reading": read_item(item, person),
        "item": item,
        "due": due,
        "due_colour": due_colour,
        "status_colour": REVIEW_ITEM_COLOUR[ReviewItemStatus(item.status)],
        "outcome_colour": DECISION_COLOUR[Decision(item.decision.decision)] if item.decision else "",
        "may_decide": may_decide,
        "may_not": "" if may_decide else MAY_NOT,
        "typed": request.POST.get("reasons", ""),
        "refusal": refusal,
        "next_item": _next(item, person) if may_decide else None,
        "posts": item.decision.publish_records.all() if item.decision else [],
    }
    return TemplateResponse(request, "admin/content/reviewitem/item.html", context, status=status)


def _next(item: ReviewItem, person: User) -> ReviewItem | None:
    """The riskiest other item that waits."""
    waiting = ReviewItem.objects.open().exclude(pk=item.pk).select_related("artifact__task")
    return waiting.order_by("-risk", "due_at", "pk").first()
