"""The order in which rows are locked: campaign, task, review item, post. Whoever keeps it never waits in a circle."""

from collections.abc import Sequence
from uuid import UUID

from django.db import connection

from audit.errors import Invalid
from campaigns.choices import CampaignStatus


def share_campaign(campaign_id: UUID) -> str:
    """Hold the campaign against the control verbs until this transaction ends; others who write for it come in too.

    Returns the campaign's status as it is, and stays until then. Raises Invalid when there is no such campaign.

    Every verb that writes for a campaign begins with this. PostgreSQL's key share lock is what inserting a row with a
    foreign key takes anyway, only that it would come too late: after the lock on the task that a stop waits for.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT status FROM campaign WHERE campaign_id = %s FOR KEY SHARE", [campaign_id])
        found = cursor.fetchone()
    if found is None:
        raise Invalid("There is no such campaign.")
    return str(found[0])


def share_running(campaign_ids: Sequence[UUID]) -> list[UUID]:
    """The same for several campaigns; returns those on which work may start now, and will until we commit."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.campaign_id FROM campaign c CROSS JOIN system_control s"
            " WHERE c.campaign_id = ANY (%s) AND c.status = %s AND c.deleted_at IS NULL AND NOT s.halted"
            " AND (c.start_time IS NULL OR c.start_time <= now()) AND (c.end_time IS NULL OR c.end_time > now())"
            " ORDER BY c.campaign_id FOR KEY SHARE OF c, s",
            [list(campaign_ids), CampaignStatus.ACTIVE],
        )
        return [campaign_id for (campaign_id,) in cursor.fetchall()]
