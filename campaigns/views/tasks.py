"""What operators do to tasks: to one, to several, and to all that waits for an agent."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from agents.choices import AgentStatus
from agents.models import Agent
from audit.admin.cells import admin_url
from audit.context import Actor
from audit.errors import Refused
from campaigns.choices import TASK_VERB_COLOUR, TaskVerb
from campaigns.forms import TaskVerbForm
from campaigns.reading import task_consequences
from campaigns.services import operate_task, reassign_pending
from campaigns.services.consequences import Consequence, bounded, many
from campaigns.services.operating import PERMISSION, REASSIGNED_AT_ONCE, SAY_WHY, pending_of, seen, why_not
from campaigns.views.confirm import chosen, demand, first_error, one_after_other, page

SUGGESTED = 200  # agents in the list that the browser offers while one types
TO = "retry, reassign, release or send back tasks"
DONE = {
    TaskVerb.RETRY: "is tried again",
    TaskVerb.REASSIGN: "was given to another agent",
    TaskVerb.RELEASE: "was released; this is its next attempt",
    TaskVerb.SEND_BACK: "was sent back to its maker; this is the next attempt",
}
NOTE = {
    TaskVerb.RETRY: "A new attempt on the same trace, at once, even when the tries are used up.",
    TaskVerb.REASSIGN: "Nobody has begun with it: another agent gets it.",
    TaskVerb.RELEASE: "For work that is stuck: whoever has it is cut off, and it is done again.",
    TaskVerb.SEND_BACK: "The maker gets your comments and tries again. Nothing of this attempt is published.",
}
MAY_GIVE_TO = {
    TaskVerb.RETRY: "empty: the agent that had it",
    TaskVerb.REASSIGN: "an active agent",
    TaskVerb.RELEASE: "empty: the agent that has it",
    TaskVerb.SEND_BACK: "empty: its maker",
}
IN_BULK = [TaskVerb.RETRY, TaskVerb.REASSIGN, TaskVerb.RELEASE]  # comments are written on one piece of work


def may_operate(request: HttpRequest) -> bool:
    return request.user.has_perm(PERMISSION)


def _asked(verb: TaskVerb, form: TaskVerbForm) -> dict[str, Any]:
    active = Agent.objects.filter(status=AgentStatus.ACTIVE).order_by("agent_id")
    return {
        "verb": verb,
        "button": f"{verb.label} now",
        "danger": TASK_VERB_COLOUR.get(verb) == "bad",
        "note": NOTE[verb],
        "reason_label": "Comments" if verb == TaskVerb.SEND_BACK else "Reason",
        "reason_help": "required, the maker works from them" if verb == TaskVerb.SEND_BACK else "required, for the log",
        "agent_help": MAY_GIVE_TO[verb],
        "agents": active[:SUGGESTED],
        "form": form,
    }


def operate(request: HttpRequest, key: UUID, verb: str) -> HttpResponse:
    demand(request, PERMISSION, TO)
    task = seen(pk=key, deleted_at=None).first()
    if task is None or verb not in TaskVerb.values:
        raise Http404("There is no such task, or nothing of that name can be done to it.")
    chosen_verb, form = TaskVerb(verb), TaskVerbForm(request.POST or None)
    if request.method != "POST":
        return _page(request, task, chosen_verb, form)
    if not form.is_valid():
        return _page(request, task, chosen_verb, form, refusal=first_error(form), status=422)
    try:
        now = operate_task(chosen_verb, task_id=task.pk, actor=Actor.human(request.user), **form.cleaned_data)
    except Refused as refusal:
        task = seen(pk=key).get()
        return _page(request, task, chosen_verb, form, refusal=refusal.sentence, status=refusal.status)
    messages.success(request, f"“{now}” {DONE[chosen_verb]}.")
    return HttpResponseRedirect(admin_url(now))


def _page(
    request: HttpRequest, task: Any, verb: TaskVerb, form: TaskVerbForm, refusal: str = "", status: int = 200
) -> HttpResponse:
    impossible = why_not(verb, task)
    if impossible and not refusal:
        refusal, status = impossible, 409
    return page(
        request,
        "task/operate",
        status,
        title=f"{verb.label} “{task}”?",
        task=task,
        possible=not impossible,
        refusal=refusal,
        rows=[] if impossible else task_consequences(task, verb),
        counted_at=timezone.now(),
        back=admin_url(task),
        **_asked(verb, form),
    )


def operate_many(request: HttpRequest, verb: str) -> HttpResponse:
    """The same on those that were ticked in the list."""
    demand(request, PERMISSION, TO)
    if verb not in IN_BULK:
        raise Http404("Nothing of that name can be done to several tasks.")
    chosen_verb, back = TaskVerb(verb), reverse("admin:campaigns_task_changelist")
    try:
        keys = chosen(request)
    except Refused as refusal:
        messages.warning(request, refusal.sentence)
        return HttpResponseRedirect(back)
    tasks = list(seen(pk__in=keys, deleted_at=None).defer("context", "error").order_by("created_at", "pk"))
    form = TaskVerbForm(request.POST if "confirmed" in request.POST else None)
    if not form.is_bound:
        return _page_of_many(request, tasks, chosen_verb, form)
    if refusal_text := _missing(form, chosen_verb):
        return _page_of_many(request, tasks, chosen_verb, form, refusal=refusal_text, status=422)
    actor = Actor.human(request.user)

    def do(task: Any) -> str:
        now = operate_task(chosen_verb, task_id=task.pk, actor=actor, **form.cleaned_data)
        return f"Attempt {now.attempt + 1} waits for {now.agent_id}."

    return _report(request, f"{chosen_verb.label}: what was done", one_after_other(tasks, do), form, back, "Tasks")


def _missing(form: TaskVerbForm, verb: TaskVerb) -> str:
    if not form.is_valid():
        return first_error(form)
    if not form.cleaned_data["reason"].strip():
        return SAY_WHY[verb]
    if verb == TaskVerb.REASSIGN and not form.cleaned_data["agent_id"].strip():
        return "Name the agent that is to have them."
    return ""


def _report(
    request: HttpRequest, title: str, results: list[Any], form: TaskVerbForm, back: str, back_to: str
) -> HttpResponse:
    given = {"title": title, "results": results, "reason": form.cleaned_data["reason"], "kind": "task"}
    return page(request, "report", back=back, back_to=back_to, **given)


def _page_of_many(
    request: HttpRequest,
    tasks: list[Any],
    verb: TaskVerb,
    form: TaskVerbForm,
    refusal: str = "",
    status: int = 200,
) -> HttpResponse:
    unable = [(task, told) for task in tasks if (told := why_not(verb, task))]
    able = [task for task in tasks if not why_not(verb, task)]
    return page(
        request,
        "task/operate_many",
        status if able else 409,
        title=f"{verb.label} {many(len(able), 'task')}?",
        possible=bool(able),
        refusal=refusal or ("" if able else "This is possible for none of these tasks now."),
        able=able,
        unable=unable,
        counted_at=timezone.now(),
        back=reverse("admin:campaigns_task_changelist"),
        **_asked(verb, form),
    )


def reassign_all(request: HttpRequest) -> HttpResponse:
    """All that waits for one agent is given to another: for agents that were suspended or retired."""
    demand(request, PERMISSION, TO)
    agent = Agent.objects.filter(pk=request.GET.get("agent", "")).first()
    if agent is None:
        raise Http404("There is no such agent.")
    form = TaskVerbForm(request.POST or None)
    if request.method != "POST":
        return _page_of_agent(request, agent, form)
    if refusal := _missing(form, TaskVerb.REASSIGN):
        return _page_of_agent(request, agent, form, refusal=refusal, status=422)
    try:
        moved, left = reassign_pending(from_agent=agent, actor=Actor.human(request.user), **form.cleaned_data)
    except Refused as problem:
        return _page_of_agent(request, agent, form, refusal=problem.sentence, status=problem.status)
    messages.success(request, f"{many(moved, 'task')} {'has' if moved == 1 else 'have'} changed hands.")
    if left:
        messages.warning(
            request,
            f"{many(left, 'task')} still {'waits' if left == 1 else 'wait'} for {agent}. Do it again for the next.",
        )
        return HttpResponseRedirect(request.get_full_path())
    return HttpResponseRedirect(f"{reverse('admin:campaigns_task_changelist')}?q={form.cleaned_data['agent_id']}")


def _page_of_agent(
    request: HttpRequest, agent: Agent, form: TaskVerbForm, refusal: str = "", status: int = 200
) -> HttpResponse:
    waiting = bounded(pending_of(agent))
    told = f"given over {REASSIGNED_AT_ONCE:,} at a time" if waiting > REASSIGNED_AT_ONCE else "nobody has begun them"
    return page(
        request,
        "task/operate",
        status if waiting or refusal else 409,
        title=f"Reassign what waits for “{agent}”?",
        possible=bool(waiting),
        refusal=refusal or ("" if waiting else f"Nothing waits for “{agent}”."),
        rows=[Consequence(many(waiting, "pending task"), "reassigned", "info", told)],
        counted_at=timezone.now(),
        back=admin_url(agent),
        **_asked(TaskVerb.REASSIGN, form),
    )
