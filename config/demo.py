"""A small, believable fleet to look at on the first start. Everything goes through the services, as real work would."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from math import exp

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from agents.choices import AgentStatus
from agents.models import Agent
from audit.choices import ActorType
from audit.context import Actor, acting
from campaigns.choices import CampaignStatus, TaskPriority, TaskType
from campaigns.models import Campaign, Task
from campaigns.services import claim_tasks, complete_task, create_task, halt_campaign, pause_campaign
from config.groups import ADMINISTRATOR, AUDITOR, OPERATOR, REVIEWER
from content.choices import ArtifactType, Decision
from content.models import Artifact, PublishRecord
from content.services import claim_posts, decide_artifact, publish_succeeded, submit_artifact
from metrics.choices import MetricType
from metrics.partitions import EVENTS, Month, existing
from metrics.services import Measurement, append_events

PEOPLE = {
    "reviewer@example.org": ("Rahel Reviewer", REVIEWER),
    "operator@example.org": ("Omar Operator", OPERATOR),
    "auditor@example.org": ("Almaz Auditor", AUDITOR),
    "admin@example.org": ("Abebe Administrator", ADMINISTRATOR),
}
AGENTS = {
    "planner-1": "Planner 1",
    "writer-4": "Writer 4",
    "writer-7": "Writer 7",
    "judge-2": "Judge 2",
    "publisher-1": "Publisher 1",
}
CAMPAIGNS = {
    "Meskel launch": ("Fill 300 places at the Meskel bonfire evening.", ["instagram", "tiktok"], 120_000),
    "Coffee stories": ("Show where the coffee comes from: one grower a week.", ["instagram"], 45_000),
    "Diaspora remittance": (
        "5,000 sign-ups by Christmas. No rate promises, no comparison with named banks.",
        ["tiktok", "instagram"],
        90_000,
    ),
    "Rainy season tips": ("Useful things to know between June and September.", ["x"], 15_000),
}
# What one sees does not depend on a draw.
POLICY = {"approve_threshold": 0.85, "due_minutes": 240, "blind_share": 0}


Work = tuple[str, str, str, str, list[str], list[str]]  # as WORK says


def approved(title: str, text: str) -> Work:
    return title, text, Decision.APPROVE, "0.94", ["on brief", "sources dated"], []


# Per campaign: (title, text, the judge's decision, its confidence, its reasons, policy hits)
WORK: dict[str, list[Work]] = {
    "Meskel launch": [
        approved("Caption: the bonfire is ready", "The demera stands. Come at six, bring your neighbours. #Meskel"),
        approved("Caption: who brings the flowers", "Adey abeba, picked this morning in Entoto. #Meskel"),
        (
            "Caption: Meskel bonfire",
            "Be early: places are free, but the square is not endless. Doors at five. #Meskel",
            Decision.ESCALATE,
            "0.700",
            ["tone: sounds like a warning"],
            [],
        ),
        (
            "Text: what to bring",
            "Warm clothes, water, and something to sit on. Leave the fireworks to us.",
            Decision.APPROVE,
            "0.640",
            ["safety advice not in the brief"],
            [],
        ),
    ],
    "Coffee stories": [
        approved("Story: Yirgacheffe before sunrise", "Tadesse picks only what is red. It takes him until noon."),
        (
            "Thread: coffee ceremony",
            "Three cups: abol, tona, baraka. The third one is the blessing, so stay for it.",
            Decision.APPROVE,
            "0.910",
            ["fine"],
            ["health claims: “blessing”"],
        ),
        (
            "Story: price of a sack",
            "A sack sold for more than ever this week.",
            Decision.REJECT,
            "0.880",
            ["no source for the price"],
            [],
        ),
    ],
    "Diaspora remittance": [
        (
            "3 fees to avoid when you send money home",
            "Sending money home should not cost a day's pay. Three fees eat it up: the transfer fee, the exchange-rate "
            "margin, and the receiving fee. Compare the amount that arrives, not the fee on the poster.",
            Decision.APPROVE,
            "0.610",
            ["claim softened", "source dated"],
            ["financial promise (v2)"],
        ),
    ],
    "Rainy season tips": [approved("Tip: umbrellas", "An umbrella keeps the head dry, boots keep the day good.")],
}
# What went out before: (title, text, how many days ago). It is what the curves are made of.
EARLIER: dict[str, list[tuple[str, str, int]]] = {
    "Meskel launch": [
        ("Caption: save the date", "The bonfire is on a Sunday this year. Save the evening. #Meskel", 57),
        ("Reel: how a demera is built", "Forty poles, one afternoon, and everybody has an opinion. #Meskel", 33),
        ("Caption: who lights it", "The eldest of the square lights it, and nobody argues. #Meskel", 12),
    ],
    "Coffee stories": [
        ("Story: the nursery in Jimma", "Genet plants ten thousand seedlings. Half of them will stand.", 50),
        ("Story: drying beds", "Turn the cherries every hour, or start again next year.", 27),
        ("Story: what a cupper hears", "First the slurp, then the silence, then the price.", 9),
    ],
    "Diaspora remittance": [
        ("What arrives, not what is sent", "Ask one question before you pay: how many birr will arrive?", 41),
    ],
    "Rainy season tips": [("Tip: dry socks", "Carry a second pair. Nobody regrets dry socks.", 19)],
}
DAYS = 60  # back to which the demo's measurements reach, where those months are there
PLANNED = ["Reel: behind the bonfire", "Caption: thank you", "Thread: how the evening went"]


def login(password: str) -> str:
    """The line that tells how to sign in."""
    return f"Sign in as {' or '.join(PEOPLE)}; the password of all four is {password}"


def agent_actor(kind: ActorType, agent: Agent) -> Actor:
    return Actor(kind, agent.pk)


@transaction.atomic
def load(password: str) -> None:
    """The whole demo, or nothing of it."""
    people = {email: _person(email, name, group, password) for email, (name, group) in PEOPLE.items()}
    operator = Actor.human(people["operator@example.org"])
    agents = {key: _agent(key, name, people["operator@example.org"]) for key, name in AGENTS.items()}
    campaigns = {name: _campaign(name, *about, operator) for name, about in CAMPAIGNS.items()}
    publisher = agents["publisher-1"]
    published = [post for name in EARLIER for post in _publish_earlier(campaigns[name], agents, EARLIER[name])]
    for name, works in WORK.items():
        for work in works:
            _work_through(campaigns[name], agents, *work)
    _measure([*published, *_publish(publisher)])
    for title in PLANNED:
        _plan(campaigns["Meskel launch"], agents["writer-7"], title, agents["planner-1"])
    claim_tasks(agent=agents["writer-7"], actor=agent_actor(ActorType.WORKER, agents["writer-7"]), lease_seconds=900)
    pause_campaign(
        campaign_id=campaigns["Diaspora remittance"].pk,
        actor=operator,
        reason="legal wants another look",
        resume_at=timezone.now() + timedelta(hours=6),
    )
    halt_campaign(campaign_id=campaigns["Rainy season tips"].pk, actor=operator, reason="wrong price in draft")


def _person(email: str, name: str, group: str, password: str) -> User:
    user: User = User.objects.create_user(email, password, display_name=name)
    user.groups.add(Group.objects.get(name=group))
    return user


def _agent(key: str, name: str, owner: User) -> Agent:
    return Agent.objects.create(agent_id=key, display_name=name, status=AgentStatus.ACTIVE, owner=owner)


def _campaign(name: str, goal: str, platforms: list[str], budget: int, actor: Actor) -> Campaign:
    with acting(actor):
        return Campaign.objects.create(
            name=name,
            goal=goal,
            target_platforms=platforms,
            budget_cap_etb=budget,
            spent_etb=Decimal(budget) * random.Random(name).randint(10, 80) / 100,  # noqa: S311
            status=CampaignStatus.ACTIVE,
            constraints={"languages": ["am", "en"], "review_policy": POLICY},
        )


def _plan(campaign: Campaign, writer: Agent, title: str, planner: Agent) -> Task:
    return create_task(
        campaign=campaign,
        agent=writer,
        task_type=TaskType.DRAFT_POST,
        title=title,
        context={"goal_description": campaign.goal, "persona_constraints": ["plain words", "no promises"]},
        priority=TaskPriority.HIGH if "Caption" in title else TaskPriority.MEDIUM,
        actor=agent_actor(ActorType.PLANNER, planner),
    )


def _work_through(
    campaign: Campaign,
    agents: dict[str, Agent],
    title: str,
    text: str,
    decision: str,
    confidence: str,
    reasons: list[str],
    policy_hits: list[str],
) -> None:
    writer, judge = agents["writer-4"], agents["judge-2"]
    worker = agent_actor(ActorType.WORKER, writer)
    _plan(campaign, writer, title, agents["planner-1"])
    (task,) = claim_tasks(agent=writer, actor=worker)
    artifact: Artifact = submit_artifact(
        task=task,
        artifact_type=ArtifactType.TEXT,
        content=text.encode(),
        metadata={"language": "en", "words": len(text.split())},
        sources=["https://www.example.org/brief"],
        actor=worker,
    )
    complete_task(task=task, actor=worker)
    decide_artifact(
        artifact=artifact,
        judge=judge,
        decision=decision,
        confidence=Decimal(confidence),
        reasons=reasons,
        policy_hits=policy_hits,
        actor=agent_actor(ActorType.JUDGE, judge),
    )


def first_month() -> Month:
    """The first that the demo's measurements need; without it they begin later."""
    return Month.of(datetime.now(UTC) - timedelta(days=DAYS))


