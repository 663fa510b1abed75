"""E-mails: plain text with a link to the console, and nothing in them that the console would not show everybody."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string


def absolute(path: str) -> str:
    """The address of a page for somebody who reads it elsewhere."""
    return f"{settings.CONSOLE_URL}{path}"


def message(to: str, subject: str, template: str, context: Mapping[str, Any]) -> EmailMessage:
    """A message to one person; `subject` is one line."""
    body = render_to_string(template, {**context, "console": absolute("/admin/")})
    return EmailMessage(f"[{environment()}] {subject}", body.strip() + "\n", to=[to])


def environment() -> str:
    """Gatehouse by its name, and which one where there may be several."""
    return "Gatehouse" if settings.ENVIRONMENT == "local" else f"Gatehouse {settings.ENVIRONMENT}"


def are_kept_in_files() -> bool:
    """Whether no mail server is set, so that nothing leaves this machine."""
    return settings.EMAIL_BACKEND == "config.mail.FileBackend"
