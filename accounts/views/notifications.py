"""What a person is told: unread first, each with the way to the thing."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST, require_safe

from accounts.choices import NOTIFICATION_COLOUR, NotificationType
from accounts.models import Notification
from accounts.services.notifications import mark_read, sentence

MOST_UNREAD, MOST_READ = 200, 50


@require_safe
def notifications(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    mine = Notification.objects.filter(user=request.user.pk).order_by("-happened_at")
    unread, read = mine.filter(is_read=False)[:MOST_UNREAD], mine.filter(is_read=True)[:MOST_READ]
    context = {
        **admin.site.each_context(request),
        "title": "Notifications",
        "unread_rows": [told(row, now) for row in unread],
        "read_rows": [told(row, now) for row in read],
        "seen_until": now.isoformat(),
    }
    return TemplateResponse(request, "accounts/notifications.html", context)


def told(row: Notification, now: datetime) -> dict[str, object]:
    kind = NotificationType(row.type)
    return {"row": row, "sentence": sentence(row, now), "colour": NOTIFICATION_COLOUR[kind]}


@require_safe
def notification(request: HttpRequest, key: UUID) -> HttpResponse:
    """To the thing; whoever goes there has read it."""
    row = Notification.objects.filter(pk=key, user=request.user.pk).first()
    if row is None:
        raise Http404("There is no such notification of yours.")
    mark_read(person=row.user, notification_id=row.pk)
    return HttpResponseRedirect(row.payload_json.get("url") or reverse("admin:notifications"))


def _moment(text: str) -> datetime | None:
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    return moment if moment and timezone.is_aware(moment) else None


@require_POST
def all_read(request: HttpRequest) -> HttpResponse:
    """All that the page showed: what came or grew since then stays unread."""
    person: Any = request.user
    count = mark_read(person=person, seen_until=_moment(request.POST.get("seen_until", "")) or timezone.now())
    if count:
        messages.success(request, f"{count} marked as read.")
    return HttpResponseRedirect(reverse("admin:notifications"))
