"""The signal for what `post_save` cannot see: compare-and-swap updates, bulk inserts, claims in one statement.

Sent with `before` (rows as they were, in the order of `after`; None when they are new), `after` (from `read_back`),
`action` and `using`, inside the transaction of the change. Signals write audit rows and nothing else.
"""

from django.dispatch import Signal

rows_changed = Signal()
