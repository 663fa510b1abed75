"""What every page of the console's model admin has in common, and the audit log's own pages.

In the lowest room, so that each app's admin builds on it: `base` has the classes, `columns` and `cells` what they show,
`fields` what they ask, `keyset` the paging of very large tables.
"""

from audit.admin import log

__all__ = ["log"]
