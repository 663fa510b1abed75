"""Who signed in, and who tried to: django-axes keeps it, and the console shows it in its own clothes."""

from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin

from audit.admin import columns
from audit.admin.base import ReadOnlyAdmin

admin.site.unregister([AccessAttempt, AccessFailureLog, AccessLog])
WHO: list[Any] = ["username", "ip_address", columns.when("attempt_time", "when")]


class SignInAdmin(ReadOnlyAdmin[AccessLog]):
    list_display = WHO
    search_fields = ["username", "ip_address"]
    search_help_text = "E-mail or address"
    ordering = ["-attempt_time", "-id"]
    empty_because = "They appear here when somebody signs in, or tries to."
    fields = ["username", "ip_address", "user_agent", "path_info", "attempt_time"]


@admin.register(AccessAttempt)
class AttemptAdmin(SignInAdmin):
    """What counts against somebody who gets the password wrong; forgotten when it is right, or in time."""

    list_display = [*WHO, columns.number("failures_since_start", "wrong passwords")]
    fields = [*SignInAdmin.fields, "failures_since_start"]


@admin.register(AccessFailureLog)
class FailureAdmin(SignInAdmin):
    list_display = [*WHO, "locked_out"]
    fields = [*SignInAdmin.fields, "locked_out"]


@admin.register(AccessLog)
class SuccessAdmin(SignInAdmin):
    list_display = [*WHO, columns.when("logout_time", "signed out")]
    fields = [*SignInAdmin.fields, "logout_time"]
