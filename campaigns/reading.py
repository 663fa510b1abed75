"""Tasks and campaigns in words: where each stands, and what a verb would do to it."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from agents.choices import AgentStatus
from audit.admin.cells import clock, duration, relative
from campaigns.choices import TASK_COLOUR, CampaignStatus, TaskStatus, TaskVerb
from campaigns.models import Campaign, SystemControl, Task
from campaigns.services.consequences import Consequence, bounded, how_many, many

MOST_TRIES = 50  # shown of a chain
MOST_SHOWN = 20  # of what a task made
POSTS = {"queued": "info", "published": "good", "failed": "bad"}


def standing(task: Any) -> str:
    """Where a task as `operating.seen` gives it stands, in a sentence."""
    return {
        TaskStatus.PENDING: _waits,
        TaskStatus.IN_PROGRESS: _runs,
        TaskStatus.REVIEW: _in_review,
        TaskStatus.DONE: _done,
        TaskStatus.FAILED: _failed,
    }[TaskStatus(task.status)](task)


def _waits(task: Any) -> str:
    now, campaign = timezone.now(), task.campaign
    if SystemControl.objects.filter(halted=True).exists():
        return "It waits: everything is halted."
    if campaign.status != CampaignStatus.ACTIVE:
        return f"It waits: its campaign is {campaign.state}."
    if campaign.start_time and campaign.start_time > now:
        return f"It waits: its campaign starts {relative(campaign.start_time)}."
    if campaign.end_time and campaign.end_time <= now:
        return f"It waits: its campaign ended {relative(campaign.end_time)}."
    if task.agent.status != AgentStatus.ACTIVE:
        return f"It waits: its agent is {task.agent.get_status_display()}. Reassign it, or activate the agent."
    if task.reserve_etb > campaign.budget_cap_etb - campaign.reserved_etb - campaign.spent_etb:
        return "It waits: what it may cost would pass the campaign’s budget."
    if task.not_before and task.not_before > now:
        return f"It waits, and is handed out in {duration(task.not_before - now)} at the earliest."
    return f"It waits until {task.agent} claims it."


def _runs(task: Any) -> str:
    since = f"{task.agent} has it" + (f" for {duration(timezone.now() - task.claimed_at)}" if task.claimed_at else "")
    if task.lease_expires_at is None:
        return f"{since}."
    if task.lease_expires_at <= timezone.now():
        return f"{since}; its lease ended {relative(task.lease_expires_at)}, and the next attempt is planned soon."
    return f"{since}; its lease lasts until {clock(task.lease_expires_at)} unless a heartbeat prolongs it."


def _in_review(task: Any) -> str:
    if task.review_items.open().exists():
        return "What it made waits for a person."
    decided = task.review_items.filter(decision__isnull=False).exists()
    return "A person has decided; it takes effect soon." if decided else "What it made waits for a judge."


def _done(task: Any) -> str:
    if task.has_later_attempt:
        return "It was done, and then sent back: a later attempt follows."
    return "It is done, and published." if task.has_post_out else "It is done."


def _failed(task: Any) -> str:
    if task.has_later_attempt:
        return "This attempt failed; a later one follows."
    return "It failed, and nobody tries it again by itself."


def tries(task: Task) -> list[Task]:
    """The attempts before and after this one, in order, with this one among them."""
    rows = Task.objects.raw(
        "WITH RECURSIVE earlier AS (SELECT task_id, parent_task_id, attempt, 0 AS depth FROM task"
        " WHERE task_id = %(key)s"
        " UNION ALL SELECT t.task_id, t.parent_task_id, t.attempt, depth + 1 FROM task t JOIN earlier e"
        # The parent of a first try is not an earlier one, but what asked for it.
        " ON t.task_id = e.parent_task_id AND e.attempt > 0 AND depth < %(most)s),"
        " later AS (SELECT task_id, task_type, 0 AS depth FROM task WHERE task_id = %(key)s"
        " UNION ALL SELECT t.task_id, t.task_type, depth + 1 FROM task t JOIN later l"
        " ON t.parent_task_id = l.task_id AND t.attempt > 0 AND t.task_type = l.task_type AND depth < %(most)s)"
        " SELECT task_id, agent_id, status, attempt, created_at FROM task"
        " WHERE task_id IN (SELECT task_id FROM earlier UNION SELECT task_id FROM later)"
        " ORDER BY attempt, created_at LIMIT %(most)s",
        {"key": task.pk, "most": MOST_TRIES},
    )
    return list(rows)


def task_consequences(task: Any, verb: TaskVerb) -> list[Consequence]:
    """What the verb would do to a task as `operating.seen` gives it."""
    if verb == TaskVerb.REASSIGN:
        return [Consequence(f"{task.agent} has it now", "changes hands", "info", "the agent that you name gets it")]
    before = {TaskVerb.RELEASE: _cut_off, TaskVerb.SEND_BACK: _sent_back}.get(verb)
    return [*(before(task) if before else []), _following(task)]


def _following(task: Any) -> Consequence:
    runs = task.campaign.status == CampaignStatus.ACTIVE
    told = "agents can claim it at once" if runs else f"it waits: its campaign is {task.campaign.state}"
    return Consequence(f"Attempt {task.attempt + 2}, on the same trace", "planned", "good", told)


def _cut_off(task: Any) -> list[Consequence]:
    told = "its lease ends now; what its worker sends later is refused (409)"
    rows = [Consequence(f"Attempt {task.attempt + 1} at {task.agent}", "cut off", "bad", told)]
    if task.reserve_etb:
        told = "nobody can say what it has cost, so that what was reserved counts as spent"
        rows.append(Consequence(f"{task.reserve_etb:,} ETB reserved", "spent", "warn", told))
    return rows


def _sent_back(task: Any) -> list[Consequence]:
    what, rows = f"Attempt {task.attempt + 1} by {task.agent}", []
    if task.status == TaskStatus.REVIEW:
        rows.append(Consequence(what, "fails", "bad", "with your comments as its reason"))
    else:
        rows.append(Consequence(what, "stays done", "neutral", "but nothing of it leaves any more"))
    if waiting := bounded(task.review_items.open()):
        rows.append(Consequence(f"{many(waiting, 'review')} open", "withdrawn", "warn", "nobody needs to decide"))
    if posts := bounded(task.campaign.publish_records.filter(artifact__task=task).queued()):
        rows.append(Consequence(f"{many(posts, 'post')} queued", "dropped", "bad", "they never leave"))
    return rows


def made_by(task: Task, person: Any) -> dict[str, Any]:
    """What the task has left in the higher rooms, newest first, as much as a page shows and the person may see."""
    rooms: Any = task
    queries = {
        "artifacts": ("content.view_artifact", rooms.artifacts.select_related("task")),
        "items": ("content.view_reviewitem", rooms.review_items.select_related("artifact", "task")),
        "decisions": ("content.view_reviewdecision", rooms.decisions.select_related("artifact", "task")),
        "posts": (
            "content.view_publishrecord",
            rooms.campaign.publish_records.filter(artifact__task=task).select_related("artifact__task"),
        ),
    }
    return {
        name: list(rows.order_by("-created_at", "-pk")[:MOST_SHOWN]) if person.has_perm(permission) else []
        for name, (permission, rows) in queries.items()
    }


@dataclass(frozen=True)
class Figure:
    """A number of a campaign's page, and the list behind it."""

    what: str
    amount: str
    colour: str
    url: str


