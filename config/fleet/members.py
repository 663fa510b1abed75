"""What each role does, again and again, until it is told to end. `python -m config.fleet` makes a process of each."""

import hashlib
import os
import random
import signal
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from config.fleet.client import Api, Broken, Rates, Refusal, die
from config.fleet.platform import Platform, views

LEASE = 6  # seconds; short, so that what is lost is soon found
WAIT = 2  # seconds for which Gatehouse keeps a claim waiting when there is nothing
LONGEST_WORK = 0.4  # seconds
BACKLOG = 25  # pending tasks of a campaign, at which planners wait
AT_ONCE = 500  # measurements


@dataclass(frozen=True)
class Spec:
    """All that a member is told."""

    role: str
    number: int
    seed: str
    url: str
    token: str
    place: str  # where the platforms remember
    platforms: list[str]
    campaigns: list[str]
    writers: list[str]
    parent: int = 0  # the process that started it, and without which it ends
    share: int | None = None  # how many tasks a planner plans; None: as long as it lives
    rates: dict[str, float] = field(default_factory=dict)


class Member(ABC):
    def __init__(self, spec: Spec) -> None:
        self.spec, self.chance, self.rates = spec, random.Random(spec.seed), Rates(**spec.rates)  # noqa: S311
        self.api = Api(spec.url, spec.token, self.chance, self.rates)
        self.api.repeated = lambda: self.say("repeated")
        self.platforms = [Platform(Path(spec.place), name) for name in spec.platforms]
        self.ending = False

    def run(self) -> None:
        """Until somebody says so, or whoever started it is gone."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
        signal.signal(signal.SIGTERM, self._end)
        while not self.ending and os.getppid() == self.spec.parent:
            self.step()

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.ending = True

    @abstractmethod
    def step(self) -> None:
        """One piece of its work."""

    def say(self, word: str, which: str = "-", amount: int = 1) -> None:
        """A line for the parent. Short enough that the lines of several never mix."""
        os.write(1, f"{word} {amount} {self.spec.number} {which}\n".encode())

    def happens(self, rate: float) -> bool:
        return self.chance.random() < rate

    def take(self, path: str, what: str, **body: Any) -> Iterable[dict[str, Any]]:
        """Claim some, on a short lease."""
        asked = {"limit": self.chance.randint(1, 3), "lease_seconds": LEASE, "wait": WAIT, **body}
        return self.api.post(path, asked)[what]  # type: ignore[no-any-return]

    def work(self, heartbeat: str, lease_id: str) -> None:
        """Take some time; mostly less than the lease, and sometimes so much that it is lost."""
        if self.happens(self.rates.slowness):
            self.say("slow")
            time.sleep(LEASE + self.chance.uniform(-1, 2))
            return
        time.sleep(self.chance.uniform(0, LONGEST_WORK))
        if self.happens(0.3):  # told to stop, it finishes: a third of a second is soon
            self.api.post(heartbeat, {"lease_id": lease_id, "lease_seconds": LEASE})

    def lost(self, refusal: Refusal, which: str) -> None:
        """409: it is no longer ours, or not what we thought. Nothing was changed, and so there is nothing to do."""
        if refusal.status != 409:
            raise refusal
        self.say("lost", which)


class Planner(Member):
    planned = 0

    def step(self) -> None:
        if self.spec.share is not None and self.planned >= self.spec.share:
            self.ending = True
            return
        campaign = self.chance.choice(self.spec.campaigns)
        waiting = self.api.get(f"tasks?campaign_id={campaign}&status=pending&limit={BACKLOG}")["items"]
        if len(waiting) >= BACKLOG:
            time.sleep(0.5)
            return
        amount = self.chance.choice([1, 1, self.chance.randint(2, 10)])
        if self.spec.share is not None:
            amount = min(amount, self.spec.share - self.planned)
        try:
            self.plan(campaign, amount)
        except Refusal as refusal:  # the campaign has ended
            self.lost(refusal, campaign)
            time.sleep(1)

    def plan(self, campaign: str, amount: int) -> None:
        tasks = [self.task(campaign) for _ in range(amount)]
        if amount == 1:
            trace_id = f"{self.chance.getrandbits(128):032x}" if self.happens(0.5) else ""
            planned = [self.api.post("tasks", tasks[0], trace_id=trace_id)]
        else:
            planned = self.api.post("tasks/batch", {"tasks": tasks})["tasks"]
        self.planned += amount
        for task in planned:
            self.say("planned", task["task_id"])
        time.sleep(self.chance.uniform(0, LONGEST_WORK))

    def task(self, campaign: str) -> dict[str, Any]:
        kind = self.chance.choice(["draft_post"] * 6 + ["generate_media"] * 2 + ["trend_fetch"])
        subject = self.chance.choice(["the first coffee", "rain at six", "a bus at night", "flowers", "three birds"])
        return {
            "campaign_id": campaign,
            "agent_id": self.chance.choice(self.spec.writers),
            "task_type": kind,
            "title": f"{kind.replace('_', ' ').capitalize()}: {subject}",
            "context": {"subject": subject, "tone": self.chance.choice(["plain", "warm", "short"])},
            "priority": self.chance.choice(["high", "medium", "medium", "low"]),
            "reserve_etb": self.chance.choice(["0", "2.50", "5.00"]),
        }


class Worker(Member):
    def step(self) -> None:
        for task in self.take("tasks/claim", "tasks"):
            try:
                self.do(task, f"tasks/{task['task_id']}", {"lease_id": task["lease_id"]})
            except Refusal as refusal:
                self.lost(refusal, task["task_id"])

    def do(self, task: dict[str, Any], path: str, lease: dict[str, str]) -> None:
        self.work(f"{path}/heartbeat", task["lease_id"])
        cost = {"cost_etb": str(self.chance.choice(["0.00", "1.25", task["reserve_etb"]]))}
        if task["reserve_etb"] in {"0", "0.00"}:
            cost = {}
        if self.happens(self.rates.failures / 3):
            self.api.post(f"{path}/release", lease)
            self.say("released", task["task_id"])
        elif self.happens(self.rates.failures):
            retryable = self.happens(0.8)
            error = "The model timed out." if retryable else "Nobody can do this."
            self.api.post(f"{path}/fail", {**lease, **cost, "error": error, "retryable": retryable})
            self.say("failed", task["task_id"])
        else:
            self.make(task, path, lease)
            self.api.post(f"{path}/complete", {**lease, **cost})
            self.say("completed", task["task_id"])

    def make(self, task: dict[str, Any], path: str, lease: dict[str, str]) -> None:
        """Never the same content twice, so that a double post would show."""
        text = f"{task['title']}. Draft {self.chance.getrandbits(32):x} for {task['task_id']}."
        path = f"{path}/artifacts"
        if task["task_type"] == "trend_fetch":
            self.api.post(path, {**lease, "artifact_type": "plan", "json": {"trends": [text]}})
        elif task["task_type"] == "generate_media":
            picture = f'<svg xmlns="http://www.w3.org/2000/svg"><title>{text}</title></svg>'
            self.api.upload(f"{path}/upload", {**lease, "artifact_type": "image"}, picture.encode())
        else:
            for better in [text, f"{text} Better."] if self.happens(0.1) else [text]:
                self.api.post(path, {**lease, "artifact_type": "text", "text": better, "metadata": {"language": "en"}})


class Judge(Member):
    def step(self) -> None:
        for artifact in self.take("artifacts/claim", "artifacts"):
            if artifact["campaign_id"] not in self.spec.campaigns:
                continue  # real work, which chance must not decide; it is free again when the lease ends
            try:
                self.decide(artifact)
            except Refusal as refusal:
                self.lost(refusal, artifact["artifact_id"])

    def decide(self, artifact: dict[str, Any]) -> None:
        if self.happens(self.rates.slowness):
            self.say("slow")
            time.sleep(LEASE + self.chance.uniform(-1, 2))
        content = self.api.content(f"artifacts/{artifact['artifact_id']}/content")
        check(content, artifact["content_sha256"])
        time.sleep(self.chance.uniform(0, LONGEST_WORK / 2))
        sure, unsure = f"0.9{self.chance.randint(0, 99):02}", f"0.{self.chance.randint(300, 800)}"
        shares: dict[tuple[str, str, str], int] = {
            ("approve", sure, ""): 82,
            ("approve", unsure, ""): 4,
            ("approve", sure, "names a price"): 3,
            ("reject", sure, ""): 8,
            ("escalate", unsure, ""): 3,
        }
        ((decision, confidence, hit),) = self.chance.choices(list(shares), list(shares.values()))
        said = {"approve": "on brief", "reject": "off the brief", "escalate": "somebody should look"}[decision]
        self.api.post(
            f"artifacts/{artifact['artifact_id']}/decision",
            {
                "lease_id": artifact["lease_id"],
                "decision": decision,
                "confidence": confidence,
                "reasons": [said],
                "policy_hits": [hit] if hit else [],
            },
        )
        self.say("judged", artifact["artifact_id"])


class Publisher(Member):
    def step(self) -> None:
        platform = self.chance.choice(self.platforms)
        for post in self.take("posts/claim", "posts", platform=platform.name):
            try:
                self.publish(post, platform, f"posts/{post['publish_id']}", {"lease_id": post["lease_id"]})
            except Refusal as refusal:
                self.lost(refusal, post["publish_id"])

    def publish(self, post: dict[str, Any], platform: Platform, path: str, lease: dict[str, str]) -> None:
        content = self.api.content(f"artifacts/{post['artifact_id']}/content")
        check(content, post["content_sha256"])
        self.work(f"{path}/heartbeat", post["lease_id"])
        if self.happens(self.rates.failures / 3):
            self.api.post(f"{path}/release", lease)
            self.say("released", post["publish_id"])
            return
        if self.happens(self.rates.failures):
            self.api.post(f"{path}/failed", {**lease, "error": "The platform said 503.", "retryable": True})
            self.say("failed", post["publish_id"])
            return
        # The last moment at which it can be known that the post is still ours to send.
        self.api.post(f"{path}/heartbeat", {**lease, "lease_seconds": LEASE})
        post_id = platform.post(
            publish_id=post["publish_id"],
            artifact_id=post["artifact_id"],
            task_id=post["artifact"]["task_id"],
            content_sha256=hashlib.sha256(content).hexdigest(),
        )
        if self.happens(self.rates.crashes):
            die()  # the post is out, and nobody knows
        if self.happens(self.rates.failures / 3):
            self.api.post(f"{path}/unknown", {**lease, "error": "The platform's answer was lost."})
            self.say("unknown", post["publish_id"])
            return
        if self.happens(self.rates.slowness):
            self.say("slow")
            time.sleep(LEASE + self.chance.uniform(-1, 2))
        told = {"platform_post_id": post_id, "content_sha256": hashlib.sha256(content).hexdigest()}
        self.api.post(f"{path}/published", {**lease, **told, "published_at": now()})
        self.say("published", post["publish_id"])


class Collector(Member):
    """Sees what the platforms show, whether Gatehouse knows of it yet or not."""

    def step(self) -> None:
        for platform in self.platforms:
            seen = platform.posts()
            self.chance.shuffle(seen)
            if events := [self.total(post, platform) for post in seen[:AT_ONCE]]:
                self.send([*events, *(self.likes(post, platform) for post in seen[: AT_ONCE // 10])])
        time.sleep(1)

    def total(self, post: dict[str, Any], platform: Platform) -> dict[str, Any]:
        """A running total, as a platform shows it."""
        return {
            "platform": platform.name,
            "platform_post_id": post["post_id"],
            "metric_type": "views",
            "total": views(post, datetime.now(UTC)),
            "observed_at": now(),
            "source": "platform",
        }

    def likes(self, post: dict[str, Any], platform: Platform) -> dict[str, Any]:
        """What came in since the last time, with an id, so that it counts once."""
        return {
            "event_id": str(uuid.uuid4()),
            "platform": platform.name,
            "artifact_id": post["artifact_id"],
            "metric_type": "likes",
            "increase": self.chance.randint(0, 9),
            "observed_at": now(),
            "source": "fleet",
        }

    def send(self, events: list[dict[str, Any]]) -> None:
        if self.happens(self.rates.duplicates):
            events += [event for event in events if self.happens(0.5)]
        told = self.api.post("metrics/events", {"events": events})
        if told["accepted"]:
            self.say("measured", amount=told["accepted"])
        if told["rejected"]:
            self.say("unmatched", amount=len(told["rejected"]))


def now() -> str:
    return datetime.now(UTC).isoformat()


def check(content: bytes, content_sha256: str) -> None:
    if hashlib.sha256(content).hexdigest() != content_sha256:
        raise Broken(f"The content is not that of the hash {content_sha256}.")


ROLES: dict[str, type[Member]] = {
    "planner": Planner,
    "worker": Worker,
    "judge": Judge,
    "publisher": Publisher,
    "metrics": Collector,
}
