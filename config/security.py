"""What holds for every request: which address it came from, by which scheme, and how old its session may be."""

import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.messages.storage.session import SessionStorage
from django.http import HttpRequest, HttpResponse

from accounts.middleware import CONSOLE
from audit.api import problem
from config.middleware import API

SEEN_EVERY = 300  # seconds: no write to the session for every page
# What no page of ours uses; the clipboard and the full screen are used.
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer",
        "camera",
        "display-capture",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "usb",
    )
)
IN_THE_CLEAR = "Send this by https. Whatever token it carried went over the network unencrypted: have it rotated."


class HostCookie(CookieStorage):
    cookie_name = "__Host-messages"


class HostMessages(FallbackStorage):
    """What the next page says, under a name that no other host of the domain can set."""

    storage_classes = (HostCookie, SessionStorage)


class DoorMiddleware:
    """First of all: who the proxies say is asking, and no answer to an agent that sends its token in the clear.

    A browser that comes by http is sent to https by Django. A program is refused: it would follow the redirect, and
    nobody would ever see that its token travels unencrypted.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.META["REMOTE_ADDR"] = caller(request.META)
        if settings.SECURE_SSL_REDIRECT and request.path_info.startswith(API) and not request.is_secure():
            response = problem(403, IN_THE_CLEAR)
        else:
            response = self.get_response(request)
        response.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        return response


def caller(meta: dict[str, Any]) -> str:
    """The address that the outermost of our own proxies saw. What stands before it in the header, anybody may write."""
    told = [each.strip() for each in meta.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    near = str(meta.get("REMOTE_ADDR", ""))
    if not 0 < settings.TRUSTED_PROXIES <= len(told):
        return near
    try:
        return str(ip_address(told[-settings.TRUSTED_PROXIES]))
    except ValueError:
        return near


class SessionAgeMiddleware:
    """A session ends after so long without its person, and after so long in any case; its browser forgets what it kept.

    What htmx fetches by itself, in a window that nobody looks at, is no sign of a person.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(CONSOLE) and request.user.is_authenticated:
            now, session = time.time(), request.session
            began, seen = session.get("began", now), session.get("seen", now)
            if now - began > settings.SESSION_MOST_SECONDS or now - seen > settings.SESSION_IDLE_SECONDS:
                logout(request)
            elif "began" not in session or (now - seen > SEEN_EVERY and "HX-Request" not in request.headers):
                session.update({"began": began, "seen": now})
            response = self.get_response(request)
            now_here: Any = request.user
            if not now_here.is_authenticated:  # signed out, by themselves or by the time
                response["Clear-Site-Data"] = '"cache", "storage"'
            return response
        return self.get_response(request)


def begin_session(*, request: HttpRequest, **_: Any) -> None:
    """When somebody signs in; from where is for themselves to see (`accounts.services.sessions`)."""
    now, browser = time.time(), request.headers.get("User-Agent", "")[:200]
    request.session.update(
        {"began": now, "seen": now, "address": request.META.get("REMOTE_ADDR", ""), "browser": browser}
    )
