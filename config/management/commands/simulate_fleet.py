"""`simulate_fleet`: agents of all roles at work against the HTTP API, with all that goes wrong, until Ctrl-C."""

import http.client
import json
import random
import signal
import sys
import time
import urllib.request
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from tqdm import tqdm

from agents.choices import TokenRole
from audit.errors import Refused
from config.fleet.client import Api, Broken, Rates, Refusal
from config.fleet.crew import Crew, Stopped
from config.fleet.members import Spec
from config.fleet.platform import Platform
from config.fleet.preparation import Prepared, prepare

STARTS_WITHIN = 180  # seconds for the server
QUIET = 8  # seconds without work before anybody asks whether all is done
CREW = {
    TokenRole.PLANNER: ("planners", 1),
    TokenRole.WORKER: ("workers", 4),
    TokenRole.JUDGE: ("judges", 2),
    TokenRole.PUBLISHER: ("publishers", 2),
    TokenRole.METRICS: ("collectors", 1),
}
RATES = {
    "failures": (0.05, "of the work fails"),
    "slowness": (0.02, "of the work outlasts its lease, and is lost"),
    "duplicates": (0.1, "of the requests are sent twice"),
    "crashes": (0.005, "of the requests kill their process in the middle"),
}
# What the members say, and what it means to somebody who reads the end of a run.
WORDS = {
    "planned": "tasks planned",
    "completed": "tasks completed",
    "judged": "artifacts judged",
    "published": "posts published",
    "unknown": "posts with an unknown outcome",
    "measured": "measurements taken",
    "unmatched": "measurements of posts that nobody has reported",
    "failed": "failures reported",
    "released": "pieces of work given back",
    "slow": "pieces of work that took too long",
    "lost": "leases lost (409)",
    "repeated": "requests sent twice, with one answer",
    "crashed": "processes killed and started again",
}


def rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise ArgumentTypeError("a rate is a number from 0 to 1")
    return value


