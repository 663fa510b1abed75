"""The admin site that is the console, and what has to be right after each migration."""

from typing import Any

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.db.models.signals import post_migrate


class ConsoleConfig(AdminConfig):
    default_site = "config.admin_site.ConsoleSite"


class ConfigConfig(AppConfig):
    """Listed last: its post_migrate runs when the tables and permissions of all the others are there."""

    name = "config"
    verbose_name = "Gatehouse"

    def ready(self) -> None:
        post_migrate.connect(after_migrate, sender=self, dispatch_uid="config.after_migrate")


def after_migrate(using: str, **_: Any) -> None:
    from config import groups, roles
    from metrics import partitions

    roles.grant(using)
    partitions.rotate(using=using)
    groups.assign_permissions(using)
