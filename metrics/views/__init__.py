"""Pages about numbers: sums of a time, their curve, and which contents made them."""

from metrics.views.page import PERMISSION, everything, of_agent, of_campaign, of_content, of_platform

__all__ = ["PERMISSION", "everything", "of_agent", "of_campaign", "of_content", "of_platform"]
