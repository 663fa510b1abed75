"""Agents and their tokens in the console."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from agents.choices import AGENT_COLOUR, AGENT_INITIAL, AGENT_TRANSITIONS, AgentStatus
from agents.models import Agent, ApiToken
from audit.admin import cells, columns
from audit.admin.base import ConsoleAdmin
from audit.admin.fields import ConsoleForm


class AgentForm(ConsoleForm[Agent]):
    """Offers only the states that the agent can go to; `choices.py` knows which."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields.get("status")
        if isinstance(field, forms.ChoiceField):
            field.choices = [(status.value, status.label) for status in AgentStatus if status in self.possible()]

    def possible(self) -> set[AgentStatus]:
        if self.instance._state.adding:
            return AGENT_INITIAL
        now = AgentStatus(self.initial["status"])
        return {now} | AGENT_TRANSITIONS[now]

    def clean_agent_id(self) -> str:
        """A name that also reads well in addresses, logs and shells."""
        name = str(self.cleaned_data["agent_id"]).strip()
        if not name or any(character.isspace() or not character.isprintable() for character in name):
            raise forms.ValidationError("Write a name without spaces, such as writer-4.")
        return name


@admin.register(Agent)
class AgentAdmin(ConsoleAdmin[Agent]):
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
    autocomplete_fields = ["campaign"]
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
        """The natural key never changes."""
        given = [str(name) for name in super().get_readonly_fields(request, obj)]
        return ["agent_id", *given] if obj else given


@admin.register(ApiToken)
class ApiTokenAdmin(ConsoleAdmin[ApiToken]):
    """Tokens are looked at and revoked; making one belongs to the door that shows it once, so there is no add page."""

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
    fields = ["name", "role", "agent", "prefix", "expires_at", "revoked_at", "last_used_at", "created_at"]
    change_form_template = "admin/agents/apitoken/change_form.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @staticmethod
    def may_revoke(request: HttpRequest) -> bool:
        return request.user.has_perm("agents.change_apitoken")

    def get_urls(self) -> list[URLPattern]:
        revoke = path("<uuid:key>/revoke/", self.admin_site.admin_view(self.revoke_view), name="agents_apitoken_revoke")
        return [revoke, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        token = self.get_object(request, object_id)
        revocable = token is not None and token.revoked_at is None and self.may_revoke(request)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "revocable": revocable})

    def revoke_view(self, request: HttpRequest, key: UUID) -> HttpResponse:
        if not self.may_revoke(request):
            raise PermissionDenied("You may not revoke tokens. Ask an Administrator.")
        token = ApiToken.objects.filter(pk=key).first()
        if token is None:
            raise Http404("There is no such token.")
        if request.method == "POST":
            revoked = ApiToken.objects.filter(pk=key, revoked_at=None).change("revoke", revoked_at=timezone.now())
            said = f"Token “{token}” is revoked." if revoked else f"Token “{token}” was revoked already."
            messages.success(request, said)
            return HttpResponseRedirect(cells.admin_url(token))
        context = {**self.admin_site.each_context(request), "title": f"Revoke “{token.name}”?", "token": token}
        return TemplateResponse(request, "admin/agents/apitoken/revoke.html", context)

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
