"""Sixteen processes work through the API, and everything goes wrong that can.

They are killed at random, send things twice, take too long; web processes and PostgreSQL are killed too; one campaign
is halted in the middle and resumed. Afterwards `proof` looks whether anything was lost, done twice or let through.

What the members choose comes from a seed (FLEET_SEED), how they meet from the machine.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.fleet.conftest import Gatehouse
from tests.fleet.proof import MONEY, Proof
from tests.recovery.support import children, soon

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

SEED = int(os.environ.get("FLEET_SEED", "7"))
STORM = 26  # seconds
CREW = {"planners": 2, "workers": 6, "judges": 3, "publishers": 4, "collectors": 1}
RATES = {"failures": 0.08, "slowness": 0.03, "duplicates": 0.2, "crashes": 0.01}
CALM = dict.fromkeys(RATES, 0)
# What time does, and more often than cron; retries, which would be minutes away, are due at once.
CLOCK = """
import django, time; django.setup()
from django.db import OperationalError, connection
from django.utils import timezone
from audit.context import Actor, acting
from campaigns.models import Task
from config.management.commands.run_due import do_all
from content.models import PublishRecord
gone = 0
while True:
    said, failed = do_all()
    try:
        later = timezone.now()
        with acting(Actor.system("test")):
            Task.objects.filter(status="pending", not_before__gt=later).change("hurry", not_before=None)
            waiting = PublishRecord.objects.queued().filter(lease_id=None, scheduled_for__gt=later)
            waiting.change("hurry", scheduled_for=None)
        assert not failed or gone, failed
        gone = 0
    except OperationalError:  # it was killed
        gone += 1
        assert gone < 30
        connection.close()
    time.sleep(1)
"""
VERB = """
import django; django.setup()
from audit.context import Actor
from campaigns.models import Campaign
from campaigns.services import control_campaign
campaign = Campaign.objects.get(name="Fleet exercise: night")
control_campaign("{verb}", campaign_id=campaign.pk, actor=Actor.system("test"), reason="Because.", **{more})
"""


@pytest.mark.timeout(600)
def test_a_storm_loses_nothing_and_does_nothing_twice(gatehouse: Gatehouse) -> None:
    clock = gatehouse.start(sys.executable, "-c", CLOCK, output=gatehouse.beside("clock"))
    stormy = storm(gatehouse)
    calm = run_to_its_end(gatehouse, fleet(gatehouse, "calm", tasks=11, **CALM), "calm")
    assert clock.poll() is None, gatehouse.beside("clock").read_text()
    assert "Traceback" not in gatehouse.log.read_text()
    proof = Proof(gatehouse.place, gatehouse.beside("platforms"), gatehouse.beside("done"))
    proof.holds()
    assert stormy["crashed"] >= 10, stormy
    assert min(stormy[word] for word in ("lost", "slow", "repeated", "failed", "measured")) > 0, stormy
    assert (calm["planned"], calm["crashed"], calm["posted_twice"]) == (11, 0, 0), calm


def fleet(gatehouse: Gatehouse, name: str, **options: Any) -> "subprocess.Popen[Any]":
    given = {"seed": SEED, "url": gatehouse.url, **CREW, **options}
    given |= {"platforms": gatehouse.beside("platforms"), "log": gatehouse.beside("done")}
    arguments = [part for option, value in given.items() for part in (f"--{option}", str(value))]
    command = [sys.executable, "manage.py", "simulate_fleet", "--json", *arguments]
    return gatehouse.start(*command, output=gatehouse.beside(name))


def run_to_its_end(gatehouse: Gatehouse, child: "subprocess.Popen[Any]", name: str) -> dict[str, int]:
    """What the fleet has to say."""
    assert child.wait(240) == 0, gatehouse.beside(name).read_text()
    told: dict[str, int] = json.loads(gatehouse.beside(name).read_text().splitlines()[-1])
    return told


def storm(gatehouse: Gatehouse) -> dict[str, int]:
    """Mishaps by the fleet's own rates, and by our hand: kills at any instant, also of the server, and a halt."""
    chance = random.Random(SEED)
    child = fleet(gatehouse, "storm", seconds=STORM, **RATES)
    wait_for_work(gatehouse, child)
    begun = time.monotonic()
    deeds = [(4, kill_a_server), (7, kill_the_database), (10, halt), (15, resume), (18, kill_a_server)]
    while child.poll() is None:
        passed = time.monotonic() - begun
        if deeds and passed > deeds[0][0]:
            deeds.pop(0)[1](gatehouse)
        if passed < STORM - 5:
            kill(chance, children(child.pid))
        with suppress(psycopg.OperationalError):  # that it is gone for some seconds is what is tried here
            assert gatehouse.query(MONEY) == []  # one statement sees one instant, and it holds at any
        time.sleep(chance.uniform(0.2, 0.8))
    told = run_to_its_end(gatehouse, child, "storm")
    assert deeds == []
    return told


