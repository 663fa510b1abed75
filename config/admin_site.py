"""The admin site: Django's, under Gatehouse's name, with the console's frame and pages."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import unquote

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, reverse


class SignInForm(AdminAuthenticationForm):
    """E-mail addresses are kept in small letters; a keyboard that writes a capital first must not lock anybody out."""

    error_messages = {
        **AdminAuthenticationForm.error_messages,
        "invalid_login": "No account here has this e-mail with this password. Mind capital letters in the password.",
    }

    def clean_username(self) -> str:
        return str(self.cleaned_data["username"]).strip().lower()


class ConsoleSite(AdminSite):
    login_form = SignInForm
    site_header = "Gatehouse"
    site_title = "Gatehouse"
    index_title = "Control room"
    site_url = None
    enable_nav_sidebar = False  # the frame has its own

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        """No address with a NUL reaches a query: PostgreSQL has no such character, and the answer would be a 500.

        And no page is kept by a cache, whatever Django says of it: each has the frame, with what its person may see.
        """
        inner = super().admin_view(view)

        @wraps(inner)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if "\x00" in unquote(request.get_full_path()):
                raise BadRequest("This address contains a character that cannot be stored (NUL).")
            return inner(request, *args, **kwargs)

        return guarded

    def get_urls(self) -> list[URLPattern | URLResolver]:
        from config.console.urls import pages

        return [*pages(self.admin_view), *super().get_urls()]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        from config.console.places import frame

        return {**super().each_context(request), **frame(request)}

    def password_change_done(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        messages.success(request, "Your password is changed. Other sessions of yours have ended.")
        return HttpResponseRedirect(reverse("admin:you"))

    def app_index(self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None) -> Any:
        """The sidebar has the places of every app; there is no page of one."""
        return HttpResponseRedirect(reverse("admin:index"))

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        from config.console.overview import overview

        return super().index(request, {**overview(request), **(extra_context or {})})
