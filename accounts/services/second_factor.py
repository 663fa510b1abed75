"""The second factor: a code of an authenticator, and ten codes on paper for the day on which it is lost.

django-otp keeps the secrets and slows down guessing. That it is there, who took it away and what was used up is told
in the audit log, as a change of the person.
"""

import re
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from django_otp.util import random_hex

from accounts.models import User
from accounts.services.rights import require_over
from accounts.services.sessions import end_sessions
from audit.admin.cells import duration
from audit.choices import EntityType
from audit.context import Actor, acting
from audit.errors import Conflict, Invalid, NotAllowed
from audit.receivers import record

RECOVERY_CODES = 10
ADMINISTRATOR = "Administrator"
CODE = re.compile(r"[0-9]{6}")
WRONG = "This code is wrong, was used already, or is too old. Wait for the next one."


def new_secret() -> str:
    return str(random_hex(20))


def has_second_factor(person: User) -> bool:
    return bool(TOTPDevice.objects.filter(user=person, confirmed=True).exists())


def must_have_second_factor(person: User) -> bool:
    """Whether one of the person's groups requires it; a superuser can do what an Administrator can."""
    required = settings.REQUIRE_SECOND_FACTOR
    if not required:
        return False
    if person.is_superuser and ADMINISTRATOR in required:
        return True
    return bool(Group.objects.filter(user=person, name__in=required).exists())


def unknown_groups() -> list[str]:
    """Names in the setting that no group has: who mistypes one would believe that it is required."""
    required = set(settings.REQUIRE_SECOND_FACTOR)
    known = set(Group.objects.filter(name__in=required).values_list("name", flat=True)) if required else set()
    return sorted(required - known)


def codes_left(person: User) -> int:
    return int(StaticToken.objects.filter(device__user=person).count())


def device_of(person: User, secret: str) -> Any:
    """The authenticator with this secret, which is not kept anywhere yet."""
    return TOTPDevice(user=person, key=secret, name="authenticator")


@transaction.atomic
def turn_on(*, person: User, secret: str, code: str, actor: Actor) -> tuple[Any, list[str]]:
    """Begin to ask for codes, once the person has shown one; returns the device, and the codes to be kept on paper."""
    _lock(person)
    if has_second_factor(person):
        raise Conflict("Your second factor is on already. To use another authenticator, turn it off first.")
    device, digits = device_of(person, secret), plain(code)
    totp = TOTP(device.bin_key)
    if not CODE.fullmatch(digits) or not totp.verify(int(digits), tolerance=1):
        raise Invalid("This code does not fit. Look whether the clock of your phone is right, and try the next one.")
    device.last_t, device.drift = totp.t(), totp.drift
    device.save()
    _note(person, actor, "update", second_factor=["off", "on"])
    return device, _new_codes(person)


def turn_off(*, person: User, code: str, actor: Actor, session: str | None = None) -> None:
    """`session` is the key of the one in which they do it, which goes on."""
    check_code(person=person, code=code, actor=actor)  # before our transaction: a wrong code has to count
    with transaction.atomic():
        _lock(person)
        _remove(person, actor, "update", session)


def renew_codes(*, person: User, code: str, actor: Actor) -> list[str]:
    """Ten new codes for paper; those on the old one end."""
    check_code(person=person, code=code, actor=actor)
    with transaction.atomic():
        _lock(person)
        left = codes_left(person)
        codes = _new_codes(person)
        _note(person, actor, "update", recovery_codes=[left, RECOVERY_CODES])
        return codes


@transaction.atomic
def reset_second_factor(*, person: User, actor: Actor) -> None:
    """For somebody who has lost both: an Administrator, who knows that it is them, takes it away."""
    require_over(actor, person, to="reset somebody's second factor", does="resets the second factor")
    if person == actor.person:
        raise NotAllowed("Your own second factor is turned off in your settings, with a code.")
    _lock(person)
    if not has_second_factor(person):
        raise Conflict(f"{person} has no second factor.")
    _remove(person, actor, "reset")


def check_code(*, person: User, code: str, actor: Actor) -> Any:
    """The device that accepts the code; refuses with a sentence.

    In a transaction of its own, which a refusal does not undo: every wrong code makes the next wait longer.
    """
    with transaction.atomic(durable=True):
        _lock(person)
        device, waits_until = _matched(person, plain(code), actor)
    if device is not None:
        return device
    if waits_until is not None:
        raise Invalid(f"Too many wrong codes. Wait {duration(waits_until - timezone.now())}, then try again.")
    raise Invalid(WRONG)


def plain(code: str) -> str:
    """As it was meant: people write 123 456, and paper has dashes."""
    return re.sub(r"[\s-]", "", code).lower()


def on_paper(code: str) -> str:
    return f"{code[:4]}-{code[4:]}"


def _lock(person: User) -> None:
    User.objects.select_for_update(no_key=True).get(pk=person.pk)


def _matched(person: User, code: str, actor: Actor) -> tuple[Any, datetime | None]:
    """The device that accepts the code, or the moment until which none is looked at.

    What has six digits can only be the authenticator's, anything else only a recovery code: each is guessed alone.
    """
    kind = TOTPDevice if CODE.fullmatch(code) else StaticDevice
    device = kind.objects.select_for_update().filter(user=person, confirmed=True).first()
    if device is None:
        return None, None
    allowed, why = device.verify_is_allowed()
    if not allowed:
        return None, why["locked_until"]
    left = codes_left(person)
    if not device.verify_token(code):
        return None, None
    if kind is StaticDevice:
        _note(person, actor, "update", recovery_codes=[left, left - 1])
    return device, None


def _new_codes(person: User) -> list[str]:
    StaticDevice.objects.filter(user=person).delete()
    device = StaticDevice.objects.create(user=person, name="recovery codes")
    codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return codes


def _remove(person: User, actor: Actor, action: str, session: str | None = None) -> None:
    """And whoever is in elsewhere as this person is out, whichever factors let them in."""
    for kind in (TOTPDevice, StaticDevice):
        kind.objects.filter(user=person).delete()
    _note(person, actor, action, second_factor=["on", "off"])
    end_sessions(person=person, actor=actor, but=session)


def _note(person: User, actor: Actor, action: str, **changes: list[Any]) -> None:
    with acting(actor):
        record(EntityType.USER, person.pk, action, changes)