def _publish_earlier(
    campaign: Campaign, agents: dict[str, Agent], works: list[tuple[str, str, int]]
) -> list[PublishRecord]:
    """What a judge was sure of, out on each platform of its campaign since some days."""
    actor = agent_actor(ActorType.WORKER, agents["publisher-1"])
    published = []
    for title, text, days in works:
        _work_through(campaign, agents, *approved(title, text))
        for platform in campaign.platforms:
            (record,) = claim_posts(platform=platform, actor=actor, limit=1)
            published.append(_out(record, days, actor))
    return published


def _publish(publisher: Agent) -> list[PublishRecord]:
    """Two posts of today's work went out some days ago."""
    actor = agent_actor(ActorType.WORKER, publisher)
    return [
        _out(record, 6 - number, actor)
        for number, record in enumerate(claim_posts(platform="instagram", actor=actor, limit=2))
    ]


def _out(record: PublishRecord, days: int, actor: Actor) -> PublishRecord:
    known = 10**17 + random.Random(f"{record.platform} {days}").randrange(10**17)  # noqa: S311
    return publish_succeeded(
        record=record,
        platform_post_id=f"DEMO{days}x7Kq" if record.platform == "instagram" else str(known),
        published_at=timezone.now() - timedelta(days=days, hours=known % 7),
        actor=actor,
    )


