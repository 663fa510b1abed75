"""`/metrics`, for Prometheus: behind a token of its own, and not there at all without one."""

import hmac

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from config.monitoring.figures import Figures
from config.monitoring.requests import of_all_processes

# A process answers for the database too, so that nothing is kept between two scrapes.
figures = CollectorRegistry()
figures.register(Figures())


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    if not settings.METRICS_TOKEN:
        raise Http404
    if not hmac.compare_digest(_given(request).encode(), settings.METRICS_TOKEN.encode()):
        refusal = "Send METRICS_TOKEN as a bearer token."
        answer = HttpResponse(refusal, status=401, content_type="text/plain; charset=utf-8")
        answer["WWW-Authenticate"] = "Bearer"
        return answer
    told = generate_latest(of_all_processes()) + generate_latest(figures)
    return HttpResponse(told, content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _given(request: HttpRequest) -> str:
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
