"""Gunicorn's settings and hooks, under `manage.py serve` and wherever it is started with `python:config.gunicorn`."""

import os
import shutil
import signal
import tempfile
import threading
from typing import Any

if os.environ.get("LOG_FORMAT") == "json":
    logconfig_dict = {
        "formatters": {"json": {"()": "config.monitoring.logs.JsonLines"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {},  # one line a request is Django's to write: it knows who asked, and on which trace
    }

_made: list[str] = []


def on_starting(server: Any) -> None:
    """A directory in which the processes add up their request times; before any of them imports prometheus-client."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        _made.append(tempfile.mkdtemp(prefix="gatehouse-metrics-"))
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = _made[0]


def on_exit(server: Any) -> None:
    for directory in _made:
        shutil.rmtree(directory, ignore_errors=True)


def when_ready(server: Any) -> None:
    """Ends Gunicorn when the command that started it is gone, even by `kill -9`: the pipe between them closes then."""
    pipe = os.environ.get("GATEHOUSE_PARENT_PIPE")
    if pipe:
        threading.Thread(target=_end_with_parent, args=(int(pipe),), daemon=True).start()


def _end_with_parent(pipe: int) -> None:
    os.read(pipe, 1)  # returns when the other end closes; nobody writes
    os.kill(os.getpid(), signal.SIGTERM)
