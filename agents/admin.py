"""Agents and their tokens in the console."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.text import Truncator

from agents.choices import AGENT_COLOUR, VERB_COLOUR, AgentStatus
from agents.forms import AgentForm, RotateForm, TokenForm
from agents.models import Agent, ApiToken
from agents.services import PERMISSION, create_token, possible_verbs, revoke_token, rotate_token
from audit.admin import cells, columns
from audit.admin.base import ConsoleAdmin
from audit.context import Actor
from audit.errors import Conflict, Refused


@admin.register(Agent)
class AgentAdmin(ConsoleAdmin[Agent]):
    """Who they are. What they are at, and how one is suspended, has pages above (`config.console.agents`)."""

    form = AgentForm
    list_display = [
        "agent_id",
        "display_name",
        columns.badge("status", AGENT_COLOUR),
        columns.link("campaign"),
        "owner",
        "agent_group",
        columns.when("created_at"),
    ]
    list_select_related = ["campaign", "owner"]
    list_filter = ["status", "agent_group"]
    search_fields = ["agent_id", "display_name", "agent_group", "campaign__name", "owner__display_name"]
    search_help_text = "Name, group, campaign or owner"
    ordering = ["agent_id"]
    pickers = {"campaign": ["name"]}
    change_form_template = "admin/agents/agent/change_form.html"
    badges = {"status": AGENT_COLOUR}
    fieldsets = [
        (None, {"fields": ["agent_id", "display_name", "status"]}),
        ("Where it belongs", {"fields": ["campaign", "agent_group", "owner"]}),
        ("Persona", {"fields": ["persona_ref", "character_reference_id"]}),
        ("When", {"fields": ["created_at", "updated_at"]}),
    ]
    readonly_fields = ["created_at", "updated_at"]

    def get_fieldsets(self, request: HttpRequest, obj: Agent | None = None) -> Any:
        return self.fieldsets if obj else self.fieldsets[:-1]

    def get_readonly_fields(self, request: HttpRequest, obj: Agent | None = None) -> list[str]:
        """The natural key never changes, and the status by verbs only."""
        given = [str(name) for name in super().get_readonly_fields(request, obj)]
        return ["agent_id", "status", *given] if obj else given

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Agent], search_term: str
    ) -> tuple[QuerySet[Agent], bool]:
        """The pickers of other forms offer those that can still be given something."""
        if request.resolver_match is not None and request.resolver_match.url_name == "autocomplete":
            queryset = queryset.exclude(status=AgentStatus.RETIRED)
        return super().get_search_results(request, queryset, search_term)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        agent = context.get("original")
        may = agent is not None and request.user.has_perm(PERMISSION)
        context["verbs"] = [(verb, VERB_COLOUR.get(verb) == "bad") for verb in possible_verbs(agent)] if may else []
        return super().render_change_form(request, context, *args, **kwargs)


@admin.register(ApiToken)
class ApiTokenAdmin(ConsoleAdmin[ApiToken]):
    """Tokens are made, looked at and revoked; what one is can be read once, in the answer to the form that made it.

    That answer is a page of its own, which nothing keeps: no redirect, no message, no session. Loaded again, it sends
    the form again, whose key was used already.
    """

    form = TokenForm
    add_form_template = "admin/agents/apitoken/add_form.html"
    empty_because = "They appear here when one is given to an agent or a program."
    list_display = [
        "name",
        "role",
        columns.link("agent"),
        "starts_with",
        "standing",
        columns.when("last_used_at", "last used"),
        columns.when("expires_at", "expires"),
    ]
    list_select_related = ["agent"]
    list_filter = ["role"]
    search_fields = ["name", "prefix", "agent__agent_id", "agent__display_name"]
    search_help_text = "Name, first characters or agent"
    ordering = ["name"]
    pickers = {"agent": ["display_name", "agent_id"]}
    change_form_template = "admin/agents/apitoken/change_form.html"

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        shown = ["name", "role", "agent", "prefix", "expires_at", "revoked_at", "last_used_at", "created_at"]
        return shown if obj else ["name", "role", "agent", "expires_at"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @staticmethod
    def may_revoke(request: HttpRequest) -> bool:
        return request.user.has_perm("agents.change_apitoken")

    def get_urls(self) -> list[URLPattern]:
        revoke = path("<uuid:key>/revoke/", self.admin_site.admin_view(self.revoke_view), name="agents_apitoken_revoke")
        rotate = path("<uuid:key>/rotate/", self.admin_site.admin_view(self.rotate_view), name="agents_apitoken_rotate")
        return [revoke, rotate, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        token = self.get_object(request, object_id)
        revocable = token is not None and token.revoked_at is None and self.may_revoke(request)
        rotatable = revocable and self.has_add_permission(request) and not self.has_ended(token)
        told = {**(extra_context or {}), "revocable": revocable, "rotatable": rotatable}
        return super().change_view(request, object_id, form_url, told)

    @staticmethod
    def has_ended(token: ApiToken | None) -> bool:
        return token is None or (token.expires_at is not None and token.expires_at <= timezone.now())

    def revoke_view(self, request: HttpRequest, key: UUID) -> HttpResponse:
        if not self.may_revoke(request):
            raise PermissionDenied("You may not revoke tokens. Ask an Administrator.")
        token = ApiToken.objects.filter(pk=key).first()
        if token is None:
            raise Http404("There is no such token.")
        if request.method == "POST":
            try:
                token = revoke_token(token_id=key, actor=Actor.human(request.user))
                messages.success(request, f"Token “{token}” is revoked.")
            except Conflict as refusal:
                messages.warning(request, refusal.sentence)
            return HttpResponseRedirect(cells.admin_url(token))
        context = {**self.admin_site.each_context(request), "title": f"Revoke “{named(token)}”?", "token": token}
        return TemplateResponse(request, "admin/agents/apitoken/revoke.html", context)

    def rotate_view(self, request: HttpRequest, key: UUID) -> HttpResponse:
        if not (self.may_revoke(request) and self.has_add_permission(request)):
            raise PermissionDenied("You may not replace tokens. Ask an Administrator.")
        token = ApiToken.objects.select_related("agent").filter(pk=key).first()
        if token is None:
            raise Http404("There is no such token.")
        form, refusal = RotateForm(request.POST or None), ""
        if request.method == "POST" and form.is_valid():
            given = form.cleaned_data
            try:
                old, new, text = rotate_token(
                    token_id=key,
                    overlap=given["overlap"],
                    new_token_id=given["token_id"],
                    actor=Actor.human(request.user),
                )
            except Refused as said:
                refusal = said.sentence
            else:
                return self.made(request, new, text, old)
        title = f"Replace “{named(token)}”"
        context = {**self.admin_site.each_context(request), "title": title, "token": token, "form": form}
        return TemplateResponse(request, "admin/agents/apitoken/rotate.html", {**context, "refusal": refusal})

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        made, text = create_token(actor=Actor.human(request.user), **form.cleaned_data)
        obj.__dict__.update(made.__dict__)
        request.token_text = text  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None) -> HttpResponse:
        return self.made(request, obj, request.token_text)  # type: ignore[attr-defined]

    def made(self, request: HttpRequest, token: ApiToken, text: str, old: ApiToken | None = None) -> HttpResponse:
        """The one page that shows a token. As every page of the console it is never stored (`no-store`)."""
        context = {
            **self.admin_site.each_context(request),
            "title": f"“{named(token)}” is made",
            "token": token,
            "text": text,
            "old": old,
            "address": request.build_absolute_uri("/api/v1/campaigns"),
        }
        return TemplateResponse(request, "admin/agents/apitoken/made.html", context)

    @admin.display(description="begins with")
    def starts_with(self, token: ApiToken) -> str:
        return cells.code(f"{token.prefix}…")

    @admin.display(description="state")
    def standing(self, token: ApiToken) -> str:
        if token.revoked_at:
            return cells.badge("revoked", "bad")
        if token.expires_at and token.expires_at <= timezone.now():
            return cells.badge("expired", "warn")
        return cells.badge("valid", "good")


def named(token: ApiToken) -> str:
    """For a heading, however long its name is."""
    return Truncator(token.name).chars(100)
