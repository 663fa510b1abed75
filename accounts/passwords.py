"""What a password must not be made of."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError

# What anybody would try here first; docs/inventory.md lists them.
WORDS = ["gatehouse", "administrator", "operator", "reviewer", "auditor", "campaign", "console", "password", "welcome"]
SHORTEST_OF_HOST = 4


class WordsOfThePlaceValidator:
    """Such words, and those of the console's address, do not count toward the length."""

    def __init__(self, min_length: int) -> None:
        self.min_length = min_length

    def validate(self, password: str, user: Any = None) -> None:
        left = password.lower()
        for word in words():
            left = left.replace(word, "")
        if len(left) < self.min_length <= len(password):
            raise ValidationError(
                "Words such as “gatehouse” or “reviewer” are what anybody would try here: without them, at least"
                f" {self.min_length} characters must be left.",
                code="password_of_the_place",
            )

    def get_help_text(self) -> str:
        return "Words such as “gatehouse” or “reviewer” do not count toward its length."


def words() -> list[str]:
    host = (urlsplit(settings.CONSOLE_URL).hostname or "").split(".")
    return [*WORDS, *(part for part in host if len(part) >= SHORTEST_OF_HOST)]
