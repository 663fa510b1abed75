"""The archive in a bucket, served by a real process that speaks S3."""

from collections.abc import Iterator
from io import StringIO
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from django.core.management import CommandError, call_command

from content.models import PublishRecord
from metrics.choices import ArchiveState
from metrics.models import MetricArchive
from metrics.partitions import EVENTS
from metrics.services.archive_store import Store, files_of
from tests.factories import published_post
from tests.metrics.months import OLD, dump, fill, in_postgresql, no_old_months, receipt
from tests.servers import s3

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
KEYS = {"aws_access_key_id": "somebody", "aws_secret_access_key": "a-secret", "region_name": "us-east-1"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3() as address:
        yield address


@pytest.fixture
def bucket(endpoint: str, settings: Any) -> Iterator[Any]:
    s3 = boto3.resource("s3", endpoint_url=endpoint, **KEYS)
    bucket = s3.create_bucket(Bucket="cold")
    keys = f"{KEYS['aws_access_key_id']}:{KEYS['aws_secret_access_key']}"
    host = quote(endpoint.removeprefix("http://"), safe="")
    settings.ARCHIVE_URL = f"s3://{keys}@cold/gatehouse?scheme=http&region=us-east-1&endpoint_override={host}"
    with no_old_months():
        yield bucket
    bucket.objects.all().delete()
    bucket.delete()


@pytest.fixture
def post() -> PublishRecord:
    return published_post()


def run(*arguments: Any) -> str:
    out = StringIO()
    call_command(*map(str, arguments), stdout=out)
    return out.getvalue()


def test_a_month_goes_into_a_bucket_and_comes_back(bucket: Any, post: PublishRecord) -> None:
    fill(post, 500)
    before = dump(EVENTS.leaf(OLD))
    said = run("archive_metrics")
    assert "Archived 1 month." in said
    assert "a-secret" not in said
    (file,) = files_of(receipt())
    (stored,) = bucket.objects.all()
    assert stored.key == f"gatehouse/{file.path}"
    assert stored.size == file.bytes
    assert "1 archives are whole." in run("verify_archives")
    run("restore_metrics", "--month", OLD, "--attach")
    assert dump(EVENTS.leaf(OLD)) == before
    run("archive_metrics", "--month", OLD)
    assert len([each for each in bucket.objects.all() if each.size]) == 1  # the newer export has replaced the older one


def test_what_is_not_there_is_told_without_the_keys(bucket: Any, post: PublishRecord) -> None:
    fill(post, 5)
    run("archive_metrics")
    bucket.objects.all().delete()
    with pytest.raises(CommandError, match="it is not there") as told:
        run("verify_archives")
    assert "a-secret" not in str(told.value)
    assert "a-secret" not in str(Store())


def test_a_bucket_that_nobody_has_made_leaves_the_month_where_it_is(
    bucket: Any, post: PublishRecord, settings: Any
) -> None:
    settings.ARCHIVE_URL = settings.ARCHIVE_URL.replace("@cold/", "@elsewhere/")
    fill(post, 5)
    with pytest.raises(CommandError, match="cannot be written") as told:
        run("archive_metrics")
    assert "a-secret" not in str(told.value)
    assert in_postgresql()[0] == 5
    assert not MetricArchive.objects.exclude(state=ArchiveState.EXPORTING).exists()
