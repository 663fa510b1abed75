"""The forms of agents and of their tokens."""

from datetime import timedelta
from typing import Any

from django import forms
from django.db.models import Q

from accounts.models import User
from agents.choices import AGENT_INITIAL, AgentStatus
from agents.models import Agent, ApiToken
from agents.services import OVERLAP
from audit.admin.cells import zone
from audit.admin.fields import ConsoleForm
from audit.base import new_id


class AgentForm(ConsoleForm[Agent]):
    """A new agent begins in one of the states in which agents begin; later, verbs change it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        status, owner = self.fields.get("status"), self.fields.get("owner")
        if isinstance(status, forms.ChoiceField):
            status.choices = [(state.value, state.label) for state in AgentStatus if state in AGENT_INITIAL]
        if isinstance(owner, forms.ModelChoiceField):  # who has left answers for nothing new
            here = User.objects.filter(Q(is_active=True) | Q(pk=self.instance.owner_id))
            owner.queryset = here.order_by("display_name", "email")

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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "expires_at" in self.fields:
            self.fields["expires_at"].label = f"Expires ({zone()})"


OVERLAPS = {
    "0": (timedelta(0), "not at all: it has leaked, and is revoked now"),
    "1h": (timedelta(hours=1), "for an hour"),
    "24h": (OVERLAP, "for 24 hours"),
    "7d": (timedelta(days=7), "for 7 days"),
}


class RotateForm(forms.Form):
    """How long the old token lives on. The key of the new one is chosen when the form is shown, as for a first one."""

    overlap = forms.ChoiceField(
        label="The old token works on",
        choices=[(name, words) for name, (_, words) in OVERLAPS.items()],
        initial="24h",
        widget=forms.RadioSelect,
    )
    token_id = forms.UUIDField(widget=forms.HiddenInput, initial=new_id)

    def clean_overlap(self) -> timedelta:
        return OVERLAPS[self.cleaned_data["overlap"]][0]
