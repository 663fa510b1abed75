"""The order in which rows are locked: system control, campaign, task, review item, post; a campaign's money last.

Whoever keeps it never waits in a circle. Everybody who writes for a campaign holds a key share lock on it and on the
system control until they commit; a control verb locks FOR UPDATE, and so sees all work that began before it.

The gates stand before those locks. Key share locks let others in without end: under a fleet that claims all the time,
an operator's lock would never be granted. Advisory locks are granted in the order of asking, so that whoever asks for
a gate after the operator waits, or, as a claim does, goes elsewhere. Gate 0 is the whole system's.
"""

from collections.abc import Collection
from uuid import UUID

from django.db import connection
from django.db.models import F, OuterRef, Subquery

from audit.errors import Invalid
from campaigns.models import Campaign, SystemControl

GATE = 1_919_052_001  # the first of two keys of the advisory locks; any number that nothing else here uses


def share_campaign(campaign_id: UUID) -> str:
    """Hold the campaign against the control verbs until this transaction ends; others who write for it come in too.

    Returns the campaign's status as it is, and stays until then. Raises Invalid when there is no such campaign.

    Every verb that writes for a campaign begins with this. PostgreSQL's key share lock is what inserting a row with a
    foreign key takes anyway, only that it would come too late: after the lock on the task that a stop waits for.
    """
    found = share_campaigns([campaign_id])
    if campaign_id not in found:
        raise Invalid("There is no such campaign.")
    return found[campaign_id]


def share_campaigns(campaign_ids: Collection[UUID]) -> dict[UUID, str]:
    """The same for several; returns the status of each that there is. In one order, or two callers wait in a circle."""
    ids = list(campaign_ids)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock_shared(%s, key) FROM ("
            " SELECT 0 AS key, NULL::uuid AS id UNION ALL SELECT hashtext(id::text), id FROM unnest(%s::uuid[]) id"
            " ORDER BY id NULLS FIRST) gates",
            [GATE, ids],
        )
        cursor.execute(
            "SELECT c.campaign_id, c.status FROM campaign c CROSS JOIN system_control s"
            " WHERE c.campaign_id = ANY (%s) ORDER BY c.campaign_id FOR KEY SHARE OF s, c",
            [ids],
        )
        return dict(cursor.fetchall())


def present_epoch(campaign: str = "campaign_id") -> Subquery:
    """The epoch with which work for a row's campaign is stamped now: leases of a smaller one are void."""
    system = SystemControl.objects.values("epoch")[:1]
    return Subquery(Campaign.objects.filter(pk=OuterRef(campaign)).values(now=F("epoch") + Subquery(system)))


def close_gate(campaign_id: UUID | None = None) -> None:
    """Let nobody else in who writes for the campaign, or for any; waits for those who are in."""
    with connection.cursor() as cursor:
        if campaign_id is None:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [GATE])
        else:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, 0)", [GATE])
            cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [GATE, str(campaign_id)])
            cursor.execute("SELECT FROM system_control FOR KEY SHARE")