def amount(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 9:
        raise ArgumentTypeError("a whole number, 0 or more")
    return int(text)


class Command(BaseCommand):
    help = "Watch a fleet: processes of every role work through the HTTP API, with failures, until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default=f"http://127.0.0.1:{settings.PORT}", help="where Gatehouse is")
        parser.add_argument("--campaign", type=UUID, action="append", default=[], help="its id; otherwise two are made")
        parser.add_argument("--seed", type=amount, help="makes the same choices again")
        end = parser.add_mutually_exclusive_group()
        end.add_argument("--seconds", type=amount, help="end after so long")
        end.add_argument("--tasks", type=amount, help="plan so many, and end when there is nothing left to do")
        for plural, number in CREW.values():
            parser.add_argument(f"--{plural}", type=amount, default=number, help=f"{number}, if you do not say")
        for name, (value, meaning) in RATES.items():
            parser.add_argument(f"--{name}", type=rate, default=value, help=f"this share {meaning}; {value}")
        parser.add_argument("--platforms", type=Path, help="a directory for what the simulated platforms remember")
        parser.add_argument("--log", type=Path, help="a file for each thing that was done: what, how many, who, which")
        parser.add_argument("--json", action="store_true", help="tell the end as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        options["seed"] = random.randrange(10**6) if options["seed"] is None else options["seed"]  # noqa: S311
        with ExitStack() as stack:
            stack.enter_context(ending_in_order())
            place = options["platforms"] or Path(stack.enter_context(TemporaryDirectory(prefix="gatehouse-fleet-")))
            try:
                place.mkdir(parents=True, exist_ok=True)
                log = stack.enter_context(options["log"].open("a")) if options["log"] else None
            except OSError as error:
                raise CommandError(f"{error.filename} cannot be written: {error.strerror}.") from None
            self.wait_for(options["url"])
            prepared = self.prepared(options)
            stack.callback(prepared.revoke)
            crew = Crew(specs(prepared, place, options), log)
            try:
                with suppress(SystemExit), crew:
                    crew.start()
                    self.watch(crew, prepared, options)
            except Stopped as problem:
                raise CommandError(str(problem)) from None
            finally:
                self.tell(crew, [Platform(place, name) for name in prepared.platforms], options)

    def wait_for(self, url: str) -> None:
        """`make demo-fleet` starts the server at the same time."""
        deadline, said = time.monotonic() + STARTS_WITHIN, False
        while problem := unreachable(url):
            if time.monotonic() > deadline:
                raise CommandError(f"Nothing answers at {url}: {problem}.")
            if not said:
                self.stderr.write(f"The fleet waits for Gatehouse to answer at {url}.", str)
                said = True
            time.sleep(0.5)

    def prepared(self, options: dict[str, Any]) -> Prepared:
        try:
            crew = {role: options[plural] for role, (plural, _) in CREW.items()}
            if not any(crew.values()):
                raise CommandError("A fleet of nobody does nothing; give it some workers.")
            prepared = prepare(crew=crew, campaign_ids=options["campaign"])
        except Refused as refusal:
            raise CommandError(refusal.sentence) from None
        connections.close_all()  # from here on we only watch
        return prepared

    def watch(self, crew: Crew, prepared: Prepared, options: dict[str, Any]) -> None:
        planner = next((token for role, token in prepared.members if role == TokenRole.PLANNER), "")
        api = Api(options["url"], planner or prepared.members[0][1], random.Random(), Rates())  # noqa: S311
        ends = time.monotonic() + options["seconds"] if options["seconds"] is not None else None
        names = ", ".join(f"“{campaign}”" for campaign in prepared.campaigns)
        self.stderr.write(f"{len(crew.specs)} agents at work for {names}; seed {options['seed']}.", str)
        with tqdm(total=options["tasks"] or None, unit=" tasks", disable=not sys.stderr.isatty()) as bar:
            while crew.look() and (ends is None or time.monotonic() < ends):
                bar.n = crew.tally["completed"]
                bar.set_postfix({word: crew.tally[word] for word in ("published", "lost", "crashed")})
                quiet = time.monotonic() - crew.busy_at > QUIET
                if quiet and options["tasks"] is not None and nothing_left(api, prepared):
                    return
                time.sleep(0.2)

    def tell(self, crew: Crew, platforms: list[Platform], options: dict[str, Any]) -> None:
        doubles = sum(len(platform.doubles()) for platform in platforms)
        if options["json"]:
            counts = {word: crew.tally[word] for word in WORDS}
            self.stdout.write(json.dumps({"seed": options["seed"], **counts, "posted_twice": doubles}))
            return
        for word, meaning in WORDS.items():
            self.stdout.write(f"{crew.tally[word]:>9,}  {meaning}")
        self.stdout.write(f"{doubles:>9,}  posts that a platform was given twice")


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Ctrl-C and a plain kill end the members too, and tell what was done."""

    def leave(*_: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise SystemExit(0)

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def unreachable(url: str) -> str:
    """Why Gatehouse does not answer there; empty when it does."""
    try:
        urllib.request.urlopen(f"{url}/healthz", timeout=5).close()  # noqa: S310 - the operator's own address
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    except ValueError:
        raise CommandError(f"--url is where Gatehouse is, such as http://127.0.0.1:8000; {url!r} is none.") from None
    return ""


def specs(prepared: Prepared, place: Path, options: dict[str, Any]) -> list[Spec]:
    planners = max(1, sum(role == TokenRole.PLANNER for role, _ in prepared.members))
    tasks = options["tasks"]
    return [
        Spec(
            role=role,
            number=number,
            seed=f"{options['seed']} {role} {number}",
            url=options["url"],
            token=token,
            place=str(place.resolve()),
            platforms=prepared.platforms,
            campaigns=[str(campaign.pk) for campaign in prepared.campaigns],
            writers=prepared.writers,
            # The first planners take what does not divide.
            share=None if tasks is None or role != TokenRole.PLANNER else (tasks + planners - 1 - number) // planners,
            rates={name: options[name] for name in RATES},
        )
        for number, (role, token) in enumerate(prepared.members)
    ]


def nothing_left(api: Api, prepared: Prepared) -> bool:
    """Whether all that is left waits for people: no task and no post of a campaign that runs is an agent's to take."""
    try:
        return not any(
            api.get(f"campaigns/{campaign.pk}")["status"] == "active" and _is_at_work(api, str(campaign.pk))
            for campaign in prepared.campaigns
        )
    except (Broken, Refusal) as problem:
        raise Stopped(f"Gatehouse cannot be asked: {problem}") from None


def _is_at_work(api: Api, campaign_id: str) -> bool:
    for status in ("pending", "in_progress"):
        if api.get(f"tasks?campaign_id={campaign_id}&status={status}&limit=1")["items"]:
            return True
    after = ""
    while True:
        posts = api.get(f"posts?campaign_id={campaign_id}&status=queued&limit=200{after}")
        if any(post["hold"] is None for post in posts["items"]):
            return True
        if posts["next"] is None:
            return False
        after = f"&after={posts['next']}"
