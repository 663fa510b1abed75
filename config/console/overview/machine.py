"""What must be there so that the rest runs: months to write into, receipts of what left, agents that are heard of."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.choices import AgentStatus
from agents.models import Agent
from config.console.agents import MOST
from config.console.fleet import AtWork, at_work
from config.console.overview.kept import kept
from config.health import MONTHS_AHEAD
from metrics import partitions
from metrics.choices import ArchiveState
from metrics.models import MetricArchive

KEPT = 10  # seconds


@dataclass(frozen=True)
class Ahead:
    table: str
    months: int

    @property
    def is_short(self) -> bool:
        return self.months < MONTHS_AHEAD


def months_ahead() -> list[Ahead]:
    return [Ahead(table.name, partitions.months_ahead(table)) for table in partitions.TABLES]


def last_receipt() -> MetricArchive | None:
    return MetricArchive.objects.order_by("-created_at").first()


def unfinished_receipt(receipt: MetricArchive | None, now: datetime) -> bool:
    """An archive that began long ago and has not come to its end."""
    begun = {ArchiveState.EXPORTING, ArchiveState.VERIFIED, ArchiveState.DETACHED}
    return receipt is not None and receipt.state in begun and now - receipt.updated_at > timedelta(hours=1)


def quiet_agents(now: datetime) -> list[AtWork]:
    """Those that the page of agents calls quiet too, the longest silent first."""
    return kept("quiet", KEPT, lambda: _quiet(now))


def _quiet(now: datetime) -> list[AtWork]:
    active = Agent.objects.filter(status=AgentStatus.ACTIVE).order_by("agent_id")[:MOST]
    found, _ = at_work(list(active), now)
    return sorted((row for row in found if row.quiet_because(now)), key=lambda row: row.last_seen or now)
