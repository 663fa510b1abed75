"""A real browser before the real application; whatever a page reports to its console is kept."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection
from playwright.sync_api import Browser, Page, expect, sync_playwright

from accounts.models import User
from tests import factories

# Playwright's own loop runs in this thread, and Django would take it for an asynchronous caller.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
os.environ.setdefault("PLAYWRIGHT_SKIP_VALIDATE_HOST_REQUIREMENTS", "1")

# How long anything may take that a page does: plenty on a busy machine, and little when it never comes.
PATIENCE = 45_000  # milliseconds
expect.set_options(timeout=PATIENCE)

# Without the windows around its pages, which nobody sees, it is half as much work for the machine.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), "/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LISTEN = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) =>
        console.error(`CSP: ${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile || ""}`));
"""


@dataclass
class Visit:
    """A window, and everything that went wrong in it."""

    page: Page
    base: str
    wrong: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)  # requests that left for other hosts

    def open(self, path: str) -> Page:
        self.page.goto(self.base + path)
        return self.page

    def soon(self, condition: Callable[[], object]) -> bool:
        """For what the browser sends by itself, and the page does not show."""
        deadline = time.monotonic() + PATIENCE / 1000
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.page.wait_for_timeout(20)
        return True

    def sign_in(self, user: User, password: str = factories.PASSWORD) -> None:
        self.open("/admin/login/")
        self.page.get_by_label("E-mail").fill(user.email)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/admin/")
        self.page.wait_for_load_state()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not os.path.exists(CHROMIUM):
        if os.environ.get("CI"):
            pytest.fail("These tests need Chromium, and it is not installed.")
        pytest.skip("Chromium is not installed (apt install chromium-headless-shell).")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=2 * PATIENCE)
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser, live_server: Any, transactional_db: None) -> Iterator[Callable[..., Visit]]:
    """`visit(width=390, color_scheme="dark")` opens a window of its own, signed in as `user` when one is given."""
    contexts = []

    def opener(user: User | None = None, width: int = 1440, height: int = 900, **options: Any) -> Visit:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        context.add_init_script(LISTEN)
        made = Visit(context.new_page(), live_server.url)
        watch(made)
        if user:
            made.sign_in(user)
        return made

    yield opener
    for context in contexts:
        context.close()
    wait_for_silence()


def wait_for_silence() -> None:
    """Until the server has answered everything: the tables are emptied next, and would wait for each other."""
    asked = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend' AND state <> 'idle'"
    )
    deadline, silent = time.monotonic() + PATIENCE / 1000, 0
    while silent < 3 and time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(asked)
            silent = silent + 1 if cursor.fetchone() == (0,) else 0
        time.sleep(0.03)


def watch(visit: Visit) -> None:
    page = visit.page
    page.on("console", lambda told: visit.wrong.append(told.text) if told.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: visit.wrong.append(str(error)))
    page.on(
        "request", lambda asked: visit.elsewhere.append(asked.url) if not asked.url.startswith(visit.base) else None
    )

    def dismiss(dialog: Any) -> None:
        visit.dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
