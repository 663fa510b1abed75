"""Several processes that do the same thing at the same time."""

import multiprocessing
import time
from collections.abc import Callable
from typing import Any

WARM_UP = 3  # calls of each worker before the clock starts
PATIENCE = 600  # seconds
processes = multiprocessing.get_context("fork")

Work = Callable[[int], Any]  # does so many calls; what came of them


def at_once(workers: int, calls: int, prepare: Callable[[], Work]) -> tuple[list[Any], float]:
    """What came of each worker's calls, and the seconds from when all stood ready until the last one was done."""
    ready, go = processes.Barrier(workers + 1), processes.Barrier(workers + 1)
    results: Any = processes.Queue()
    crew = [processes.Process(target=_worker, args=(prepare, calls, ready, go, results)) for _ in range(workers)]
    for worker in crew:
        worker.daemon = True
        worker.start()
    ready.wait(PATIENCE)
    began = time.perf_counter()
    go.wait(PATIENCE)
    came = [results.get(timeout=PATIENCE) for _ in crew]
    took = time.perf_counter() - began
    for worker in crew:
        worker.join()
    return came, took


def _worker(prepare: Callable[[], Work], calls: int, ready: Any, go: Any, results: Any) -> None:
    try:
        work = prepare()
        work(WARM_UP)
    except BaseException:
        ready.abort()  # nobody waits for a worker that will not come
        raise
    ready.wait(PATIENCE)
    go.wait(PATIENCE)
    results.put(work(calls))
