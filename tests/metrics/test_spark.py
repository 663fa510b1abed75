"""Spark reads the archive as it is: the same sum as PostgreSQL, and only the month that was asked for."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db.models import Sum

from audit.context import Actor
from metrics.models import MetricEvent
from metrics.partitions import EVENTS, Month, make
from metrics.services.archive import archive_month
from tests.conftest import address
from tests.factories import make_events, published_post

sql = pytest.importorskip("pyspark.sql", reason="PySpark is not installed (dependency group “spark”).")
pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "migrator"]),
    pytest.mark.filterwarnings("ignore"),  # what PySpark itself leaves open
]
MONTHS = [Month(2020, 2), Month(2020, 3)]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    session = (
        sql.SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Iterator[Path]:
    settings.ARCHIVE_URL = tmp_path.as_uri()
    for month in MONTHS:
        make(EVENTS, month)
    yield tmp_path / EVENTS.name
    with psycopg.connect(**address("migrator")) as owner:
        for month in MONTHS:
            owner.execute(f"DROP TABLE IF EXISTS {EVENTS.leaf(month)}")


def test_spark_reads_one_month_and_sums_as_postgresql_does(spark: Any, folder: Path) -> None:
    post, largest = published_post(), 2**40
    for month in MONTHS:
        for day in range(5):
            make_events(post, metric_value=largest + day, observed_at=month.start + timedelta(days=day))
    begin = MONTHS[1].start
    there = MetricEvent.objects.filter(observed_at__gte=begin).aggregate(sum=Sum("metric_value"))["sum"]
    for month in MONTHS:
        archive_month(table=EVENTS, month=month, actor=Actor.system("test"))
    spark.read.parquet(str(folder)).createOrReplaceTempView("metric_event")

    answer = spark.sql(
        "SELECT content_id, sum(metric_value) AS sum, min(observed_at) AS first"
        " FROM metric_event WHERE year = 2020 AND month = 3 GROUP BY content_id"
    )
    plan = answer._jdf.queryExecution().executedPlan().toString()
    partitions = next(line for line in plan.splitlines() if "PartitionFilters" in line)
    assert "(year" in partitions
    assert "= 2020)" in partitions
    assert "= 3)" in partitions
    scan = answer.inputFiles() if hasattr(answer, "inputFiles") else []
    assert scan
    (row,) = answer.collect()
    assert (row["content_id"], row["sum"]) == (str(post.artifact_id), there)
    read = spark.sql("SELECT DISTINCT input_file_name() AS f FROM metric_event WHERE year = 2020 AND month = 3")
    assert [Path(found["f"]).parent.name for found in read.collect()] == ["month=03"]
