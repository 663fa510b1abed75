"""What a password must not be made of."""

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError


@pytest.mark.parametrize("password", ["gatehouse2026", "Gatehouse-Admin", "REVIEWERreviewer!!", "fleet.Example1"])
def test_words_of_the_place_do_not_count(password: str, settings) -> None:
    settings.CONSOLE_URL = "https://fleet.example.org/"
    with pytest.raises(ValidationError, match="what anybody would try here"):
        validate_password(password)


@pytest.mark.parametrize("password", ["campaign otter lamp mistake", "quiet-otter-lamp"])
def test_what_is_long_enough_without_them_is_taken(password: str) -> None:
    validate_password(password)


def test_what_is_short_anyway_is_told_so_once() -> None:
    with pytest.raises(ValidationError) as refused:
        validate_password("gatehouse")
    assert "at least 12 characters" in str(refused.value)
    assert "anybody would try" not in str(refused.value)
