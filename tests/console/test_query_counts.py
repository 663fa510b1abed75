"""How many queries each page asks: a number that is written down here, and that more rows do not change."""

from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from config.groups import ADMINISTRATOR, GROUPS
from tests import factories
from tests.console.world import grow, populate
from tests.e2e import pages

pytestmark = pytest.mark.django_db
NUMBERS: dict[str, int] = {
    "accounts-user-add": 8,
    "accounts-user-list": 11,
    "accounts-user-row": 10,
    "agents": 20,
    "agents-agent-add": 8,
    "agents-agent-list": 10,
    "agents-agent-row": 9,
    "agents-apitoken-add": 7,
    "agents-apitoken-list": 9,
    "agents-apitoken-row": 9,
    "agents-one": 9,
    "agents-reactivate": 14,
    "agents-retire": 14,
    "agents-suspend": 14,
    "api": 0,
    "archive": 12,
    "artifact-changed": 17,
    "artifact-image": 17,
    "artifact-metrics": 17,
    "artifact-plan": 17,
    "audit-auditlog-row": 10,
    "audit-search": 18,
    "auth-group-add": 8,
    "auth-group-list": 10,
    "auth-group-row": 11,
    "axes-accessattempt-list": 9,
    "axes-accessattempt-row": 8,
    "axes-accessfailurelog-list": 9,
    "axes-accessfailurelog-row": 8,
    "axes-accesslog-list": 9,
    "axes-accesslog-row": 8,
    "campaign-diaspora": 20,
    "campaign-meskel": 19,
    "campaign-rainy": 20,
    "campaigns-campaign-add": 7,
    "campaigns-campaign-list": 9,
    "campaigns-campaign-row": 19,
    "campaigns-systemcontrol-list": 9,
    "campaigns-systemcontrol-row": 8,
    "campaigns-task-add": 7,
    "campaigns-task-list": 10,
    "campaigns-task-row": 18,
    "content-artifact-list": 10,
    "content-artifact-row": 17,
    "content-publishrecord-list": 11,
    "content-publishrecord-row": 17,
    "content-reviewdecision-list": 9,
    "content-reviewdecision-row": 11,
    "content-reviewitem-list": 14,
    "content-reviewitem-row": 28,
    "content-videoasset-list": 10,
    "content-videoasset-row": 10,
    "control-halt": 10,
    "control-many-pause": 19,
    "control-many-resume": 19,
    "control-pause": 10,
    "control-resume": 10,
    "control-stop": 10,
    "decision": 11,
    "invited": 12,
    "join-ended": 3,
    "judges": 8,
    "judges-nobody": 8,
    "judges-threshold": 9,
    "metrics": 15,
    "metrics-agent": 15,
    "metrics-campaign": 15,
    "metrics-content": 12,
    "metrics-further": 12,
    "metrics-hours": 15,
    "metrics-metricarchive-list": 10,
    "metrics-metricarchive-row": 8,
    "metrics-metriccorrection-list": 9,
    "metrics-metriccorrection-row": 9,
    "metrics-metriccounter-list": 9,
    "metrics-metriccounter-row": 11,
    "metrics-metricevent-list": 11,
    "metrics-metricevent-row": 12,
    "metrics-platform": 15,
    "metrics-year": 15,
    "notifications": 9,
    "password": 7,
    "password-chosen": 3,
    "password-forgotten": 3,
    "password-link-ended": 3,
    "password-sent": 3,
    "publishing": 18,
    "publishing-again": 16,
    "publishing-failures": 14,
    "publishing-post": 20,
    "publishing-release": 16,
    "publishing-reschedule": 16,
    "publishing-settle": 12,
    "publishing-unknown": 14,
    "review-decided": 22,
    "review-waiting": 28,
    "search": 14,
    "search-empty": 14,
    "second-factor": 5,
    "sessions": 9,
    "slow-queries": 7,
    "system-halt": 18,
    "task-failed": 17,
    "task-in-progress": 17,
    "task-in-review": 19,
    "task-many": 9,
    "task-pending": 18,
    "task-reassign": 9,
    "task-reassign-all": 10,
    "task-release": 9,
    "task-retry": 9,
    "task-send_back": 11,
    "token-replace": 8,
    "trace": 24,
    "you": 11,
}
ANSWERS = {200, 409}  # 409: what cannot be done now, and why
# These name things of many kinds, and ask once for each kind that they name: so many queries at most.
BY_KIND = {"audit-auditlog-list": 22, "control-room": 51}


@pytest.fixture
def reader(sign_in) -> Client:
    """Somebody who may see everything."""
    return sign_in(user=factories.make_user(ADMINISTRATOR, is_superuser=True))


def every_page() -> Iterator[tuple[str, str]]:
    yield from pages.own()
    yield from pages.of_models()
    yield from pages.adding()


def counted(reader: Client, addresses: list[tuple[str, str]]) -> dict[str, int]:
    """Each page's number."""
    numbers = {}
    for name, path in addresses:
        with CaptureQueriesContext(connection) as asked:
            answer = reader.get(path)
        assert answer.status_code in ANSWERS, (name, path, answer.status_code)
        numbers[name] = len(asked)
    return numbers


def test_each_page_asks_its_number_of_queries_however_many_rows(reader: Client) -> None:
    populate()
    addresses = list(every_page())
    for _, path in addresses:
        reader.get(path)  # what a process remembers is asked once
    few = counted(reader, addresses)
    people = User.objects.count()
    grow(times=4)
    assert User.objects.count() >= people + 4 * len(GROUPS)
    many = counted(reader, addresses)
    for name, most in BY_KIND.items():
        assert max(few.pop(name), many.pop(name)) <= most, name
    more = {name: (few[name], many[name]) for name in few if few[name] != many[name]}
    assert not more, f"These ask another number of queries when there are more rows (before, after): {more}"
    told = "\n".join(f'    "{name}": {number},' for name, number in few.items() if NUMBERS.get(name) != number)
    assert not told, f"Write these numbers down in NUMBERS of {__name__}, if each query is worth it:\n{told}"
    gone = sorted(NUMBERS.keys() - few.keys())
    assert not gone, f"These pages are gone from tests/e2e/pages.py; strike them here too: {gone}"
