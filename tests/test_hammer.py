"""Everything at once: threads do whatever comes to their minds, and afterwards the rules hold.

Seeded, so that a failure can be run again; how the threads interleave is up to the machine.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Count, F, Sum
from django.utils import timezone

from audit.base import audited_models
from audit.choices import ActorType
from audit.context import Actor
from audit.errors import Refused
from audit.models import AuditLog
from audit.receivers import _values
from campaigns.choices import Backlog, CampaignVerb, TaskVerb
from campaigns.models import Campaign, Task
from campaigns.services import (
    claim_tasks,
    complete_task,
    control_campaign,
    fail_expired_tasks,
    fail_task,
    halt_everything,
    heartbeat_task,
    operate_task,
    reassign_pending,
    release_task,
    resume_everything,
)
from config.groups import ADMINISTRATOR
from content.choices import ArtifactType, Decision, Hold, Outcome
from content.models import Artifact, JudgeLease, PublishRecord, ReviewItem
from content.services import (
    claim_artifacts,
    claim_next,
    claim_posts,
    decide_artifact,
    decide_items,
    decide_review_item,
    hold_expired_posts,
    hold_post,
    publish_failed,
    publish_succeeded,
    publish_unknown,
    queue_post_again,
    release_hold,
    release_item,
    reschedule_post,
    settle_decisions,
    settle_unknown_post,
    submit_artifact,
    undo_decision,
)
from content.services.desk import Seen
from tests.concurrency import together
from tests.factories import make_agent, make_campaign, make_judge, make_task, make_user, worker

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = 60  # of each thread
CLOCK = Actor.system("run_due")


class Somebody:
    """One thread's share of the world: works, judges, decides, publishes and meddles at random."""

    def __init__(self, seed: int, campaigns: list[Campaign], people: list[Any], *agents: Any) -> None:
        self.chance = random.Random(seed)
        self.campaigns, self.people, (self.judge, self.agent, self.other) = campaigns, people, agents
        self.done: dict[str, int] = defaultdict(int)

    def run(self) -> dict[str, int]:
        verbs: list[Callable[[], Any]] = [self.work] * 5 + [self.judge_one] * 4 + [self.decide] * 4 + [self.decide_many]
        verbs += [self.undo, self.settle, self.settle, self.publish, self.publish, self.control, self.lose, self.switch]
        verbs += [self.operate, self.operate, self.reassign, self.meddle, self.meddle]
        for _ in range(STEPS):
            verb = self.chance.choice(verbs)
            try:
                verb()
                self.done[verb.__name__] += 1
            except Refused:
                pass
        return self.done

    def one(self, rows: Any) -> Any:
        keys = list(rows.values_list("pk", flat=True)[:30])
        return rows.model.objects.get(pk=self.chance.choice(keys)) if keys else None

    def work(self) -> None:
        for task in claim_tasks(agent=self.agent, actor=CLOCK):
            heartbeat_task(task=task, actor=worker(task), lease_seconds=60)
            if self.chance.random() < 0.1:
                release_task(task=task, actor=worker(task))
            elif self.chance.random() < 0.1:
                fail_task(task=task, actor=worker(task), error="The model timed out.")
            else:
                for kind in self.chance.sample([ArtifactType.TEXT, ArtifactType.IMAGE], self.chance.choice([1, 1, 2])):
                    submit_artifact(task=task, artifact_type=kind, content=b"x" * task.attempt, actor=worker(task))
                complete_task(task=task, actor=worker(task))

    def judge_one(self) -> None:
        claimed = claim_artifacts(judge=self.judge, actor=CLOCK)
        lease = claimed[0] if claimed and self.chance.random() < 0.7 else None
        artifact = lease.artifact if lease else self.one(Artifact.objects.filter(task__status="review"))
        if artifact:
            confidence = Decimal(self.chance.choice(["0.5", "0.99"]))
            decision = self.chance.choice([Decision.APPROVE] * 3 + [Decision.REJECT, Decision.ESCALATE])
            decide_artifact(
                artifact=artifact,
                judge=self.judge,
                decision=decision,
                confidence=confidence,
                reasons=["-"],
                actor=Actor(ActorType.JUDGE, self.judge.pk),
                lease_id=lease and lease.lease_id,
            )

    def decide(self) -> None:
        person = Actor.human(self.chance.choice(self.people))
        item = claim_next(actor=person) if self.chance.random() < 0.5 else self.one(ReviewItem.objects.open())
        if item and self.chance.random() < 0.1:
            release_item(item_id=item.pk, actor=person)
        elif item:
            decision = self.chance.choice([Decision.APPROVE] * 3 + [Decision.REJECT, Decision.ESCALATE])
            decide_review_item(item_id=item.pk, decision=decision, reasons=["-"], actor=person)

    def decide_many(self) -> None:
        """Ticked in the list, and decided a little later."""
        person = Actor.human(self.chance.choice(self.people))
        items = list(ReviewItem.objects.open().select_related("artifact").order_by("?")[:5])
        decision = self.chance.choice([Decision.APPROVE, Decision.APPROVE, Decision.ESCALATE])
        higher = self.chance.random() < 0.3
        seen = [Seen(item.pk, item.version, item.artifact.content_sha256) for item in items]
        decide_items(seen=seen, decision=decision, reasons=["-"], actor=person, escalate_to_administrators=higher)

    def undo(self) -> None:
        if item := self.one(ReviewItem.objects.filter(status="decided", task__status="review")):
            person = next(person for person in self.people if item.decision.reviewer_id == f"user:{person.pk}")
            undo_decision(item_id=item.pk, actor=Actor.human(person))

    def settle(self) -> None:
        settle_decisions(actor=CLOCK, now=timezone.now() + timedelta(seconds=59, milliseconds=900))

    def publish(self) -> None:
        PublishRecord.objects.queued().filter(lease_id=None).change("test", scheduled_for=timezone.now())
        for record in claim_posts(platform="tiktok", actor=CLOCK):
            if self.chance.random() < 0.1:
                publish_unknown(record=record, error="timeout", actor=CLOCK)
            elif self.chance.random() < 0.7:
                publish_succeeded(
                    record=record, platform_post_id=str(record.pk), published_at=timezone.now(), actor=CLOCK
                )
            else:
                publish_failed(record=record, error="HTTP 500", retryable=True, actor=CLOCK)

    def lose(self) -> None:
        """Workers, publishers and judges go silent, and the clock finds it."""
        past = timezone.now() - timedelta(seconds=1)
        for rows in (Task.objects.all(), PublishRecord.objects.all(), JudgeLease.objects.all()):
            rows.filter(lease_id__isnull=False).change("test", lease_expires_at=past)
        fail_expired_tasks(actor=CLOCK)
        hold_expired_posts(actor=CLOCK)
        Task.objects.filter(status="pending", not_before__isnull=False).change("test", not_before=None)
        if record := self.one(PublishRecord.objects.queued().filter(hold=Hold.OUTCOME_UNKNOWN)):
            outcome = self.chance.choice([Outcome.RETRY, Outcome.DROP])
            operator = Actor.human(self.people[0])
            settle_unknown_post(publish_id=record.pk, outcome=outcome, actor=operator, reason="I looked.")

    def operate(self) -> None:
        """An operator retries, reassigns, releases, sends back: whatever the task's state is when they come."""
        if task := self.one(Task.objects.order_by("?")):
            verb = self.chance.choice(list(TaskVerb))
            other = self.agent.pk if self.chance.random() < 0.5 else self.other.pk
            given = {"agent_id": other} if verb == TaskVerb.REASSIGN else {}
            operate_task(verb, task_id=task.pk, actor=Actor.human(self.people[0]), reason="Because.", **given)

    def reassign(self) -> None:
        operator = Actor.human(self.people[0])
        reassign_pending(from_agent=self.other, agent_id=self.agent.pk, actor=operator, reason="Because.")

    def meddle(self) -> None:
        """An operator with a post in whatever state."""
        if record := self.one(PublishRecord.objects.order_by("?")):
            verb = self.chance.choice([hold_post, release_hold, queue_post_again, queue_post_again, reschedule_post])
            given = {"scheduled_for": None} if verb is reschedule_post else {}
            verb(publish_id=record.pk, actor=Actor.human(self.people[0]), reason="Because.", **given)

    def switch(self) -> None:
        operator = Actor.human(self.people[0])
        halt_everything(actor=operator, reason="Because.")
        resume_everything(actor=operator, reason="Because.", backlog=self.chance.choice(list(Backlog)))

    def control(self) -> None:
        campaign = self.chance.choice(self.campaigns)
        verb = self.chance.choice([CampaignVerb.PAUSE, CampaignVerb.HALT] + [CampaignVerb.RESUME] * 4)
        backlog = self.chance.choice([Backlog.PUBLISH, Backlog.SPREAD])
        choice = {"backlog": backlog} if verb == CampaignVerb.RESUME else {}
        operator = Actor.human(self.people[0])
        control_campaign(verb, campaign_id=campaign.pk, actor=operator, reason="Because.", **choice)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_happens_at_once_the_rules_hold(seed: int) -> None:
    judge, agent, other = make_judge(), make_agent(), make_agent()
    campaigns = [make_campaign(target_platforms=["tiktok"]) for _ in range(2)]
    people = [make_user(ADMINISTRATOR) for _ in range(3)]
    planner = Actor.human(people[2])
    for campaign in campaigns:
        for _ in range(30):
            make_task(campaign=campaign, agent=agent, reserve_etb=3, max_attempts=9, actor=planner)
    results = together(*(Somebody(seed * 10 + n, campaigns, people, judge, agent, other).run for n in range(4)))
    assert all(isinstance(result, dict) for result in results), results  # nothing but refusals was raised
    done: dict[str, int] = defaultdict(int)
    for result in results:
        for verb, times in result.items():
            done[verb] += times
    assert min(done[verb] for verb in ("work", "judge_one", "decide", "settle", "lose", "switch")) > 0, dict(done)
    the_rules_hold()
    the_log_tells_it_all()


