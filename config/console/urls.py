"""The pages of the console that are not lists or forms of one model, each under its name in the admin site."""

from collections.abc import Callable
from typing import Any

from django.urls import URLPattern, path, re_path

from accounts.saved_filters import saved_filter
from accounts.views import links, notifications, second_factor
from accounts.views.settings import sessions, you
from campaigns.views.system import system_control
from config.console.agent_control import control as agent_control
from config.console.agents import agents
from config.console.archive import archive
from config.console.overview import control_room
from config.console.search import search
from config.console.slow_queries import slow_queries
from config.console.trace import trace, trace_file
from content.calibration_page import calibration
from content.post_page import control as post_control
from content.publishing_page import publishing
from content.threshold_page import change_threshold
from metrics import views as metrics


def pages(guarded: Callable[..., Any]) -> list[URLPattern]:
    """`guarded` lets in who has signed in; each page asks for its own permission."""
    return [
        path("control-room/", guarded(control_room), name="control_room"),
        *of_people(guarded),
        path("system/<slug:verb>/", guarded(system_control), name="system_control"),
        path("search/", guarded(search), name="search"),
        path("saved-filter/", guarded(saved_filter), name="saved_filter"),
        path("fleet/", guarded(agents), name="agents"),
        path("fleet/<path:key>/<slug:verb>/", guarded(agent_control), name="agent_control"),
        path("archive/", guarded(archive), name="archive"),
        path("slow-queries/", guarded(slow_queries), name="slow_queries"),
        path("publishing/", guarded(publishing), name="publishing"),
        path("publishing/<slug:part>/", guarded(publishing), name="publishing_part"),
        path("publishing/<uuid:key>/<slug:verb>/", guarded(post_control), name="post_control"),
        path("judges/", guarded(calibration), name="calibration"),
        path("judges/threshold/", guarded(change_threshold), name="calibration_threshold"),
        path("metrics/", guarded(metrics.everything), name="metrics"),
        path("metrics/campaign/<uuid:key>/", guarded(metrics.of_campaign), name="metrics_campaign"),
        path("metrics/content/<uuid:key>/", guarded(metrics.of_content), name="metrics_content"),
        path("metrics/agent/<path:key>/", guarded(metrics.of_agent), name="metrics_agent"),
        path("metrics/platform/<path:key>/", guarded(metrics.of_platform), name="metrics_platform"),
        path("trace/<str:trace_id>/", guarded(trace), name="trace"),
        re_path(r"^trace/(?P<trace_id>[^/]+)/trace\.(?P<form>csv|json)$", guarded(trace_file), name="trace_file"),
    ]


def of_people(guarded: Callable[..., Any]) -> list[URLPattern]:
    """What people have for themselves; the ways in by e-mail are open to whoever has the link."""
    return [
        path("you/", guarded(you), name="you"),
        path("you/sessions/", guarded(sessions), name="sessions"),
        path("you/second-factor/", guarded(second_factor.begin), name="second_factor_begin"),
        path("you/second-factor/code/", guarded(second_factor.ask_code), name="second_factor_code"),
        path("you/second-factor/off/", guarded(second_factor.change), {"verb": "off"}, name="second_factor_off"),
        path("you/second-factor/codes/", guarded(second_factor.change), {"verb": "codes"}, name="second_factor_codes"),
        path("notifications/", guarded(notifications.notifications), name="notifications"),
        path("notifications/read/", guarded(notifications.all_read), name="notifications_read"),
        path("notifications/<uuid:key>/", guarded(notifications.notification), name="notification"),
        path("password/forgotten/", links.forgotten, name="password_reset"),
        path("password/forgotten/sent/", links.forgotten_sent, name="password_reset_done"),
        path("password/chosen/", links.password_chosen, name="password_reset_complete"),
        path("password/<str:uidb64>/<str:token>/", links.ResetPage.as_view(), name="password_reset_confirm"),
        path("join/<str:uidb64>/<str:token>/", links.JoinPage.as_view(), name="join"),
    ]
