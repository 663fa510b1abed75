"""A person's saved filters above a list."""

from typing import Any

from django import template

from accounts.saved_filters import saved_on

register = template.Library()


@register.inclusion_tag("admin/saved_filters.html", takes_context=True)
def saved_filters(context: Any, cl: Any) -> dict[str, Any]:
    """The filters that exist for this list, the one that is in force, and a form to save what is chosen now."""
    request = context["request"]
    query = cl.get_query_string(remove=["p", "all", "older", "newer"]).removeprefix("?")
    saved = saved_on(request.user, request.path)
    here = next((each.name for each in saved if each.says(query)), "")
    return {
        "saved": saved,
        "here": here,
        "query": query,
        "path": request.path,
        "may_save": bool(query) and not here and (cl.query or cl.has_active_filters),
    }
