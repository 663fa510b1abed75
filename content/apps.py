from django.apps import AppConfig


class ContentAppConfig(AppConfig):
    name = "content"
    verbose_name = "Content"

    def ready(self) -> None:
        from audit.base import audited_models
        from audit.receivers import register

        for model in audited_models(self.name):
            register(model)
