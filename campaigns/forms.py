"""The forms of campaigns and tasks. They shape what was typed; the rules are the models' and the services'."""

from datetime import UTC, datetime, time, timedelta
from functools import cached_property
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from audit import exact_json
from audit.admin.cells import zone
from audit.admin.fields import ConsoleForm, JSONField, storable
from campaigns.choices import CAMPAIGN_INITIAL, PLATFORMS, Backlog, CampaignStatus
from campaigns.models import Campaign, Task
from campaigns.rules import MINUTES_A_YEAR, MOST_REASONS, PARTS, NoPlace, put_together, taken_apart

LONGEST_LINE = 500


class PlatformsWidget(forms.MultiWidget):
    """Boxes for the platforms that are known, a line for all others."""

    def __init__(self) -> None:
        other = forms.TextInput(attrs={"aria-label": "Other platforms", "placeholder": "others, with commas"})
        boxes = forms.CheckboxSelectMultiple(choices=[(name, name) for name in PLATFORMS])
        super().__init__({"": boxes, "other": other})

    def decompress(self, value: Any) -> list[Any]:
        text = value or ""
        if text[:1] in ("[", "{"):
            return [[], text]
        names = names_in(text)
        return [[n for n in names if n in PLATFORMS], ", ".join(n for n in names if n not in PLATFORMS)]

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        ticked, other = super().value_from_datadict(data, files, name)
        return ", ".join([*ticked, other] if other else ticked)


