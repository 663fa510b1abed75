from django.apps import AppConfig


class AgentsAppConfig(AppConfig):
    name = "agents"
    verbose_name = "Agents"

    def ready(self) -> None:
        from audit.base import audited_models
        from audit.receivers import register

        for model in audited_models(self.name):
            register(model)
