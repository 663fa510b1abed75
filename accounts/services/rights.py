"""Who may act on another's account."""

from accounts.models import User
from audit.context import Actor
from audit.errors import NotAllowed

PERMISSION = "accounts.change_user"


def require_over(actor: Actor, person: User, *, to: str, does: str) -> None:
    """Only a superuser acts on a superuser: an Administrator must not become one. `to` and `does` say what it is."""
    actor.require(PERMISSION, to=to)
    if person.is_superuser and actor.person is not None and not actor.person.is_superuser:
        raise NotAllowed(f"Only a superuser {does} of a superuser.")
