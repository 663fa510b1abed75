"""Gunicorn's hooks under `manage.py serve`."""

import os
import signal
import threading
from typing import Any


def when_ready(server: Any) -> None:
    """Ends Gunicorn when the command that started it is gone, even by `kill -9`: the pipe between them closes then."""
    pipe = os.environ.get("GATEHOUSE_PARENT_PIPE")
    if pipe:
        threading.Thread(target=_end_with_parent, args=(int(pipe),), daemon=True).start()


def _end_with_parent(pipe: int) -> None:
    os.read(pipe, 1)  # returns when the other end closes; nobody writes
    os.kill(os.getpid(), signal.SIGTERM)
