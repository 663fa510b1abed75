"""Do running totals agree with the events? Only as far as it can be told."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connections

from metrics.services.rollups import SHOWN
from metrics.triggers import LARGEST


@dataclass(frozen=True)
class Shortfall:
    """Fewer increases than running totals: what is told of a post cannot be true."""

    platform: str
    platform_post_id: str
    metric_type: str
    counted: int
    summed: int

    def __str__(self) -> str:
        return (
            f"{self.platform} post {self.platform_post_id}, {self.metric_type}: running totals have reached "
            f"{self.counted}, but its events add up to {self.summed}"
        )


# Of one snapshot, so that it holds while totals come in. A source may send increases besides its totals, and then the
# sum is higher: only a sum that is too low says that something is wrong. Full days are left out.
COUNTERS = f"""
    SELECT p.platform, p.platform_post_id, k.metric_type, k.total, COALESCE(d.sum, 0)
    FROM (SELECT publish_id, metric_type, sum(highest_total) AS total
          FROM metric_counter GROUP BY publish_id, metric_type) k
    JOIN publish_record p USING (publish_id)
    CROSS JOIN LATERAL (
        SELECT sum(sum) AS sum, bool_or(sum = {LARGEST}) AS is_full FROM metric_rollup_daily d
        WHERE d.content_id = p.artifact_id AND d.platform = p.platform AND d.metric_type = k.metric_type) d
    WHERE COALESCE(d.sum, 0) < k.total AND d.is_full IS NOT TRUE
    ORDER BY k.total - COALESCE(d.sum, 0) DESC, p.publish_id"""


def counters_too_high(*, show: int = SHOWN, using: str = "default") -> tuple[int, Sequence[Shortfall]]:
    """Posts of which running totals say more than all events together: how many, and the first of them."""
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT *, count(*) OVER () FROM ({COUNTERS}) s LIMIT %s", [show])
        rows = cursor.fetchall()
    return (rows[0][-1] if rows else 0), [
        Shortfall(platform, post or "–", metric, int(counted), int(summed))
        for platform, post, metric, counted, summed, _ in rows
    ]
