from django.apps import AppConfig


class AccountsAppConfig(AppConfig):
    name = "accounts"
    verbose_name = "People"

    def ready(self) -> None:
        from django.contrib.auth.models import Group

        from accounts.models import User
        from audit.choices import EntityType
        from audit.receivers import register, register_links

        register(User)
        register_links(User, "groups", EntityType.USER)
        register_links(User, "user_permissions", EntityType.USER)
        register_links(Group, "permissions", EntityType.GROUP)
