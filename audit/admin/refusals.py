"""A constraint's violation as a sentence that a person can act on."""

from django.db import DatabaseError

from audit.base import rule_in_words
from audit.errors import Refused


def sentence(problem: DatabaseError | Refused) -> str:
    if isinstance(problem, Refused):
        return problem.sentence
    if said := rule_in_words(problem):
        return said
    report = getattr(problem.__cause__, "diag", None)
    told = getattr(report, "message_primary", None) or "it breaks a rule of the data"
    return f"The database refused this: {told}."
