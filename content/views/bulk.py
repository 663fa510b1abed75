"""One decision on many items: what will happen first, then the decision, then a report item by item."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts.models import User
from audit.context import Actor
from audit.errors import Invalid, Refused
from content.choices import PUBLISHABLE, Decision
from content.models import ReviewItem
from content.queue import as_uuid
from content.services import decide_items, undo_items
from content.services.desk import MOST, ORDER, Outcome, Seen, bulk_obstacle
from content.services.duties import decided_before
from content.services.review import PERMISSION, decision_named
from content.views.item import MAY_NOT, UNDO, given_reasons

DONE = {Decision.APPROVE: "approved", Decision.REJECT: "rejected", Decision.ESCALATE: "escalated", UNDO: "taken back"}


@dataclass(frozen=True)
class Row:
    """An item, and what becomes of it or why nothing does."""

    item: ReviewItem
    refusal: str
    effect: str = ""

    @property
    def seen(self) -> str:
        return f"{self.item.pk}:{self.item.version}:{self.item.artifact.content_sha256}"


@require_http_methods(["GET", "POST"])
def bulk(request: HttpRequest) -> HttpResponse:
    """The list posts what was ticked and a decision; the preview posts the same with what it showed, to be done."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied(MAY_NOT)
    if request.method != "POST":  # after a sign-in that came between, nothing is ticked any more
        return HttpResponseRedirect(reverse("admin:content_reviewitem_changelist"))
    verb, actor = request.POST.get("decision", ""), Actor.human(request.user)
    try:
        if verb == UNDO:
            return _report(request, UNDO, undo_items(item_ids=_keys(request.POST.getlist("item")), actor=actor))
        decision = decision_named(verb)
        if "confirmed" not in request.POST:
            return _preview(request, decision, _keys(request.POST.getlist("item")))
        seen = _seen(request.POST.getlist("seen"))
    except Refused as refusal:
        return _preview(request, None, [], refusal=refusal)
    try:
        outcomes = decide_items(
            seen=seen,
            decision=decision,
            reasons=given_reasons(request),
            actor=actor,
            escalate_to_administrators="to_administrators" in request.POST,
        )
    except Refused as refusal:
        return _preview(request, decision, [shown.item_id for shown in seen], refusal=refusal)
    return _report(request, decision, outcomes)


def _keys(texts: Sequence[str]) -> list[UUID]:
    keys = [as_uuid(text) for text in dict.fromkeys(texts)]
    if None in keys:
        raise Invalid("This form is damaged; go back to the desk and choose anew.")
    if not keys:
        raise Invalid("Nothing is selected. Go back to the desk, and tick what you mean.")
    if len(keys) > MOST:
        raise Invalid(f"These are {len(keys)} items; at most {MOST} are decided in one go.")
    return [key for key in keys if key]


def _seen(texts: Sequence[str]) -> list[Seen]:
    parts = [text.split(":") for text in dict.fromkeys(texts)]
    if not all(len(part) == 3 and as_uuid(part[0]) and part[1].isdecimal() and len(part[1]) < 10 for part in parts):
        raise Invalid("This form is damaged; go back to the desk and choose anew.")
    return [Seen(UUID(key), int(version), sha256) for key, version, sha256 in parts]


def _rows(keys: Sequence[UUID], person: User) -> list[ReviewItem]:
    related = ["artifact__task", "task__agent", "campaign", "claimed_by", "decision"]
    items = ReviewItem.objects.filter(pk__in=keys).select_related(*related)
    return list(items.annotate(was_decided_before=decided_before(person)).order_by(*ORDER))


def _preview(
    request: HttpRequest, decision: Decision | None, keys: Sequence[UUID], *, refusal: Refused | None = None
) -> HttpResponse:
    person: User = request.user  # type: ignore[assignment]
    rows = []
    if decision:
        items = [(item, bulk_obstacle(item, decision, person)) for item in _rows(keys, person)]
        rows = [Row(item, why_not, "" if why_not else _effect(item, decision)) for item, why_not in items]
    able = sum(not row.refusal for row in rows)
    context = {
        **admin.site.each_context(request),
        "title": f"{decision.label.capitalize()} {able} of {len(rows)} items?" if decision else "Nothing was decided",
        "decision": decision,
        "rows": rows,
        "able": able,
        "typed": request.POST.get("reasons", ""),
        "to_administrators": "to_administrators" in request.POST,
        "refusal": refusal.sentence if refusal else "",
    }
    return TemplateResponse(
        request, "admin/content/reviewitem/bulk.html", context, status=refusal.status if refusal else 200
    )


def _effect(item: ReviewItem, decision: Decision) -> str:
    if decision == Decision.ESCALATE:
        return "waits for the Administrators" if item.level > 1 else "waits for another person"
    if decision == Decision.REJECT:
        tries = item.task.tries_left
        left = f"tries again ({tries} left)" if tries else "was its last try: the task fails"
        return f"{item.task.agent} is told why, and {left}" if tries else left
    if item.artifact.artifact_type not in PUBLISHABLE or not item.campaign.platforms:
        return "is approved; nothing is posted"
    return f"is posted to {', '.join(item.campaign.platforms)}"


def _report(request: HttpRequest, verb: Decision | str, outcomes: Sequence[Outcome]) -> HttpResponse:
    person: User = request.user  # type: ignore[assignment]
    refused = {outcome.item_id: outcome.refusal for outcome in outcomes}
    rows = [Row(item, refused[item.pk]) for item in _rows(list(refused), person)]
    done = sum(not row.refusal for row in rows)
    context = {
        **admin.site.each_context(request),
        "title": f"{done} {DONE[verb]}" + (f", {len(rows) - done} not" if done < len(rows) else ""),
        "rows": sorted(rows, key=lambda row: not row.refusal),
        "done": done,
        "word": DONE[verb],
        "can_undo": verb != UNDO and done,
    }
    return TemplateResponse(request, "admin/content/reviewitem/report.html", context)
