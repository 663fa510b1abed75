"""The admin site that is the console, and what has to be right after each migration."""

from typing import Any

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_migrate


class ConsoleConfig(AdminConfig):
    default_site = "config.admin_site.ConsoleSite"


class ConfigConfig(AppConfig):
    """Listed last: its post_migrate runs when the tables and permissions of all the others are there."""

    name = "config"
    verbose_name = "Gatehouse"

    def ready(self) -> None:
        from config.security import begin_session

        post_migrate.connect(after_migrate, sender=self, dispatch_uid="config.after_migrate")
        user_logged_in.connect(begin_session, dispatch_uid="config.begin_session")


def after_migrate(using: str, **_: Any) -> None:
    from config import groups, roles
    from metrics import partitions

    roles.grant(using)
    partitions.rotate(using=using)
    groups.assign_permissions(using)
