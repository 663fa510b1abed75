from django.apps import AppConfig


class CampaignsAppConfig(AppConfig):
    name = "campaigns"
    verbose_name = "Campaigns"

    def ready(self) -> None:
        from audit.base import audited_models
        from audit.receivers import register

        for model in audited_models(self.name):
            register(model)
