"""What people who control campaigns are told: what was halted, for as long as it is."""

from django.urls import reverse

from accounts.choices import NotificationType
from accounts.services.notifications import Notice, quoted
from audit.admin.cells import admin_url
from campaigns.models import Campaign, SystemControl
from campaigns.services.control import PERMISSION, SYSTEM_PERMISSION


def halt_notices() -> list[Notice]:
    halted = Campaign.objects.filter(halted_at__isnull=False, deleted_at=None).select_related("controlled_by")
    notices = [
        Notice(
            type=NotificationType.CAMPAIGN_HALTED,
            about=str(campaign.pk),
            permission=PERMISSION,
            title=_in_words(f"{quoted(campaign)} is halted", campaign),
            url=admin_url(campaign),
            happened_at=campaign.halted_at,
        )
        for campaign in halted.order_by("halted_at")
        if campaign.halted_at is not None
    ]
    return [*_of_everything(), *notices]


def _of_everything() -> list[Notice]:
    system = SystemControl.objects.select_related("controlled_by").filter(halted=True).first()
    if system is None:
        return []
    return [
        Notice(
            type=NotificationType.CAMPAIGN_HALTED,
            about="everything",
            permission=SYSTEM_PERMISSION,
            title=_in_words("Everything is halted", system),
            url=reverse("admin:index"),
            happened_at=system.controlled_at or system.updated_at,
        )
    ]


def _in_words(what: str, switch: Campaign | SystemControl) -> str:
    reason = f": {switch.control_reason}" if switch.control_reason else ""
    return f"{what} by {switch.controlled_by or 'Gatehouse'}{reason}"
