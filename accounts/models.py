"""People: who signs in at the console. What they may do comes from their groups."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models

from audit.base import AuditedModel, AuditedQuerySet, AuditSpec, CreatedAtField, IdField, UpdatedAtField
from audit.choices import EntityType
from audit.triggers import MUTABLE


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
        triggers = MUTABLE

    def __str__(self) -> str:
        return self.display_name or self.email

    @property
    def is_staff(self) -> bool:
        """Everybody who has an account works at the console."""
        return True

    def clean(self) -> None:
        super().clean()
        self.email = self.email.lower()
