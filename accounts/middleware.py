"""Who has signed in with a password alone goes nowhere but to the page that asks for the second factor."""

from collections.abc import Callable
from urllib.parse import urlsplit

from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django_htmx.http import HttpResponseClientRedirect

from accounts.services.second_factor import has_second_factor, must_have_second_factor

CONSOLE = "/admin/"


class SecondFactorMiddleware:
    """For every address of the console, whatever view answers there."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(CONSOLE):  # without the prefix under which all of it may be served
            return self.get_response(request)
        if (page := required_page(request)) and request.path not in (page, reverse("admin:logout")):
            return led_to(page, request)
        return self.get_response(request)


def required_page(request: HttpRequest) -> str:
    """Where this session has to go before it goes anywhere else; empty when it need not."""
    person = request.user
    if not person.is_authenticated or person.is_verified():  # type: ignore[attr-defined]
        return ""
    if has_second_factor(person):
        return reverse("admin:second_factor_code")
    return reverse("admin:second_factor_begin") if must_have_second_factor(person) else ""


def led_to(page: str, request: HttpRequest) -> HttpResponse:
    """To the page, and from there back to where the person was. htmx would follow a redirect into its fragment."""
    if request.htmx:  # type: ignore[attr-defined]
        was = urlsplit(request.htmx.current_url_abs_path or "")  # type: ignore[attr-defined]
        address = f"{page}?{urlencode({REDIRECT_FIELD_NAME: was.geturl()})}" if was.path else page
        return HttpResponseClientRedirect(address)
    wanted = request.get_full_path() if request.method == "GET" else request.path
    return HttpResponseRedirect(f"{page}?{urlencode({REDIRECT_FIELD_NAME: wanted})}")
