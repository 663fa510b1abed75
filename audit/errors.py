"""Refusals: what a service raises when the answer is no.

Each carries one sentence for the person or the agent who asked. The doors translate the kind: a page shows the
sentence, the API answers 403, 409 or 422, a command exits non-zero.
"""


class Refused(Exception):
    """The verb was understood and refused; nothing has changed, unless `keeps` says so."""

    status = 422  # of HTTP, at every door that speaks it
    keeps = False

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class NotAllowed(Refused):
    """This actor may not do this."""

    status = 403


class Conflict(Refused):
    """The row is no longer (or not yet) in a state in which this can be done; somebody else may have won."""

    status = 409


class TooLate(Conflict):
    """Refused, but what was reported is kept as evidence for whoever has to find out what happened."""

    keeps = True


class Invalid(Refused):
    """What was given cannot be used: empty, malformed or unknown."""


def written(text: str, otherwise: str) -> str:
    """What somebody wrote, without spaces around it. Raises Invalid with `otherwise` when that is nothing."""
    if "\x00" in text:
        raise Invalid("The text contains a character that cannot be stored (NUL).")
    if not text.strip():
        raise Invalid(otherwise)
    return text.strip()


def broken_rule(error: Exception) -> str:
    """The name of the constraint or trigger by which the database refused; empty when it was something else."""
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", None) or ""


def sqlstate(error: Exception) -> str:
    return getattr(error.__cause__, "sqlstate", None) or ""
