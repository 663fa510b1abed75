"""How fast tasks are handed out: `python -m benchmarks.claims`.

Everything that is compared is measured once in each round, one after the other, and ratios are taken within a round:
what else the machine did then, it did to both. One measurement is a fixed number of calls by as many processes as there
are workers, all for the same agent, which is the worst case, since all of them want the same task first.
"""

import asyncio
import re
import subprocess
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

from django.db import connection

from agents.models import Agent
from audit.choices import ActorType
from audit.context import Actor
from benchmarks import PLACE, report, world
from benchmarks.crew import Work, at_once
from campaigns.services import claims
from config import embedded

if RIVAL := find_spec("procrastinate") is not None:
    from benchmarks import rival

ACTOR = Actor(ActorType.WORKER, world.AGENT)


class Size(NamedTuple):
    few: int = 10_000  # finished tasks
    many: int = 1_000_000
    backlog: int = 100_000  # pending on paused campaigns
    pending: int = 40_000  # on running ones
    rounds: int = 7
    workers: tuple[int, ...] = (1, 4, 8)
    tasks: Mapping[int, int] = {1: 800, 5: 2_000, 50: 6_000}  # handed out in one measurement, by the limit of a call


QUICK = Size(100, 1_000, 500, 2_000, 1, (1, 4), {1: 40, 5: 100, 50: 400})

FETCHES = 400  # of procrastinate's workers together, at least

Meter = Callable[[int, int, int], float]  # workers, limit of a call, calls of each worker: tasks per second


def rate(handed: list[int], seconds: float) -> float:
    return sum(handed) / seconds


def service(database: str) -> Meter:
    """Through `claim_tasks`, on Django's connection."""

    def measure(workers: int, limit: int, calls: int) -> float:
        def prepare() -> Work:
            connection.settings_dict["NAME"] = database
            agent = Agent.objects.get(pk=world.AGENT)
            return lambda times: sum(
                len(claims.claim_tasks(agent=agent, actor=ACTOR, limit=limit)) for _ in range(times)
            )

        return rate(*at_once(workers, calls, prepare))

    return measure


def pgbench(database: str, protocol: str) -> Meter:
    """The statement alone, its parameters filled in, from a program in C that looks at no answer."""

    def measure(workers: int, limit: int, calls: int) -> float:
        script = PLACE / "claim.sql"
        script.write_text(statement(database, limit) + ";\n")
        command = [str(embedded.programs() / "pgbench"), "--no-vacuum", f"--protocol={protocol}", f"--file={script}"]
        command += [f"--client={workers}", f"--jobs={min(workers, 2)}", f"--transactions={calls}"]
        before = world.handed_out(database)
        done = subprocess.run(
            [*command, embedded.url("gatehouse_app", database)], check=True, capture_output=True, text=True
        )
        found = re.search(r"tps = ([\d.]+) \(without initial connection time\)", done.stdout)
        assert found, done.stdout + done.stderr
        return (world.handed_out(database) - before) / (workers * calls) * float(found[1])

    return measure


def statement(database: str, limit: int) -> str:
    """What `claim_tasks` sends, word for word."""
    sent: list[str] = []

    def note(execute: Callable[..., Any], query: str, parameters: Any, many: bool, context: Any) -> Any:
        sent.append(context["cursor"].mogrify(query, parameters))
        return execute(query, parameters, many, context)

    connection.settings_dict["NAME"] = database
    agent = Agent.objects.get(pk=world.AGENT)
    with connection.execute_wrapper(note):
        claims.claim_tasks(agent=agent, actor=ACTOR, limit=limit)
    connection.close()  # workers are forked, and two processes cannot share one
    (claim,) = sent
    return claim


def procrastinate(workers: int, limit: int, calls: int) -> float:
    """The `fetch_job` of a procrastinate worker: one job a call, which is all that it does, whatever ours is asked."""
    calls = max(calls, FETCHES // workers)

    def prepare() -> Work:
        runner = asyncio.Runner()
        fetch = runner.run(rival.fetcher())
        return lambda times: runner.run(fetch(times))

    return rate(*at_once(workers, calls, prepare))


def in_rounds(
    number: int, prepare: Callable[[], None], meters: Mapping[str, Meter], *arguments: int
) -> dict[str, list[float]]:
    """Each measurement once a round; the order turns, so that nobody always comes after the same one."""
    results: dict[str, list[float]] = {name: [] for name in meters}
    names = list(meters)
    for turn in range(number):
        report.say(f"Workers: {arguments[0]}, tasks a call: {arguments[1]}, round {turn + 1} of {number}")
        prepare()
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            results[name].append(meters[name](*arguments))
    return results


def compared(got: Mapping[str, list[float]], **row: Any) -> dict[str, Any]:
    """The first against each of the others, ratios first, then how fast each was."""
    ours, *others = got
    row |= {f"{ours} ÷ {other}": report.ratios(got[ours], got[other]) for other in others}
    return row | {f"{name}, tasks/s": report.spread(values)["median"] for name, values in got.items()}


def against_others(size: Size, limit: int) -> list[dict[str, Any]]:
    meters = {"service": service("full"), "pgbench": pgbench("full", "simple"), "prepared": pgbench("full", "prepared")}
    if RIVAL:
        meters["procrastinate"] = procrastinate

    def prepare() -> None:
        world.give_back("full")
        if "procrastinate" in meters:
            rival.give_back()

    return [
        compared(
            in_rounds(size.rounds, prepare, meters, workers, limit, size.tasks[limit] // limit // workers),
            workers=workers,
        )
        for workers in size.workers
    ]


def flat(size: Size) -> list[dict[str, Any]]:
    """The same claims in three worlds, which differ in one thing each."""
    meters = {name: service(name) for name in ("full", "history", "gatehouse")}

    def prepare() -> None:
        for name in meters:
            world.give_back(name)

    rows = []
    for limit, tasks in size.tasks.items():
        got = in_rounds(size.rounds, prepare, meters, 4, limit, tasks // limit // 4)
        history = report.ratios(got["history"], got["gatehouse"])
        backlog = report.ratios(got["full"], got["history"])
        name = f"{size.many:,} ÷ {size.few:,} finished"
        rows.append({"tasks a call": limit, name: history, f"{size.backlog:,} ÷ 0 on paused campaigns": backlog})
    return rows


def main() -> None:
    arguments = report.arguments(__doc__)
    size = QUICK if arguments.quick else Size()
    with world.server():
        report.say(f"Filling: {size.many:,} finished tasks take some minutes")
        world.fill("gatehouse", finished=size.few, pending=size.pending)
        world.copy_database("gatehouse", "history")
        world.fill("history", finished=size.many - size.few)
        world.copy_database("history", "full")
        world.fill("full", paused=size.backlog)
        if RIVAL:
            rival.fill(finished=size.many, pending=size.pending)
        sections = {
            "One task a call": against_others(size, 1),
            "Five tasks a call": against_others(size, 5),
            "Fifty tasks a call": against_others(size, 50),
            "Whatever lies around (4 workers)": flat(size),
        }
    report.publish(sections, arguments.json)


if __name__ == "__main__":
    main()
