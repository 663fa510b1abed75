"""The web server's application with one more page: the console's frame with nothing in it.

What every page of the console costs before it has shown anything: the sign-in, the permissions, the frame's own
questions, the template. `gunicorn benchmarks.bare` serves it.
"""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path

import benchmarks  # noqa: F401 - points Django at the home that is measured
from config import urls
from config.wsgi import application

BARE = "/bare/"

__all__ = ["BARE", "application"]


def bare(request: HttpRequest) -> HttpResponse:
    context = {**admin.site.each_context(request), "title": "Nothing"}
    return TemplateResponse(request, "admin/base_site.html", context)


urls.urlpatterns.insert(0, path(BARE.strip("/") + "/", admin.site.admin_view(bare)))
