"""The fleet's processes: started, counted, started again when they crash, and ended together."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import IO

from django.conf import settings

from config.fleet.members import Spec

GRACE = 4  # seconds in which a member may finish what it has in hand
CHUNK = 1 << 16
IDLE = {"measured", "unmatched", "repeated"}  # what goes on when all work is done


class Stopped(Exception):
    """A member ended by itself, and not by a crash."""


class Crew:
    """Members say what they have done in lines on one pipe. `tally` counts them, `log` keeps them if it is given."""

    def __init__(self, specs: Sequence[Spec], log: IO[str] | None = None) -> None:
        self.specs, self.log = specs, log
        self.tally: Counter[str] = Counter()
        self.lives = [0] * len(specs)  # how often each was started
        self.children: dict[int, subprocess.Popen[bytes]] = {}
        self.said, self.mouth = os.pipe()
        os.set_blocking(self.said, False)
        self.rest = b""
        self.busy_at = time.monotonic()  # when something was last done that is work
        self.planned: Counter[int] = Counter()

    def __enter__(self) -> "Crew":
        return self

    def start(self) -> None:
        for index in range(len(self.specs)):
            self._start(index)

    def __exit__(self, *_: object) -> None:
        self._end()
        self.listen()
        os.close(self.said)
        os.close(self.mouth)

    def _start(self, index: int) -> None:
        """Each life has its own chance, or a member that crashed would crash at the same point again."""
        spec = self.specs[index]
        share = None if spec.share is None else max(0, spec.share - self.planned[index])
        spec = dataclasses.replace(spec, seed=f"{spec.seed} {self.lives[index]}", share=share, parent=os.getpid())
        self.lives[index] += 1
        child = subprocess.Popen(
            [sys.executable, "-m", "config.fleet"],
            cwd=settings.BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=self.mouth,
            start_new_session=True,  # Ctrl-C reaches us alone; we end them
        )
        self.children[index] = child
        assert child.stdin is not None
        with suppress(BrokenPipeError), child.stdin as told:  # killed before it could read
            told.write(json.dumps(dataclasses.asdict(spec)).encode())

    def look(self) -> bool:
        """Read what was said, and start again who crashed; False when nobody is left."""
        self.listen()
        for index, child in list(self.children.items()):
            status = child.poll()
            if status is None:
                continue
            del self.children[index]
            if status > 0:
                raise Stopped(f"A {self.specs[index].role} of the fleet ended by itself; the lines above say why.")
            if status < 0:
                self.tally["crashed"] += 1
                self._start(index)
        return bool(self.children)

    def listen(self) -> None:
        for line in self._lines():
            word, amount, number, _ = line.split(" ")
            self.tally[word] += int(amount)
            if word == "planned":
                self.planned[int(number)] += int(amount)
            if word not in IDLE:
                self.busy_at = time.monotonic()
            if self.log is not None:
                self.log.write(f"{line}\n")

    def _lines(self) -> Iterator[str]:
        with suppress(BlockingIOError):
            while chunk := os.read(self.said, CHUNK):
                self.rest += chunk
        *lines, self.rest = self.rest.split(b"\n")
        yield from (line.decode() for line in lines)

    def _end(self) -> None:
        for child in self.children.values():
            child.terminate()
        deadline = time.monotonic() + GRACE
        for child in self.children.values():
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0, deadline - time.monotonic()))
            child.kill()
            child.wait()
