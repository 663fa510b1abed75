"""The forms of campaigns and tasks. They shape what was typed; the rules are the models' and the services'."""

from datetime import UTC
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from audit import exact_json
from audit.admin.fields import ConsoleForm, JSONField, storable
from campaigns.choices import CAMPAIGN_INITIAL, Backlog, CampaignStatus
from campaigns.models import Campaign, Task


class PlatformsField(forms.CharField):
    """Platforms as people list them, with commas; what agents wrote as JSON stays JSON."""

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, list) and all(isinstance(name, str) and "," not in name for name in value):
            return ", ".join(value)
        return value if isinstance(value, str) or value is None else exact_json.dumps(value, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        if isinstance(value, (list, dict)):
            return value
        text = (value or "").strip()
        if text[:1] in ("[", "{"):
            return JSONField().to_python(text)
        names = [name.strip() for name in text.split(",") if name.strip()]
        storable(names)
        return list(dict.fromkeys(names))

    def validate(self, value: Any) -> None:
        if not value:
            raise ValidationError("Name at least one platform, such as tiktok.")

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return not exact_json.same(self.to_python(data), initial)
        except ValidationError:
            return True


class CampaignForm(ConsoleForm[Campaign]):
    target_platforms = PlatformsField(
        label="Platforms", help_text="Where its posts go, with commas: tiktok, instagram.", max_length=2000
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        status = self.fields.get("status")
        if isinstance(status, forms.ChoiceField):
            status.choices = [(value.value, value.label) for value in CampaignStatus if value in CAMPAIGN_INITIAL]
            status.initial = CampaignStatus.DRAFT
            status.help_text = "A draft hands out no work until somebody activates it."

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or {}
        start, end = cleaned.get("start_time"), cleaned.get("end_time")
        if start and end and end <= start:
            self.add_error("end_time", "The end must be after the start.")
        return cleaned


class TaskForm(ConsoleForm[Task]):
    class Meta:
        model = Task
        fields = [
            "campaign",
            "agent",
            "task_type",
            "priority",
            "title",
            "context",
            "not_before",
            "max_attempts",
            "reserve_etb",
        ]


class ControlForm(forms.Form):
    """Why; for a pause, until when; for a resume, what becomes of the backlog. What must be said is the service's."""

    reason = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3, "required": True}))
    resume_at = forms.DateTimeField(
        required=False,
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        error_messages={"invalid": "Write the time to resume as a date and a time (UTC), or leave it empty."},
    )

    backlog = forms.ChoiceField(
        required=False,
        choices=Backlog.choices,
        widget=forms.RadioSelect,
        error_messages={"invalid_choice": "Choose what becomes of the posts that are overdue."},
    )

    def clean_resume_at(self) -> Any:
        given = self.cleaned_data["resume_at"]
        return given.astimezone(UTC) if given else None
