"""How a member of the fleet speaks with Gatehouse: over HTTP alone, and so that everything may be sent again."""

import http.client
import json
import os
import random
import signal
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

ANSWERS_WITHIN = 60  # seconds
PATIENCE = 60  # seconds during which a server that does not answer is asked again
PAUSE = 0.3
BUSY = {408, 429, 502, 503, 504}


@dataclass(frozen=True)
class Rates:
    """How often things go wrong, from 0 to 1."""

    failures: float = 0
    slowness: float = 0
    duplicates: float = 0
    crashes: float = 0


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    is_later: bool = field(default=False, compare=False)  # Gatehouse says when to ask again

    @property
    def problem(self) -> str:
        try:
            return str(json.loads(self.body)["detail"])
        except (ValueError, KeyError, TypeError):
            return self.body[:200].decode(errors="replace")

    @property
    def is_busy(self) -> bool:
        """Whether the same request is to be sent again: nothing is known of what it did."""
        return self.status in BUSY or (self.status == 409 and self.is_later)


class Refusal(Exception):
    """Gatehouse said no."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status}: {answer.problem}")
        self.status = answer.status


class Broken(Exception):
    """Gatehouse did what it promised not to do, or does nothing any more."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Api:
    """One token's way to Gatehouse. Every POST has a key, so that it is done once however often it is sent."""

    def __init__(self, url: str, token: str, chance: random.Random, rates: Rates) -> None:
        self.url, self.token, self.chance, self.rates = urlsplit(url), token, chance, rates
        self.repeated: Callable[[], None] = lambda: None  # told of each request that was sent twice
        self.connection = self._connection()

    def get(self, path: str) -> Any:
        return json.loads(self.content(path))

    def content(self, path: str) -> bytes:
        return _accepted(self._ask("GET", path, None, {})).body

    def post(self, path: str, body: Any, *, trace_id: str = "") -> Any:
        trace = {"X-Trace-Id": trace_id} if trace_id else {}
        return self._post(path, json.dumps(body).encode(), {"Content-Type": "application/json", **trace})

    def upload(self, path: str, fields: Mapping[str, str], content: bytes) -> Any:
        edge = uuid.uuid4().hex
        parts = [f'--{edge}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
        file = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="made"\r\n'
        head = "".join(parts) + f"{file}Content-Type: application/octet-stream\r\n\r\n"
        body = head.encode() + content + f"\r\n--{edge}--\r\n".encode()
        return self._post(path, body, {"Content-Type": f"multipart/form-data; boundary={edge}"})

    def _post(self, path: str, body: bytes, headers: dict[str, str]) -> Any:
        headers = {**headers, "Idempotency-Key": str(uuid.uuid4())}
        point = self.chance.choice(["before", "sent", "after"]) if self.chance.random() < self.rates.crashes else ""
        twice = self.chance.choice(["at once", "later"]) if self.chance.random() < self.rates.duplicates else ""
        if point == "before":
            die()
        twin = self._sent(self._connection(), path, body, headers) if twice == "at once" else None
        answer = self._ask("POST", path, body, headers, dies=point == "sent")
        if twice:
            self._compare(answer, twin, path, body, headers)
        if point == "after":
            die()
        return json.loads(_accepted(answer).body)

    def _compare(
        self,
        answer: Answer,
        twin: http.client.HTTPConnection | None,
        path: str,
        body: bytes,
        headers: dict[str, str],
    ) -> None:
        """The same request sent twice, at the same instant or later, has the same answer."""
        again = None
        if twin is not None:
            try:
                again = _read(twin)
            except (OSError, http.client.HTTPException):
                pass
            finally:
                twin.close()
        if again is None or again.is_busy:
            again = self._ask("POST", path, body, headers)
        if again != answer:
            raise Broken(f"POST {path} was sent twice with one key, and answered {answer} and {again}.")
        self.repeated()

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], *, dies: bool = False
    ) -> Answer:
        """The answer, however often it takes to get one."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._sent(self.connection, path, body, headers, method)
                if dies:
                    die()
                answer = _read(self.connection)
                if not answer.is_busy:
                    return answer
                said = answer.problem
            except (OSError, http.client.HTTPException) as error:
                self.connection.close()
                self.connection = self._connection()
                said = str(error) or type(error).__name__
            if time.monotonic() > deadline:
                raise Broken(f"{method} {path} had no answer for {PATIENCE} seconds: {said}.")
            time.sleep(PAUSE)

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        return kind(self.url.hostname or "", self.url.port, timeout=ANSWERS_WITHIN)

    def _sent(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        method: str = "POST",
    ) -> http.client.HTTPConnection:
        place = f"{self.url.path.rstrip('/')}/api/v1/{path}"
        connection.request(method, place, body, {"Authorization": f"Bearer {self.token}", **headers})
        return connection


def _read(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    return Answer(response.status, response.read(), "Retry-After" in response.headers)


def _accepted(answer: Answer) -> Answer:
    if answer.status >= 400:
        raise Refusal(answer)
    return answer
