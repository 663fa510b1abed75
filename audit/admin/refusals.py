"""A constraint's violation as a sentence that a person can act on."""

from django.db import DatabaseError, models

from audit.errors import Refused


def sentence(problem: DatabaseError | Refused, model: type[models.Model]) -> str:
    if isinstance(problem, Refused):
        return problem.sentence
    report = getattr(problem.__cause__, "diag", None)
    name = getattr(report, "constraint_name", None)
    for constraint in model._meta.constraints:
        if constraint.name == name:
            return str(constraint.get_violation_error_message())
    told = getattr(report, "message_primary", None) or "it breaks a rule of the data"
    return f"The database refused this: {told}."
