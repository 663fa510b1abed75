"""What the program does, measured against what it is compared with, in one run on one machine.

Importing this package points Django at a home of its own, which is removed at the end: `.gatehouse` is never touched.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import django

from config import embedded

PLACE = Path(tempfile.mkdtemp(prefix="gatehouse-benchmark-"))
PLACE.chmod(0o755)  # where we are root, an unprivileged user runs the server inside


def _remove(owner: int) -> None:
    if os.getpid() == owner:  # and not a worker that was forked
        embedded.stop(PLACE / "home")
        shutil.rmtree(PLACE)


atexit.register(_remove, os.getpid())
for name in ("DATABASE_URL", "MIGRATOR_DATABASE_URL"):
    os.environ.pop(name, None)
os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "GATEHOUSE_HOME": str(PLACE / "home")}
django.setup()
