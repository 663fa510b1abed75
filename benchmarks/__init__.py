"""What the program does, measured against what it is compared with, in one run on one machine.

Importing this package points Django at a home of its own, which is removed at the end: `.gatehouse` is never touched.
With BENCHMARK_HOME, the home is that directory, and stays: filling a large one takes minutes. Where Django points
somewhere already, as in the tests, it stays there.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import django
from django.conf import settings

from config import embedded

PLACE = Path(tempfile.mkdtemp(prefix="gatehouse-benchmark-"))
PLACE.chmod(0o755)  # where we are root, an unprivileged user runs the server inside
KEPT = os.environ.get("BENCHMARK_HOME")
HOME = Path(KEPT).resolve() if KEPT else PLACE / "home"


def _remove(owner: int) -> None:
    if os.getpid() == owner:  # and not a worker that was forked
        if not KEPT:
            embedded.stop(HOME)
        shutil.rmtree(PLACE)


atexit.register(_remove, os.getpid())
if not settings.configured:
    for name in ("DATABASE_URL", "MIGRATOR_DATABASE_URL"):
        os.environ.pop(name, None)
    os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "GATEHOUSE_HOME": str(HOME)}
    django.setup()