def the_rules_hold() -> None:
    for campaign in Campaign.objects.all():
        reserved = campaign.tasks.filter(status="in_progress").aggregate(sum=Sum("reserve_etb"))["sum"] or 0
        spent = campaign.tasks.aggregate(sum=Sum("cost_etb"))["sum"] or 0
        assert (campaign.reserved_etb, campaign.spent_etb) == (reserved, spent)
        assert reserved + spent <= campaign.budget_cap_etb
    live = PublishRecord.objects.live().values("artifact", "platform").annotate(n=Count("pk"))
    assert not live.filter(n__gt=1)
    assert not Task.objects.exclude(status="in_progress").filter(lease_id__isnull=False).exists()
    assert not Task.objects.values("parent_task").annotate(n=Count("pk")).filter(parent_task__isnull=False, n__gt=1)
    assert not ReviewItem.objects.open().exclude(task__status="review").exists()
    assert not ReviewItem.objects.open().values("artifact").annotate(n=Count("pk")).filter(n__gt=1)
    # Who escalates does not decide on it again, whatever was taken back in between.
    decided = ReviewItem.objects.filter(status="decided").values("artifact", "decision__reviewer_id")
    assert not decided.annotate(n=Count("pk")).filter(n__gt=1)
    own = {f"user:{task.created_by_id}" for task in Task.objects.filter(created_by__isnull=False)}
    assert not ReviewItem.objects.filter(decision__decision="approve", decision__reviewer_id__in=own).exists()
    out = PublishRecord.objects.filter(status="published")
    assert not out.exclude(decision__decision="approve", artifact__task__status="done").exists()
    assert not out.exclude(content_sha256=F("artifact__content_sha256")).exists()
    # What is done has all its latest parts approved by whoever had the last word.
    for task in Task.objects.filter(status="done"):
        for artifact in task.artifacts.all():
            last = artifact.review_items.exclude(status="withdrawn").order_by("opened_at").last()
            words = last.decision if last else artifact.decisions.get()
            assert words is not None
            assert words.decision == Decision.APPROVE
    assert not PublishRecord.objects.queued().filter(artifact__task__status="failed").exists()
    # What was sent back after it was done: nothing of it leaves beside its next attempt.
    assert not PublishRecord.objects.live().filter(artifact__task__retries__attempt__gt=0).exists()


def the_log_tells_it_all() -> None:
    states: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for entry in AuditLog.objects.exclude(entity_type__in=["user", "group", "system_control"]).order_by(
        "created_at", "audit_id"
    ):
        state = states[entry.entity_type, entry.entity_id]
        for column, (before, after) in entry.changes.items():
            assert state.get(column) == before, (entry, column)
            state[column] = after
    for model in audited_models():
        for row in model._base_manager.all() if model._meta.db_table not in {"user", "system_control"} else ():
            for column in _values(row).keys() - model.audit.ignore:
                assert states[model.audit.entity, str(row.pk)].get(column) == _values(row)[column], (row, column)