def names_in(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


class PlatformsField(forms.CharField):
    """Platforms as people name them; what agents wrote as JSON stays JSON."""

    widget = PlatformsWidget

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
        names = names_in(text)
        storable(names)
        return names

    def validate(self, value: Any) -> None:
        if not value:
            raise ValidationError("Name at least one platform, such as tiktok.")

    def has_changed(self, initial: Any, data: Any) -> bool:
        """The boxes have an order of their own, which is no change."""
        try:
            before, now = self.to_python(self.prepare_value(initial)), self.to_python(data)
        except ValidationError:
            return True
        if isinstance(before, list) and isinstance(now, list):
            return sorted(map(exact_json.dumps, before)) != sorted(map(exact_json.dumps, now))
        return not exact_json.same(before, now)


class LinesField(forms.CharField):
    """Several texts, one a line."""

    def __init__(self, *, most: int = 100, rows: int = 4, **options: Any) -> None:
        self.most = most
        super().__init__(required=False, widget=forms.Textarea(attrs={"rows": rows}), **options)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        if isinstance(value, list):
            return value
        lines = list(dict.fromkeys(line.strip() for line in (value or "").splitlines() if line.strip()))
        storable(lines)
        if len(lines) > self.most:
            raise ValidationError(f"At most {self.most}, one a line; these are {len(lines)}.")
        if any(len(line) > LONGEST_LINE for line in lines):
            raise ValidationError(f"A line has at most {LONGEST_LINE} characters.")
        return lines

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return self.to_python(data) != self.to_python(initial)
        except ValidationError:
            return True


def share_field(default: str, label: str, says: str) -> forms.DecimalField:
    widget = forms.NumberInput(attrs={"placeholder": default, "step": "any"})
    return forms.DecimalField(
        min_value=0, max_value=1, required=False, widget=widget, label=label, help_text=says, show_hidden_initial=True
    )


def minutes_field(default: str, label: str, says: str) -> forms.IntegerField:
    widget = forms.NumberInput(attrs={"placeholder": default})
    return forms.IntegerField(
        min_value=1,
        max_value=MINUTES_A_YEAR,
        required=False,
        widget=widget,
        label=label,
        help_text=says,
        show_hidden_initial=True,
    )


class CampaignForm(ConsoleForm[Campaign]):
    """What people know of in a campaign's JSON has fields. The rest stays as it is, and as somebody else may write it.

    The fields of the JSON remember what they showed: what a person did not touch is kept as it is *now*.
    """

    target_platforms = PlatformsField(label="Platforms", help_text="Where its posts go.", max_length=2000)
    rules = LinesField(
        label="Rules for agents",
        help_text="One a line, such as “no rate promises”. Every agent that works for it is given them.",
        show_hidden_initial=True,
    )
    # The placeholders are what holds while a field is empty; a test compares them with the policy's own.
    approve_threshold = share_field(
        "0.850", "A judge is enough from", "The confidence, from 0 to 1, from which a judge’s approval needs no person."
    )
    blind_share = share_field(
        "0.050",
        "Checked all the same",
        "The share, from 0 to 1, of what judges approve that people see without being told, to measure the judges.",
    )
    due_minutes = minutes_field("240", "People have (minutes)", "After that, what waits for a person is overdue.")
    judge_minutes = minutes_field(
        "30", "Judges have (minutes)", "After that, people are asked in their place when no judge has decided."
    )
    reasons = LinesField(
        label="Reasons to choose from",
        help_text=f"One a line, at most {MOST_REASONS}: reviewers choose them by number keys.",
        most=MOST_REASONS,
        rows=5,
        show_hidden_initial=True,
    )
    constraints = JSONField(
        label="Other rules (JSON)",
        required=False,
        help_text="What agents wrote and no field shows. They are given it as it is.",
        show_hidden_initial=True,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parts, self.rest = taken_apart(self.instance.constraints)
        self.initial.update({**self.parts, "constraints": self.rest})
        for name, word in (("start_time", "Start"), ("end_time", "End")):
            if name in self.fields:
                self.fields[name].label = f"{word} ({zone()})"
        if "reasons" in self.fields:
            self.fields["reasons"].widget.attrs["placeholder"] = "\n".join(DEFAULT_REASONS)
        status = self.fields.get("status")
        if isinstance(status, forms.ChoiceField):
            status.choices = [(value.value, value.label) for value in CampaignStatus if value in CAMPAIGN_INITIAL]
            status.initial = CampaignStatus.DRAFT
            status.help_text = "A draft hands out no work until somebody activates it."

    @cached_property
    def changed_data(self) -> list[str]:
        """The column is written when one of its parts was changed."""
        changed = [name for name, field in self._bound_items() if field._has_changed()]  # type: ignore[attr-defined]
        if not {*PARTS, "constraints"}.isdisjoint(changed):
            changed = list(dict.fromkeys([*changed, "constraints"]))
        return changed

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or {}
        start, end = cleaned.get("start_time"), cleaned.get("end_time")
        if start and end and end <= start:
            self.add_error("end_time", "The end must be after the start.")
        if "constraints" in self.fields and "constraints" in cleaned:
            try:
                cleaned["constraints"] = self._rules(cleaned)
            except NoPlace as problem:
                self.add_error("constraints", str(problem))
        return cleaned

    def _rules(self, cleaned: dict[str, Any]) -> Any:
        """The column, with what this person changed, and everything else as it is now."""
        rest = cleaned["constraints"] if self["constraints"]._has_changed() else self.rest  # type: ignore[attr-defined]
        parts = dict(self.parts)
        for name in set(PARTS) & set(self.changed_data) & set(cleaned):
            parts.pop(name, None)
            if cleaned[name] not in (None, []):
                parts[name] = cleaned[name]
        return put_together(parts, rest)


DEFAULT_REASONS = ["factual error", "tone", "policy", "rights", "quality"]


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


BY_ITSELF = {"1h": timedelta(hours=1), "4h": timedelta(hours=4)}
TOMORROW = "tomorrow"
MORNING = time(8)


class ControlForm(forms.Form):
    """Why; for a pause, until when; for a resume, what becomes of the backlog. What must be said is the service's."""

    reason = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3, "required": True}))
    resume_in = forms.ChoiceField(
        required=False,
        choices=[
            ("", "when somebody resumes it"),
            ("1h", "in 1 h"),
            ("4h", "in 4 h"),
            (TOMORROW, "tomorrow at 08:00"),
        ],
        widget=forms.RadioSelect,
        error_messages={"invalid_choice": "Choose when the pause ends, or write a time."},
    )
    resume_at = forms.DateTimeField(
        required=False,
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        error_messages={"invalid": "Write the time to resume as a date and a time, or leave it empty."},
    )
    backlog = forms.ChoiceField(
        required=False,
        choices=Backlog.choices,
        widget=forms.RadioSelect,
        error_messages={"invalid_choice": "Choose what becomes of the posts that are overdue."},
    )

    def clean_resume_at(self) -> datetime | None:
        """The time that was written, or that “in 1 h” means at this moment."""
        given: datetime | None = self.cleaned_data["resume_at"]
        preset = self.cleaned_data.get("resume_in", "")
        if given and preset:
            raise ValidationError("Choose one of the ends of the pause, or write a time of your own; not both.")
        if preset == TOMORROW:
            day = timezone.localdate() + timedelta(days=1)
            return timezone.make_aware(datetime.combine(day, MORNING)).astimezone(UTC)
        if preset:
            return timezone.now() + BY_ITSELF[preset]
        return given.astimezone(UTC) if given else None


class TaskVerbForm(forms.Form):
    """Why, and who is to have the work from now on. What must be said is the service's."""

    reason = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 4, "required": True}))
    agent_id = forms.CharField(
        required=False, max_length=500, widget=forms.TextInput(attrs={"list": "agents", "autocomplete": "off"})
    )