def figures(campaign: Campaign, person: Any) -> list[Figure]:
    """Those whose lists the person may see. Nothing is counted to its very end."""
    rooms: Any = campaign
    shown: list[Figure] = []
    if person.has_perm("campaigns.view_task"):
        for status in TaskStatus:
            rows = campaign.tasks.filter(status=status, deleted_at=None)
            shown.append(
                _figure(f"tasks {status.label}", rows, TASK_COLOUR[status], "campaigns_task", campaign, status)
            )
    if person.has_perm("content.view_reviewitem"):
        shown.append(_figure("reviews waiting", rooms.review_items.open(), "warn", "content_reviewitem", campaign))
    if person.has_perm("content.view_publishrecord"):
        for word, colour in POSTS.items():
            rows = rooms.publish_records.filter(status=word)
            shown.append(_figure(f"posts {word}", rows, colour, "content_publishrecord", campaign, word))
    return shown


def _figure(what: str, rows: QuerySet[Any], colour: str, model: str, campaign: Campaign, status: str = "") -> Figure:
    amount = bounded(rows)
    chosen = {"campaign": str(campaign.pk), **({"status__exact": str(status)} if status else {})}
    return Figure(
        what, how_many(amount), colour if amount else "", f"{reverse(f'admin:{model}_changelist')}?{urlencode(chosen)}"
    )
