"""The forms of agents and of their tokens."""

from typing import Any

from django import forms

from agents.choices import AGENT_INITIAL, AGENT_TRANSITIONS, AgentStatus
from agents.models import Agent, ApiToken
from audit.admin.fields import ConsoleForm
from audit.base import new_id


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


class TokenForm(ConsoleForm[ApiToken]):
    """The key of the token is chosen when the form is shown: sent twice, the form makes one token."""

    token_id = forms.UUIDField(widget=forms.HiddenInput, initial=new_id)

    class Meta:
        model = ApiToken
        fields = ["name", "role", "agent", "expires_at"]
        labels = {"expires_at": "Expires (UTC)"}
