"""The switch for everything, as a record; the pages that move it are `campaigns.views.system`."""

from django.contrib import admin

from audit.admin import columns
from audit.admin.base import ReadOnlyAdmin
from campaigns.models import SystemControl


@admin.register(SystemControl)
class SystemControlAdmin(ReadOnlyAdmin[SystemControl]):
    list_display = ["__str__", "control_reason", "controlled_by", columns.when("controlled_at", "since")]
    list_select_related = ["controlled_by"]
    search_fields = ["control_reason", "controlled_by__display_name"]
    search_help_text = "Reason, or who gave it"
