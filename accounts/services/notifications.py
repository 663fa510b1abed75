"""What people may have to act on, told to each of those who can: once, in one row that grows, until its cause is gone.

Whoever knows of a cause says so with a `Notice`, for as long as it lasts; the same notices every minute tell nobody
anything new.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.backends import ModelBackend
from django.db import connection, transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from accounts.choices import Channel, NotificationType
from accounts.models import Notification, User
from audit.admin.cells import duration, relative

AT_ONCE = 500  # rows of one statement
LONGEST_NAME, LONGEST_TITLE = 80, 400  # characters

Key = tuple[Any, str, str]  # person, type, about


@dataclass(frozen=True)
class Notice:
    """What is the case, for those with `permission`. `about` is the key of what it is about.

    `happened_at` is the newest event that it tells of, `since` the moment that its sentence counts from.
    """

    type: NotificationType
    about: str
    permission: str
    title: str
    url: str
    happened_at: datetime
    amount: int = 1
    since: datetime | None = None

    @property
    def payload(self) -> dict[str, Any]:
        since = self.since.isoformat() if self.since else None
        return {"title": short(self.title, LONGEST_TITLE), "url": self.url, "amount": self.amount, "since": since}


def short(text: object, most: int) -> str:
    """On one line and no longer than that: agents and people write names as they like."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def quoted(name: object) -> str:
    return f"“{short(name, LONGEST_NAME)}”"


@transaction.atomic
def tell_people(notices: Sequence[Notice]) -> int:
    """Make what people are told agree with `notices`; returns how many rows are new or tell of something new.

    What a person has read is not told again before something newer happens. Several runs at once: one does it.
    """
    if not alone("gatehouse.notifications"):
        return 0
    wanted = _wanted(notices)
    unread = {_key(row): row for row in _locked(Notification.objects.filter(is_read=False))}
    gone = [row.pk for key, row in unread.items() if key not in wanted]
    Notification.objects.filter(pk__in=gone).update(is_read=True)

    grown = [(unread[key], notice) for key, notice in wanted.items() if key in unread]
    first = {key: notice for key, notice in wanted.items() if key not in unread}
    told = _told(first)
    new = [(key, notice) for key, notice in first.items() if key not in told or told[key] < notice.happened_at]
    Notification.objects.bulk_create([_row(key, notice) for key, notice in new], batch_size=AT_ONCE)
    return len(new) + _grow(grown)


def alone(what: str) -> bool:
    """Whether no other transaction is at this; holds until the end of ours."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s))", [what])
        (alone,) = cursor.fetchone()
    return bool(alone)


def _wanted(notices: Iterable[Notice]) -> dict[Key, Notice]:
    """Each notice for each active person who may act on it, is in already, and wants to hear of it."""
    people: dict[str, list[User]] = {}
    wanted = {}
    for notice in notices:
        if notice.permission not in people:
            people[notice.permission] = list(ModelBackend().with_perm(notice.permission))
        for person in people[notice.permission]:
            if not person.is_invited and person.channel(notice.type) != Channel.NONE:
                wanted[person.pk, notice.type.value, notice.about] = notice
    return wanted


def _key(row: Notification) -> Key:
    return row.user_id, row.type, row.about


def _told(wanted: dict[Key, Notice]) -> dict[Key, datetime]:
    """The newest event that each of these people has read of, as far as that can matter."""
    if not wanted:
        return {}
    rows = Notification.objects.filter(
        user__in={person for person, _, _ in wanted},
        is_read=True,
        happened_at__gte=min(notice.happened_at for notice in wanted.values()),
    )
    newest = rows.values_list("user_id", "type", "about").annotate(newest=Max("happened_at")).order_by()
    return {(person, type, about): moment for person, type, about, moment in newest}


def _row(key: Key, notice: Notice) -> Notification:
    person, type, about = key
    return Notification(
        user_id=person, type=type, about=about, payload_json=notice.payload, happened_at=notice.happened_at
    )


def _grow(rows: Iterable[tuple[Notification, Notice]]) -> int:
    changed, newer = [], 0
    for row, notice in rows:
        newer += notice.happened_at > row.happened_at
        if row.payload_json != notice.payload or notice.happened_at > row.happened_at:
            row.payload_json, row.happened_at = notice.payload, max(row.happened_at, notice.happened_at)
            changed.append(row)
    Notification.objects.bulk_update(changed, ["payload_json", "happened_at"], batch_size=AT_ONCE)
    return newer


def sentence(row: Notification, now: datetime | None = None) -> str:
    """What the row says now: “14 reviews of “Meskel launch” are overdue, the oldest by 41 min”."""
    now, told = now or timezone.now(), row.payload_json
    title, many = str(told.get("title", row)), told.get("amount", 1) > 1
    if row.is_read or not told.get("since"):
        return title
    since = datetime.fromisoformat(told["since"])
    if row.type == NotificationType.REVIEW_DUE:
        return f"{title}, {'the first ' if many else ''}{relative(since, now)}"
    return f"{title}, {'the oldest ' if many else ''}by {duration(now - since)}"


def mark_read(*, person: User, notification_id: UUID | None = None, seen_until: datetime | None = None) -> int:
    """One row, or all that the person can have seen at `seen_until`; returns how many."""
    rows = Notification.objects.filter(user=person, is_read=False)
    if notification_id is not None:
        rows = rows.filter(pk=notification_id)
    if seen_until is not None:
        rows = rows.filter(updated_at__lte=seen_until)
    with transaction.atomic():
        return Notification.objects.filter(pk__in=[row.pk for row in _locked(rows)]).update(is_read=True)


def _locked(rows: QuerySet[Notification]) -> QuerySet[Notification]:
    """In one order, or a person who reads them all and the clock that makes them wait for each other in a circle."""
    return rows.order_by("pk").select_for_update()