def _measure(posts: list[PublishRecord]) -> None:
    """All in one batch. Months that are not there hold nothing: then the numbers begin with the first that is."""
    now, present = timezone.now(), existing(EVENTS)
    measurements = chain.from_iterable(_totals(record, now) for record in posts)
    kept = [each for each in measurements if Month.of(each.observed_at) in present]
    append_events(measurements=kept, actor=Actor.system("collector"))


# How much a post gathers in six hours while it is new.
PACE = {
    MetricType.VIEWS: 900,
    MetricType.LIKES: 60,
    MetricType.COMMENTS: 9,
    MetricType.SHARES: 5,
    MetricType.WATCH_TIME_SECONDS: 9000,
}
FADES = 11.0  # days in which the interest in a post falls to a third


def _totals(record: PublishRecord, now: datetime) -> Iterator[Measurement]:
    """Running totals every six hours since the post went out, the same on every machine.

    Evenings bring more than mornings, a new post more than an old one, and some posts more than others.
    """
    chance, totals = random.Random(record.platform_post_id), dict.fromkeys(PACE, 0)  # noqa: S311
    out: datetime = record.published_at or now
    liked, step = chance.uniform(0.3, 1.7), timedelta(hours=6)
    for number in range(int((now - out) / step) + 1):
        when = out + number * step
        fresh = exp(-number / 4 / FADES) + 0.05
        evening = 1.4 if when.hour >= 15 else 0.7
        for metric, pace in PACE.items():
            if metric == MetricType.WATCH_TIME_SECONDS and record.platform != "tiktok":
                continue
            totals[metric] += round(chance.uniform(0.4, 1.6) * pace * liked * fresh * evening)
            yield Measurement(
                line=1,
                platform=record.platform,
                platform_post_id=record.platform_post_id,
                metric_type=metric,
                observed_at=when,
                total=totals[metric],
                source="demo",
            )
