"""What a password must not be made of."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.password_validation import MinimumLengthValidator
from django.core.exceptions import ValidationError

# What anybody would try here first; docs/inventory.md lists them.
WORDS = ["gatehouse", "administrator", "operator", "reviewer", "auditor", "campaign", "console", "password", "welcome"]
SHORTEST_OF_HOST = 4


class LengthValidator(MinimumLengthValidator):
    """Such words, and those of the console's address, do not count toward the length."""

    def validate(self, password: str, user: Any = None) -> None:
        super().validate(password, user)
        left = password.lower()
        for word in words():
            left = left.replace(word, "")
        if len(left) < self.min_length:
            raise ValidationError(
                "Words such as “gatehouse” or “reviewer” are what anybody would try here: without them, at least"
                f" {self.min_length} characters must be left.",
                code="password_of_the_place",
            )

    def get_help_text(self) -> str:
        return f"{super().get_help_text()} Words such as “gatehouse” or “reviewer” do not count."


def words() -> list[str]:
    host = (urlsplit(settings.CONSOLE_URL).hostname or "").split(".")
    return [*WORDS, *(part for part in host if len(part) >= SHORTEST_OF_HOST)]
