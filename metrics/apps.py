from django.apps import AppConfig


class MetricsAppConfig(AppConfig):
    name = "metrics"
    verbose_name = "Metrics"

    def ready(self) -> None:
        from audit.base import audited_models
        from audit.receivers import register

        for model in audited_models(self.name):
            register(model)
