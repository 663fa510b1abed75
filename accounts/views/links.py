"""Pages that an e-mail leads to: a forgotten password, an invitation. They are open to everybody who has the link."""

from typing import Any

from axes.helpers import get_client_ip_address
from axes.utils import reset as forget_wrong_passwords
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.views import PasswordResetConfirmView
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse, reverse_lazy
from django.views.decorators.cache import never_cache

from accounts.own_forms import AddressForm, JoinForm
from accounts.services.invitations import choose_password, invitation_token, reset_token, send_reset

HOUR = 3600  # seconds
MOST_OF_ADDRESS, MOST_FROM_HOST = 3, 30  # requests in an hour, counted by each web process


@never_cache
def forgotten(request: HttpRequest) -> HttpResponse:
    """Asks for the address. The answer is the same whether or not anybody has it."""
    form = AddressForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        email = form.cleaned_data["email"].lower()
        # The host first: what it is refused must not fill the cache until its own count falls out of it.
        if _too_often(f"reset:{get_client_ip_address(request)}", MOST_FROM_HOST) or _too_often(
            f"reset:{email}", MOST_OF_ADDRESS
        ):
            return TemplateResponse(request, "registration/password_reset_wait.html", status=429)
        send_reset(email=email)
        return HttpResponseRedirect(reverse("admin:password_reset_done"))
    return TemplateResponse(request, "registration/password_reset_form.html", {"form": form})


def _too_often(key: str, most: int) -> bool:
    cache.add(key, 0, HOUR)
    try:
        return bool(cache.incr(key) > most)
    except ValueError:  # forgotten this very moment
        return False


@never_cache
def forgotten_sent(request: HttpRequest) -> HttpResponse:
    return TemplateResponse(request, "registration/password_reset_done.html")


@never_cache
def password_chosen(request: HttpRequest) -> HttpResponse:
    return TemplateResponse(request, "registration/password_reset_complete.html")


class ByLink(PasswordResetConfirmView):
    """Django's page, which takes the token out of the address first; our link, our form, our words."""

    success_url = reverse_lazy("admin:password_reset_complete")

    def get_user(self, uidb64: str) -> Any:
        person = super().get_user(uidb64)
        return person if person is not None and person.is_active else None

    user: Any  # whose link it is; None when it is nobody's

    def form_valid(self, form: Any) -> HttpResponse:
        choose_password(
            person=self.user,
            password=form.cleaned_data["new_password1"],
            display_name=form.cleaned_data.get("display_name"),
        )
        forget_wrong_passwords(username=self.user.email)
        self.request.session.flush()  # the token was in it, and whoever else was signed in here
        return HttpResponseRedirect(str(self.success_url))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        known = not self.validlink and self.user is not None
        return super().get_context_data(**kwargs) | {"already_in": known and self.user.has_usable_password()}


class ResetPage(ByLink):
    token_generator = reset_token
    form_class = SetPasswordForm  # type: ignore[assignment]
    template_name = "registration/password_reset_confirm.html"


class JoinPage(ByLink):
    token_generator = invitation_token
    form_class = JoinForm
    template_name = "accounts/join.html"

    def get_initial(self) -> dict[str, Any]:
        return {"display_name": self.user.display_name} if self.user else {}
