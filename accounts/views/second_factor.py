"""Pages of the second factor: asked for at sign-in, set up, renewed, turned off.

They stand outside the frame: whoever has not passed sees nothing of the console, not even its numbers.
"""

from base64 import b32encode
from typing import Any

import segno
from django.contrib import admin, messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString, mark_safe
from django_otp import login

from accounts.models import User
from accounts.own_forms import CodeForm, FactorForm
from accounts.services import second_factor
from audit.context import Actor
from audit.errors import Refused

SECRET = "second_factor_secret"  # noqa: S105  (the session's key; the secret is kept only until it is confirmed)


def person_of(request: HttpRequest) -> User:
    person: User = User.objects.get(pk=request.user.pk)
    return person


def way_back(request: HttpRequest) -> str:
    """Where the person was going, when that is a page of ours."""
    wanted = request.POST.get(REDIRECT_FIELD_NAME) or request.GET.get(REDIRECT_FIELD_NAME, "")
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if safe else reverse("admin:index")


def ask_code(request: HttpRequest) -> HttpResponse:
    """The second step of a sign-in."""
    person = person_of(request)
    if request.user.is_verified() or not second_factor.has_second_factor(person):  # type: ignore[union-attr]
        return HttpResponseRedirect(way_back(request))
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            code = form.cleaned_data["code"]
            device = second_factor.check_code(person=person, code=code, actor=Actor.human(person))
        except Refused as refusal:
            form.add_error(None, refusal.sentence)
        else:
            pass_session(request, device)
            left = second_factor.codes_left(person)
            if left <= 2:
                says = "1 recovery code is" if left == 1 else f"{left or 'No'} recovery codes are"
                messages.warning(request, f"{says} left. Make new ones in your settings.")
            return HttpResponseRedirect(way_back(request))
    context = {"form": form, "next": way_back(request)}
    return TemplateResponse(request, "accounts/second_factor_code.html", context)


def pass_session(request: HttpRequest, device: Any) -> None:
    """From now on the session is that of somebody who has shown both factors, under a new key."""
    request.session.cycle_key()
    login(request, device)


def begin(request: HttpRequest) -> HttpResponse:
    """A secret for the authenticator, and then the code that shows that it got there."""
    person = person_of(request)
    if second_factor.has_second_factor(person):
        return HttpResponseRedirect(reverse("admin:you"))
    secret = request.session.setdefault(SECRET, second_factor.new_secret())
    form = FactorForm(request)
    if request.method == "POST" and form.is_valid():
        try:
            device, codes = second_factor.turn_on(
                person=person, secret=secret, code=form.cleaned_data["code"], actor=Actor.human(person)
            )
        except Refused as refusal:
            form.add_error(None, refusal.sentence)
        else:
            del request.session[SECRET]
            pass_session(request, device)
            return codes_page(request, codes, "Your second factor is on")
    device = second_factor.device_of(person, secret)
    context = {
        "form": form,
        "next": way_back(request),
        "picture": picture(device.config_url),
        "secret": spaced(device.bin_key),
        "required": second_factor.must_have_second_factor(person),
    }
    return TemplateResponse(request, "accounts/second_factor_begin.html", context)


def picture(text: str) -> SafeString:
    """The QR code as SVG of paths and attributes alone, so that the policy has nothing to forbid."""
    svg = segno.make(text, error="m").svg_inline(
        border=3, omitsize=True, dark="#000", light="#fff", svgclass="qr", lineclass=None, title="QR code"
    )
    return mark_safe(svg)  # noqa: S308  (made here, of a text that is drawn and not written)


def spaced(key: bytes) -> str:
    """As authenticators take it, in groups that can be typed."""
    text = b32encode(key).decode().rstrip("=")
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def codes_page(request: HttpRequest, codes: list[str], title: str) -> HttpResponse:
    """The one page that shows them; loaded again, it sends the form again, whose code was used already."""
    context = {
        "title": title,
        "codes": [second_factor.on_paper(code) for code in codes],
        "next": way_back(request),
        "page": reverse("admin:you"),
    }
    return TemplateResponse(request, "accounts/second_factor_codes.html", context)


VERBS = {
    "off": ("Turn the second factor off", "Turn it off", "danger"),
    "codes": ("New recovery codes", "Make new codes", "primary"),
}


def change(request: HttpRequest, verb: str) -> HttpResponse:
    """Turn it off, or renew the codes on paper: each wants a code first."""
    person = person_of(request)
    if not second_factor.has_second_factor(person):
        return HttpResponseRedirect(reverse("admin:you"))
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        given = {"person": person, "code": form.cleaned_data["code"], "actor": Actor.human(person)}
        try:
            if verb == "codes":
                return codes_page(request, second_factor.renew_codes(**given), "Your new recovery codes")
            second_factor.turn_off(**given, session=request.session.session_key)
        except Refused as refusal:
            form.add_error(None, refusal.sentence)
        else:
            messages.success(request, "Your second factor is off. The password alone lets you in.")
            return HttpResponseRedirect(reverse("admin:you"))
    title, button, colour = VERBS[verb]
    context = {
        **admin.site.each_context(request),
        "title": title,
        "form": form,
        "verb": verb,
        "button": button,
        "colour": colour,
        "required": second_factor.must_have_second_factor(person),
    }
    return TemplateResponse(request, "accounts/second_factor_change.html", context)
