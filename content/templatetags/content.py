"""What the console's pages need to show content."""

from typing import Any

from django import template

from audit.admin import cells
from content.documents import marked
from content.frame import frame_address as address_for
from content.shown import Shown

register = template.Library()
register.filter("outside", cells.outside)
register.filter("marked", marked)


@register.simple_tag(takes_context=True)
def frame_address(context: dict[str, Any], shown: Shown) -> str:
    """The signed address of the frame's document, for whoever looks at the page, and for some minutes."""
    return address_for(shown.artifact, context["request"].user)
