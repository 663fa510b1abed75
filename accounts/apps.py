from django.apps import AppConfig


class AccountsAppConfig(AppConfig):
    name = "accounts"
    verbose_name = "People"

    def ready(self) -> None:
        from audit.base import audited_models
        from audit.receivers import register

        for model in audited_models(self.name):
            register(model)
