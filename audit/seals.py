"""Whether the hash of an audit row is still that of what it seals, computed anew by the database that wrote it.

That is the row's `changes`; of a context snapshot, the context that was given. A writer may bring a hash of its own
inputs, which then agrees with neither: who looks at it decides what that means.
"""

from django.db import models
from django.db.models import F, Func, Q

from audit.choices import EntityType


class Hash(Func):
    """As `audit_log`'s own trigger computes it, and the claim that gives a context."""

    template = (
        f"encode(sha256(convert_to(CASE WHEN entity_type = '{EntityType.CONTEXT_SNAPSHOT.value}'"
        " THEN (%(expressions)s -> 'context' -> 1)::text ELSE %(expressions)s::text END, 'UTF8')), 'hex')"
    )
    output_field = models.TextField()


# True, false, or null where there is nothing to compare.
SEALED = models.Case(
    models.When(Q(inputs_hash=None) | Q(changes=None), then=None),
    models.When(inputs_hash=Hash(F("changes")), then=True),
    default=False,
    output_field=models.BooleanField(null=True),
)
