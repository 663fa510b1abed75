"""A standby that pages are read from: which pages, when it may be asked, and what happens when it cannot answer.

`routing` says who reads there, `watch` whether it is fresh enough to be asked, `base` is the connection, whose
statements the primary answers when the standby does not. Nothing of it runs without DATABASE_REPLICA_URL.
"""

ALIAS = "replica"
