"""Foreign keys of the widest tables."""

from typing import TypeVar

from django.db import models

Set = TypeVar("Set")
Get = TypeVar("Get")


class SetCheckedForeignKey(models.ForeignKey[Set, Get]):
    """A key that is declared in the database and NOT ENFORCED row by row: a trigger looks up each statement's parents.

    PostgreSQL's own check costs more than the rows themselves (docs/decisions/0019). Only for parents whose rows are
    never deleted and whose keys never change.
    """
