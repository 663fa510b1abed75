"""Tasks in the console: people plan them, and operate those that went astray."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from audit.admin import cells, columns
from audit.admin.base import ConsoleAdmin
from audit.context import Actor
from campaigns.admin.choosing import buttons, chooser
from campaigns.choices import TASK_COLOUR, TASK_VERB_COLOUR, TaskPriority, TaskStatus
from campaigns.filters import CampaignFilter
from campaigns.forms import TaskForm
from campaigns.models import RANK, Task
from campaigns.reading import made_by, standing, tries
from campaigns.services import create_task, possible_task_verbs
from campaigns.services.operating import seen
from campaigns.views.tasks import IN_BULK, may_operate, operate, operate_many, reassign_all

PRIORITY_COLOUR = {TaskPriority.HIGH: "warn"}


@admin.register(Task)
class TaskAdmin(ConsoleAdmin[Task]):
    """People plan tasks; everything that happens to one afterwards is an agent's or a verb's doing."""

    form = TaskForm
    change_form_template = "admin/campaigns/task/change_form.html"
    change_list_template = "admin/campaigns/change_list.html"
    list_display = [
        "__str__",
        columns.badge("status", TASK_COLOUR),
        "urgency",
        columns.link("campaign"),
        columns.link("agent"),
        "tries",
        columns.when("created_at"),
        columns.trace(),
    ]
    list_select_related = ["campaign", "agent"]
    list_filter = ["status", "task_type", "priority", CampaignFilter]
    search_fields = ["title", "agent__agent_id", "agent__display_name", "campaign__name"]
    search_help_text = "Title, agent, campaign or trace"
    ordering = ["-created_at", "-task_id"]
    pickers = {"campaign": ["name"], "agent": ["display_name", "agent_id"]}
    badges = {"status": TASK_COLOUR, "priority": PRIORITY_COLOUR}
    long_texts = frozenset({"error"})
    fieldsets = [
        (None, {"fields": ["campaign", "agent", "task_type", "title", "status", "priority", "error"]}),
        ("What it works from", {"fields": ["context"]}),
        ("Tries", {"fields": ["attempt", "max_attempts", "parent_task", "not_before"]}),
        ("Cost", {"fields": ["reserve_etb", "cost_etb"]}),
        ("Lease", {"fields": ["lease_expires_at", "lease_epoch", "claimed_at"]}),
        ("Record", {"fields": ["trace_id", "created_by", "created_at", "updated_at"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["campaign", "agent", "task_type", "priority", "title"]}),
        ("What it works from", {"fields": ["context"]}),
        ("Tries and cost", {"fields": ["not_before", "max_attempts", "reserve_etb"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(deleted_at=None)

    def get_fieldsets(self, request: HttpRequest, obj: Task | None = None) -> Any:
        return self.fieldsets if obj else self.add_fieldsets

    def get_list_display(self, request: HttpRequest) -> Any:
        return [chooser, *self.list_display] if may_operate(request) else self.list_display

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> Any:
        return ["__str__"]

    def get_urls(self) -> list[URLPattern]:
        guarded = self.admin_site.admin_view
        pages = [
            path("<uuid:key>/operate/<slug:verb>/", guarded(operate), name="campaigns_task_operate"),
            path("operate/<slug:verb>/", guarded(operate_many), name="campaigns_task_operate_many"),
            path("reassign-all/", guarded(reassign_all), name="campaigns_task_reassign_all"),
        ]
        return [*pages, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        shown = buttons("campaigns_task_operate_many", IN_BULK, TASK_VERB_COLOUR) if may_operate(request) else []
        return super().changelist_view(request, {"choose": shown, **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        found = self.get_object(request, object_id)
        if found is None or not self.has_view_permission(request, found):
            return super().change_view(request, object_id, form_url, extra_context)  # says why
        task = seen(pk=found.pk).get()
        verbs = possible_task_verbs(task) if may_operate(request) else []
        shown = {
            "task": task,
            "verbs": [(verb, TASK_VERB_COLOUR.get(verb) == "bad") for verb in verbs],
            "standing": standing(task),
            "tries": [(each, TASK_COLOUR[TaskStatus(each.status)]) for each in tries(task)],
            "state": cells.state(task, "status", TASK_COLOUR),
            **made_by(task, request.user),
        }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **shown})

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Task, form: Any, change: bool) -> None:
        """Through the service, so that whoever plans it is remembered as a maker."""
        planned = create_task(actor=Actor.human(request.user), **form.cleaned_data)
        obj.__dict__.update(planned.__dict__)

    @admin.display(description="priority", ordering=RANK)
    def urgency(self, task: Task) -> str:
        """Coloured only where it asks for haste; sorted by rank, and not by the letters of the word."""
        high = task.priority == TaskPriority.HIGH
        return cells.state(task, "priority", PRIORITY_COLOUR) if high else str(task.get_priority_display())

    @admin.display(description="try", ordering="attempt")
    def tries(self, task: Task) -> str:
        return f"{task.attempt + 1} of {task.max_attempts}"
