"""Where e-mails go: to the server that was set, or into files that nobody else reads."""

import stat
from pathlib import Path

import pytest
from django.core.mail import EmailMessage

from accounts.services.emails import are_kept_in_files
from config import env


def test_without_a_server_messages_are_files_for_one_reader(settings, tmp_path: Path) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = "config.mail.FileBackend", tmp_path / "mail"
    EmailMessage("Subject", "Body", to=["x@example.org"]).send()
    (kept,) = settings.EMAIL_FILE_PATH.iterdir()
    assert "Body" in kept.read_text()
    assert stat.S_IMODE(settings.EMAIL_FILE_PATH.stat().st_mode) == 0o700
    assert are_kept_in_files()


@pytest.mark.parametrize("value", ["gatehouse.example.org", "ftp://x", "https://", "https://x/?a=1", "javascript:1"])
def test_an_address_of_the_console_that_is_none_is_refused(monkeypatch, value) -> None:
    monkeypatch.setenv("CONSOLE_URL", value)
    with pytest.raises(env.BadSetting) as refused:
        env.web_address("CONSOLE_URL", "")
    assert "must be an address such as" in refused.value.sentence


@pytest.mark.parametrize("value", ["https://gatehouse.example.org/", "http://localhost:8000", "https://x/sub"])
def test_an_address_of_the_console_loses_its_last_slash(monkeypatch, value) -> None:
    monkeypatch.setenv("CONSOLE_URL", value)
    assert env.web_address("CONSOLE_URL", "") == value.rstrip("/")
