"""The doors: the console, the API, and what machines ask to know whether it stands."""

from django.contrib import admin
from django.urls import path, re_path
from django.views.generic import RedirectView

from config import health
from config.api import api
from config.api_docs import docs
from config.api_errors import nothing_here
from config.monitoring.page import metrics
from content import frame

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("admin/", admin.site.urls),
    path("content/<str:token>/", frame.document, name="content-frame"),
    path("content/<str:token>/media", frame.media, name="content-media"),
    path("content/<str:token>/file", frame.download, name="content-file"),
    path("api/v1/", RedirectView.as_view(pattern_name="api-docs")),
    path("api/v1/docs", docs, name="api-docs"),
    path("api/v1/", api.urls),
    re_path("^api(?:/|$)", nothing_here),
]
handler400 = "config.api_errors.bad_request"
handler500 = "config.api_errors.server_error"
