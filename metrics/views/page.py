"""The pages of metrics: of everything, and of one campaign, artifact, agent or platform. All of them are one page."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from metrics import reading
from metrics.views import contents, measure, parts, subject
from metrics.views.chosen import Chosen
from metrics.views.curve import curve
from metrics.views.files import file
from metrics.views.period import LAST, USUAL, NoPeriod, last_time, period_of
from metrics.views.subject import Subject

PERMISSION = "metrics.view_metricevent"
MAY_NOT = f"You may not see metrics. Ask an Administrator for the permission “{PERMISSION}”."
CORRECTIONS = 20
TITLES = {"": "Metrics", "platform": "Metrics on {}"}


@require_safe
def everything(request: HttpRequest) -> HttpResponseBase:
    return _page(request, subject.everything)


@require_safe
def of_campaign(request: HttpRequest, key: UUID) -> HttpResponseBase:
    return _page(request, lambda: subject.of_campaign(key))


@require_safe
def of_content(request: HttpRequest, key: UUID) -> HttpResponseBase:
    return _page(request, lambda: subject.of_content(key))


@require_safe
def of_agent(request: HttpRequest, key: str) -> HttpResponseBase:
    return _page(request, lambda: subject.of_agent(key))


@require_safe
def of_platform(request: HttpRequest, key: str) -> HttpResponseBase:
    return _page(request, lambda: subject.of_platform(key))


def _page(request: HttpRequest, find: Callable[[], Subject]) -> HttpResponseBase:
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied(MAY_NOT)
    problem, now, about = "", timezone.now(), find()
    try:
        period = period_of(request.GET, now)
    except NoPeriod as why:
        problem, period = str(why), last_time(USUAL, now)
    chosen = Chosen(about, measure.measure_of(request.GET.get("measure", "")), period)
    if wanted := request.GET.get("file", ""):
        return file(request, chosen, wanted)
    context = {
        **admin.site.each_context(request),
        **_seen(request, chosen),
        "title": TITLES.get(about.kind, "Metrics of {}").format(about.name),
        "chosen": chosen,
        "subject": about,
        "period": period,
        "problem": problem,
        "periods": _periods(chosen),
        "files": _files(chosen),
    }
    return TemplateResponse(request, "admin/metrics/page.html", context, status=422 if problem else 200)


def _seen(request: HttpRequest, chosen: Chosen) -> dict[str, Any]:
    found = curve(chosen, reading.points(chosen.subject.scope, chosen.span))
    about = chosen.subject
    of_content = about.kind == "content"
    seen: dict[str, Any] = {
        "curve": found,
        "measure": measure.words(chosen.measure),
        "in_hours": chosen.measure == measure.WATCHED,
        "earlier": chosen.asking(period=chosen.period.earlier),
        "later": chosen.period.later and chosen.asking(period=chosen.period.later),
    }
    if request.GET.get("list") in ("best", "worst") and not of_content:
        return {**seen, "lists": contents.further(chosen, request.GET, found.total), "goes_on": True}
    seen["breakdowns"] = parts.breakdowns(chosen, found.total)
    if of_content:
        corrections = reading.corrections_of(about.key, CORRECTIONS)
        return {**seen, "corrections": corrections, "most_corrections": CORRECTIONS}
    return {**seen, "lists": contents.lists(chosen, found.total)}


def _periods(chosen: Chosen) -> list[tuple[str, str, bool]]:
    here = chosen.period.name
    return [(words, chosen.asking(period=f"period={name}"), name == here) for name, words in LAST.items()]


def _files(chosen: Chosen) -> list[tuple[str, list[tuple[str, str]]]]:
    forms = {"csv": "CSV", "parquet": "Parquet"}
    step = chosen.period.step.value
    return [
        (title, [(form, chosen.asking(file=f"{what}.{ending}")) for ending, form in forms.items()])
        for what, title in (("buckets", f"Each {step}"), ("contents", "Contents with their sums"))
    ]
