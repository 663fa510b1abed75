"""The page of what the database spends its time on: statements that take long on average, and how often they ran."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_safe

from config.monitoring import statements
from config.monitoring.statements import Unreadable

# Only Administrators have it: statements show how all tables are built, those of people and tokens too.
MAY_SEE = "axes.view_accesslog"


@require_safe
def slow_queries(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm(MAY_SEE):
        raise PermissionDenied(f"You may not see slow queries. Ask an Administrator for the permission “{MAY_SEE}”.")
    trouble = ""
    try:
        found = statements.slow()
    except Unreadable as problem:
        found, trouble = [], str(problem)
    context = {
        **admin.site.each_context(request),
        "title": "Slow queries",
        "statements": found,
        "trouble": trouble,
        "limit": statements.SLOW_MS,
        "most": statements.MOST,
    }
    return TemplateResponse(request, "admin/slow_queries.html", context)
