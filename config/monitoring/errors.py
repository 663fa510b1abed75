"""Reports of errors to Sentry, or to what speaks as it does: where, on which trace, and nothing of what people wrote.

Whatever is logged as an error is reported, with its stack; a report that cannot be delivered is dropped, and holds up
nobody. Settings import this module, and only where there is somebody to report to.
"""

from typing import Any

import sentry_sdk
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.types import Event, Hint
from sentry_sdk.utils import BadDsn

from audit.context import NOBODY, current
from config.monitoring.logs import without_secrets

__all__ = ["NotAnAddress", "report_to"]

NotAnAddress = BadDsn
TOLD_OF_REQUEST = {"method", "url"}
UNWANTED = {"user", "extra", "modules"}


def report_to(dsn: str, environment: str) -> None:
    sentry_sdk.init(
        dsn,
        environment=environment,
        send_default_pii=False,
        include_local_variables=False,  # they hold tokens, and what agents and people wrote
        max_request_body_size="never",
        max_breadcrumbs=0,
        before_send=only_what_may_leave,
    )
    ignore_logger("django.security.DisallowedHost")  # whoever scans the network would fill the list


def only_what_may_leave(event: Event, hint: Hint) -> Event:
    context = current()
    tags: dict[str, Any] = {"trace_id": context.trace_id}
    if context.actor is not NOBODY.actor:
        tags["actor"] = context.actor.id
    event["tags"] = {name: value for name, value in tags.items() if value}
    event["request"] = {name: value for name, value in event.get("request", {}).items() if name in TOLD_OF_REQUEST}
    cleaned: Event = _clean({name: value for name, value in event.items() if name not in UNWANTED})
    return cleaned


def _clean(told: Any) -> Any:
    """The same without secrets in any of its texts."""
    if isinstance(told, str):
        return without_secrets(told)
    if isinstance(told, dict):
        return {name: _clean(value) for name, value in told.items()}
    return [_clean(value) for value in told] if isinstance(told, list) else told
