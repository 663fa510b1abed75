"""procrastinate, a task queue on PostgreSQL, in a database of its own on the same server.

Installed only to be measured: `pip install procrastinate`.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from procrastinate import PsycopgConnector
from procrastinate.manager import JobManager
from procrastinate.schema import SchemaManager
from psycopg import sql

from benchmarks import world
from config import embedded

DATABASE = "procrastinate"
JOBS = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args, status)
    SELECT 'default', (ARRAY['draft_post', 'generate_media', 'trend_fetch'])[1 + n %% 3],
           (ARRAY[1, 0, 1, 2])[1 + n / 7 %% 4],
           jsonb_build_object('brief', repeat('Three fees to avoid. ', 10), 'number', n),
           %(status)s::procrastinate_job_status
    FROM generate_series(1, %(amount)s) n
"""


def fill(*, finished: int, pending: int) -> None:
    with world.administrator("postgres") as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    with world.administrator(DATABASE) as connection:
        connection.execute(SchemaManager.get_schema().encode())
        connection.execute(JOBS, {"status": "succeeded", "amount": finished})
        connection.execute(JOBS, {"status": "todo", "amount": pending})
        connection.execute("VACUUM ANALYZE")


def give_back() -> None:
    with world.administrator(DATABASE) as connection:
        connection.execute("UPDATE procrastinate_jobs SET status = 'todo', worker_id = NULL WHERE status = 'doing'")
        connection.execute("VACUUM (INDEX_CLEANUP ON) procrastinate_jobs")
        connection.execute("CHECKPOINT")


async def fetcher() -> Callable[[int], Coroutine[Any, Any, int]]:
    """What a worker does to get its jobs, without the jobs: registered, connected, one `fetch_job` after the other."""
    connector = PsycopgConnector(conninfo=embedded.url("postgres", DATABASE))
    await connector.open_async()
    manager = JobManager(connector)
    worker = await manager.register_worker()

    async def fetch(times: int) -> int:
        return sum([await manager.fetch_job(queues=None, worker_id=worker) is not None for _ in range(times)])

    return fetch
