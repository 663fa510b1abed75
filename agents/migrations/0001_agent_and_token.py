from django.db import migrations, models

import audit.base


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Agent",
            fields=[
                (
                    "agent_id",
                    models.TextField(
                        help_text="The agent's own name, such as writer-4. Never changes.",
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("display_name", models.TextField(blank=True, help_text="What people call it.", null=True)),
                (
                    "persona_ref",
                    models.TextField(blank=True, help_text="Where its persona is described (soul.md).", null=True),
                ),
                (
                    "status",
                    models.TextField(
                        choices=[("active", "active"), ("suspended", "suspended"), ("retired", "retired")],
                        help_text="Only active agents are given work.",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row was written."
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row last changed."
                    ),
                ),
                (
                    "character_reference_id",
                    models.TextField(blank=True, help_text="The look it keeps across videos.", null=True),
                ),
                (
                    "agent_group",
                    models.TextField(blank=True, help_text="A name for agents that are compared together.", null=True),
                ),
            ],
            options={
                "db_table": "agent",
            },
        ),
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                (
                    "api_token_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("name", models.TextField(help_text="What carries it; the audit log shows this name.")),
                (
                    "role",
                    models.TextField(
                        choices=[
                            ("planner", "planner"),
                            ("worker", "worker"),
                            ("judge", "judge"),
                            ("publisher", "publisher"),
                            ("metrics", "metrics collector"),
                        ],
                        help_text="The routes it reaches.",
                    ),
                ),
                ("prefix", models.CharField(help_text="The first characters, to recognise it by.", max_length=12)),
                (
                    "token_sha256",
                    models.CharField(editable=False, help_text="SHA-256 of the token.", max_length=64, unique=True),
                ),
                (
                    "expires_at",
                    models.DateTimeField(blank=True, help_text="When it stops working; empty: never.", null=True),
                ),
                ("revoked_at", models.DateTimeField(blank=True, help_text="When somebody ended it.", null=True)),
                (
                    "last_used_at",
                    models.DateTimeField(blank=True, editable=False, help_text="When it was last seen.", null=True),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row was written."
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row last changed."
                    ),
                ),
            ],
            options={
                "verbose_name": "API token",
                "db_table": "api_token",
            },
        ),
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                (
                    "idempotency_key_id",
                    models.UUIDField(
                        db_default=audit.base.UUIDv7(),
                        default=audit.base.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("key", models.TextField(help_text="As the caller named the request.")),
                (
                    "request_sha256",
                    audit.base.Sha256Field(
                        help_text="SHA-256 of method, path and body: the same key is for the same request.",
                        max_length=64,
                    ),
                ),
                ("status", models.SmallIntegerField(help_text="The HTTP status of the answer.")),
                ("answer", models.TextField(help_text="The body of the answer.")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=audit.base.SQLNow(), editable=False, help_text="When the row was written."
                    ),
                ),
            ],
            options={
                "db_table": "idempotency_key",
            },
        ),
    ]
