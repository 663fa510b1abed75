"""Posts that were out before Gatehouse met them come under management: each gets the rows that it would have had."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from agents.choices import AgentStatus
from agents.models import Agent
from audit.context import Actor, acting
from audit.errors import Conflict, Invalid
from campaigns.choices import CampaignStatus, TaskPriority, TaskStatus, TaskType
from campaigns.models import Campaign, Task
from campaigns.services.locks import share_campaign
from content.choices import DisclosureLevel, PublishStatus
from content.models import Artifact, PublishRecord
from content.platforms import post_type, post_url
from content.post_file import Record, moment, post_id


@dataclass(frozen=True)
class Post:
    """A post as its platform shows it."""

    platform_post_id: str
    title: str
    channel: str
    published_at: datetime

    @classmethod
    def of(cls, record: Record) -> "Post":
        """Raises Invalid, with the reason, when the row has no usable id or time."""
        title, channel = record.values.get("title", "").strip(), record.values.get("channel", "").strip()
        return cls(post_id(record), title, channel, moment(record, "published_at"))


@transaction.atomic
def campaign_to_adopt_into(*, name: str, platform: str, actor: Actor) -> tuple[Campaign, bool]:
    """The campaign of that name, made when there is none; and whether it was made now."""
    name = name.strip()
    if not name or "\x00" in name:
        raise Invalid("Give the name of a campaign.")
    _take_turns("campaign", name)  # names are not unique: without it, each of several adoptions would make its own
    found = list(Campaign.objects.filter(name=name, deleted_at=None)[:2])
    if len(found) == 2:
        raise Conflict(f"More than one campaign is called “{name}”; give one of them another name first.")
    if not found:
        with acting(actor):
            made = Campaign.objects.create(
                name=name,
                goal=f"Posts on {platform} that were out before Gatehouse met them.",
                target_platforms=[platform],
                budget_cap_etb=0,
                status=CampaignStatus.ACTIVE,
            )
        return made, True
    _refuse_when_over(name, found[0].status)
    return found[0], False


def _refuse_when_over(name: str, status: str) -> None:
    if status in {CampaignStatus.STOPPED, CampaignStatus.COMPLETED}:
        raise Conflict(f"Campaign “{name}” is {CampaignStatus(status).label}; it takes no more posts.")


def _take_turns(what: str, name: str) -> None:
    """Until this transaction ends, others who ask for the same wait here, and then see what we made."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('gatehouse.adopt.' || %s), hashtext(%s))", [what, name])


@transaction.atomic
def adopting_agent(*, platform: str, actor: Actor) -> Agent:
    """The one agent under whose name posts of a platform are adopted."""
    with acting(actor):
        agent, _ = Agent.objects.get_or_create(
            agent_id=f"adopted-{platform}",
            defaults={"display_name": f"Adopted from {platform}", "status": AgentStatus.ACTIVE},
        )
    return agent


@transaction.atomic
def adopt_posts(*, campaign: Campaign, agent: Agent, platform: str, posts: Sequence[Post], actor: Actor) -> int:
    """Adopt the posts that are not known yet; returns how many were new.

    Each is walked through its legal states: a task that was claimed and done, the artifact that it made, and a record
    that was queued and published. No approval is invented: the records say `adopted`.
    """
    _take_turns("platform", platform)  # two adoptions would collide on an id
    _refuse_when_over(campaign.name, share_campaign(campaign.pk))  # a long file meets a stop on its way
    wanted = {post.platform_post_id: post for post in reversed(posts)}  # a post's first row in the file counts
    known = PublishRecord.objects.live().filter(platform=platform, platform_post_id__in=wanted)
    for known_id in known.values_list("platform_post_id", flat=True):
        del wanted[str(known_id)]
    if not wanted:
        return 0
    with acting(actor):
        tasks = Task.objects.create_all(_task(campaign, agent, platform, post) for post in wanted.values())
        ids = [task.pk for task in tasks]
        Task.objects.filter(pk__in=ids).change("claim", status=TaskStatus.IN_PROGRESS)
        pairs = list(zip(tasks, wanted.values(), strict=True))
        artifacts = Artifact.objects.create_all(
            (_artifact(task, platform, post) for task, post in pairs), action="adopt"
        )
        Task.objects.filter(pk__in=ids).change("complete", status=TaskStatus.DONE)
        records = PublishRecord.objects.create_all(
            (_record(artifact, platform, post) for artifact, (_, post) in zip(artifacts, pairs, strict=True)),
            action="adopt",
        )
        _publish([record.pk for record in records])
    return len(records)


def _publish(ids: Sequence[UUID]) -> None:
    PublishRecord.objects.filter(pk__in=ids).change("publish", status=PublishStatus.PUBLISHED)


def _task(campaign: Campaign, agent: Agent, platform: str, post: Post) -> Task:
    return Task(
        campaign=campaign,
        agent=agent,
        task_type=TaskType.PUBLISH_POST,
        priority=TaskPriority.LOW,
        status=TaskStatus.PENDING,
        title=post.title or post.platform_post_id,
        context={"adopted": True, "platform": platform, "platform_post_id": post.platform_post_id},
    )


def _artifact(task: Task, platform: str, post: Post) -> Artifact:
    reference = post_url(platform, post.platform_post_id) or f"{platform}:{post.platform_post_id}"
    return Artifact(
        task=task,
        campaign_id=task.campaign_id,
        artifact_type=post_type(platform),
        version=1,
        content_ref=reference,
        content_sha256=hashlib.sha256(reference.encode()).hexdigest(),
        metadata={"title": post.title, "channel": post.channel},
    )


def _record(artifact: Artifact, platform: str, post: Post) -> PublishRecord:
    return PublishRecord(
        campaign_id=artifact.campaign_id,
        artifact=artifact,
        platform=platform,
        platform_post_id=post.platform_post_id,
        disclosure_level=DisclosureLevel.NONE,
        status=PublishStatus.QUEUED,
        published_at=post.published_at,
        adopted=True,
        content_sha256=artifact.content_sha256,
    )