def wait_for_work(gatehouse: Gatehouse, child: "subprocess.Popen[Any]") -> None:
    deadline = time.monotonic() + 60
    while not gatehouse.query("SELECT 1 FROM task WHERE status = 'review' LIMIT 1"):
        assert child.poll() is None, gatehouse.beside("storm").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def kill(chance: random.Random, pids: list[int]) -> None:
    with suppress(ProcessLookupError, IndexError):
        os.kill(chance.choice(pids), signal.SIGKILL)


def kill_a_server(gatehouse: Gatehouse) -> None:
    """One of Gunicorn's workers, with all the requests that it has in hand."""
    (arbiter,) = children(gatehouse.server.pid, "gunicorn")
    kill(random.Random(SEED), children(arbiter))


def kill_the_database(gatehouse: Gatehouse) -> None:
    """PostgreSQL with all of its connections; `serve` brings it back."""
    os.kill(int((gatehouse.place / "pgdata" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    assert soon(lambda: is_back(gatehouse), 60)


def is_back(gatehouse: Gatehouse) -> bool:
    with suppress(psycopg.OperationalError):
        return bool(gatehouse.query("SELECT 1"))
    return False


def halt(gatehouse: Gatehouse) -> None:
    gatehouse.python("-c", VERB.format(verb="halt", more={}))


def resume(gatehouse: Gatehouse) -> None:
    gatehouse.python("-c", VERB.format(verb="resume", more={"backlog": "publish"}))


def at_work(gatehouse: Gatehouse, name: str) -> "tuple[subprocess.Popen[Any], list[int]]":
    child = fleet(gatehouse, name)
    assert soon(lambda: len(children(child.pid)) == sum(CREW.values()), 60), gatehouse.beside(name).read_text()
    return child, children(child.pid)


def live(members: list[int]) -> list[int]:
    return [pid for pid in members if Path(f"/proc/{pid}/stat").exists() and "Z" not in state(pid)]


def state(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "Z"


def test_ctrl_c_ends_every_process(empty: Gatehouse) -> None:
    child, members = at_work(empty, "interrupted")
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does
    told = run_to_its_end(empty, child, "interrupted")
    assert told["crashed"] == 0
    assert live(members) == []
    # Other fleets of these tests may be killed, and leave theirs to expire.
    assert empty.query("SELECT name FROM api_token WHERE revoked_at IS NOT NULL") != []


def test_nobody_goes_on_when_the_command_is_killed(empty: Gatehouse) -> None:
    child, members = at_work(empty, "killed")
    child.kill()
    child.wait(60)
    assert soon(lambda: live(members) == [], 30)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"campaign": UUID(int=7)}, f"There is no campaign {UUID(int=7)}."),
        (dict.fromkeys(CREW, 0), "A fleet of nobody does nothing; give it some workers."),
        ({"url": "Gatehouse"}, "--url is where Gatehouse is, such as http://127.0.0.1:8000; 'Gatehouse' is none."),
        ({"slowness": 2}, "a rate is a number from 0 to 1"),
    ],
)
def test_what_it_cannot_do_is_told(empty: Gatehouse, options: dict[str, Any], sentence: str) -> None:
    name = f"refused {len(list(empty.place.parent.iterdir()))}"
    assert fleet(empty, name, **options).wait(60) != 0
    told = empty.beside(name).read_text()
    assert sentence in told.splitlines()[-1]
    assert "Traceback" not in told
