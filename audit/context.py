"""Who is acting, on which trace: what every audit row written in this thread has in common."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from audit.choices import ActorType
from audit.errors import NotAllowed

TRACE_ID = re.compile(r"[0-9a-f]{32}")


def new_trace_id() -> str:
    """32 lowercase hex digits, never all zero: the form that W3C `traceparent` carries."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class Actor:
    """Somebody or something that acts. `person` is there for people only: permissions are asked of it."""

    type: ActorType
    id: str | None
    person: Any = None  # an accounts.User, which this room does not know

    @classmethod
    def human(cls, person: Any) -> "Actor":
        return cls(ActorType.HUMAN, f"user:{person.pk}", person)

    @classmethod
    def system(cls, name: str) -> "Actor":
        return cls(ActorType.SYSTEM, name)

    def require(self, permission: str, *, to: str) -> None:
        """People need the permission; programs are let in by their door (role, token), which was checked already.

        `to` completes "you may not …" in the refusal.
        """
        if self.person is not None and not self.person.has_perm(permission):
            raise NotAllowed(f"You may not {to}. Ask an Administrator for the permission “{permission}”.")


@dataclass(frozen=True)
class Context:
    actor: Actor
    trace_id: str | None = None  # None: what has no trace of its own gets a fresh one
    tool_name: str | None = None
    reason: str | None = None  # why, where what is changed has no column for it: the log keeps it


NOBODY = Context(Actor.system("gatehouse"))
_current: ContextVar[Context] = ContextVar("audit_context", default=NOBODY)


def current() -> Context:
    return _current.get()


@contextmanager
def acting(
    actor: Actor | None = None,
    *,
    trace_id: str | None = None,
    tool_name: str | None = None,
    reason: str | None = None,
) -> Iterator[None]:
    """Everything saved inside is done by `actor`; what is not given stays as it was outside."""
    given = {"actor": actor, "trace_id": trace_id, "tool_name": tool_name, "reason": reason}
    token = _current.set(replace(_current.get(), **{k: v for k, v in given.items() if v is not None}))  # type: ignore[arg-type]
    try:
        yield
    finally:
        _current.reset(token)
