"""People: who signs in at the console. What they may do comes from their groups."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models

from accounts.choices import DEFAULT_CHANNEL, Channel, NotificationType
from audit.base import (
    AuditedModel,
    AuditedQuerySet,
    AuditSpec,
    CreatedAtField,
    IdField,
    UpdatedAtField,
    json_shaped,
    one_of,
)
from audit.choices import EntityType
from audit.exact_json import ExactJSONField
from audit.triggers import BOOKKEEPING, MUTABLE


def PersonKey(column: str, help_text: str, **options: Any) -> "models.ForeignKey[Any, Any]":
    """A reference to the person who did something; empty when it was a program. Nobody looks up from the person."""
    return models.ForeignKey(
        "accounts.User",
        models.PROTECT,
        null=True,
        blank=True,
        db_column=column,
        db_index=False,
        related_name="+",
        help_text=help_text,
        **options,
    )


class UserManager(BaseUserManager.from_queryset(AuditedQuerySet["User"])):  # type: ignore[misc]
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user: User = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        """E-mail addresses are kept in lowercase, so that one person is not two."""
        user: User = super().get_by_natural_key((username or "").lower())
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_superuser=True, **fields)


class User(AuditedModel, AbstractBaseUser, PermissionsMixin):
    user_id = IdField()
    email = models.EmailField(unique=True, help_text="What this person signs in with.")
    display_name = models.TextField(blank=True, default="", db_default="", help_text="The name that others see.")
    is_active = models.BooleanField(
        default=True, db_default=True, help_text="Untick instead of deleting: what they did stays theirs."
    )
    created_at = CreatedAtField()
    updated_at = UpdatedAtField()
    time_zone = models.TextField(
        blank=True, default="", db_default="", help_text="In which times are shown; empty: as the browser says."
    )
    notify_by = ExactJSONField(
        default=dict, db_default={}, blank=True, help_text="How each type of notification reaches this person."
    )
    saved_filters = ExactJSONField(
        default=dict, db_default={}, blank=True, help_text="For each list, the filters that this person has named."
    )

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    audit = AuditSpec(
        EntityType.USER,
        redact=frozenset({"password", "email", "display_name"}),
        ignore=frozenset({"updated_at", "last_login"}),
    )
    objects = UserManager()  # type: ignore[misc]

    class Meta:
        db_table = "user"
        verbose_name = "person"
        verbose_name_plural = "people"
        constraints = [json_shaped("notify_by", "user"), json_shaped("saved_filters", "user")]
        triggers = MUTABLE

    def __str__(self) -> str:
        return self.display_name or self.email

    @property
    def is_staff(self) -> bool:
        """Everybody who has an account works at the console."""
        return True

    @property
    def is_invited(self) -> bool:
        """Invited, and not yet in: nobody but the person chooses the password."""
        return not self.has_usable_password()

    def channel(self, type: str) -> str:
        """How notifications of this type reach the person: as chosen, or as is usual."""
        chosen = self.notify_by.get(type) if isinstance(self.notify_by, dict) else None
        return str(chosen if chosen in Channel.values else DEFAULT_CHANNEL[NotificationType(type)])

    def clean(self) -> None:
        super().clean()
        self.email = self.email.lower()


class Notification(models.Model):
    """Something that a person may have to act on, with the way to it. Many of one kind are one row that grows.

    The columns of the specification, and three of ours: `about` says what the row is about (a campaign, a post), of
    which each person has one unread row of a type; `happened_at` is the newest event that it tells of, so that nobody
    is told twice; `emailed_at` is set when its e-mail has left.
    """

    notification_id = IdField()
    user = models.ForeignKey(User, models.PROTECT, related_name="notifications", db_index=False)
    type = models.TextField(choices=NotificationType, help_text="What has happened.")
    payload_json = ExactJSONField(help_text="What it says, and the address of the thing.")
    is_read = models.BooleanField(default=False, db_default=False, help_text="Seen by the person.")
    created_at = CreatedAtField()
    about = models.TextField(default="", db_default="", help_text="The key of what it is about.")
    happened_at = models.DateTimeField(help_text="When the newest of it happened.")
    emailed_at = models.DateTimeField(null=True, blank=True, help_text="When it was sent by e-mail.")
    updated_at = UpdatedAtField()

    class Meta:
        db_table = "notification"
        constraints = [
            one_of("type", "notification", NotificationType),
            json_shaped("payload_json", "notification"),
            models.UniqueConstraint(
                fields=["user", "type", "about"],
                condition=models.Q(is_read=False),
                name="notification_one_unread_key",
            ),
        ]
        indexes = [models.Index(fields=["user", "-happened_at"], name="idx_notification_user")]
        triggers = BOOKKEEPING

    def __str__(self) -> str:
        return str(self.get_type_display())
