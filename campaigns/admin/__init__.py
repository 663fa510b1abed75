"""Campaigns, tasks and the one switch in the console."""

from campaigns.admin import system, task
from campaigns.admin.campaign import CampaignAdmin, budget, state_badge

__all__ = ["CampaignAdmin", "budget", "state_badge", "system", "task"]
