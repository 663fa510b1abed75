"""The game day: a restored house serves, and a simulated fleet works in it as agents would."""

import http.client
import json
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from django.conf import settings

ANSWERS_WITHIN = 120  # seconds
DONE = ("planned", "completed", "judged", "published", "measured")
LEAST = ("planned", "completed", "judged")  # of that, what even a short day has
MANAGE = str(settings.BASE_DIR / "manage.py")


def work_in(place: Path, environment: dict[str, str], seconds: int) -> dict[str, Any]:
    """How long until `/readyz` said yes, and what the fleet got done in so many seconds; or a `problem`."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = int(listener.getsockname()[1])
    began = time.monotonic()
    with open(place / "serve.log", "w") as log:
        server = subprocess.Popen(  # noqa: S603 - the program and its arguments are ours
            [sys.executable, MANAGE, "serve"],
            env={**environment, "PORT": str(port), "HOST": "127.0.0.1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        while not _is_ready(port):
            if server.poll() is not None or time.monotonic() - began > ANSWERS_WITHIN:
                said = (place / "serve.log").read_text().strip().splitlines()
                return {"problem": f"it did not serve: {said[-1] if said else 'it gave no reason'}"}
            time.sleep(0.1)
        answered = round(time.monotonic() - began, 1)
        fleet = [sys.executable, MANAGE, "simulate_fleet", "--json", "--seconds", str(seconds)]
        done = subprocess.run(  # noqa: S603 - likewise
            [*fleet, "--url", f"http://127.0.0.1:{port}"],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
            timeout=seconds + 600,
        )
    finally:
        server.terminate()
        server.wait()
    if done.returncode:
        return {"problem": f"the fleet could not work: {(done.stderr.strip().splitlines() or ['?'])[-1]}"}
    told = json.loads(done.stdout.splitlines()[-1])
    work = {name: told.get(name, 0) for name in DONE}
    problem = {} if all(work[name] for name in LEAST) else {"problem": f"the fleet got nothing done: {work}"}
    return {"seconds_until_it_answered": answered, **work, **problem}


def _is_ready(port: int) -> bool:
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as client:
            client.request("GET", "/readyz")
            return client.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
