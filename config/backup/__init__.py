"""Backups of the whole house and their recovery to any second of the last weeks.

A backup is a copy of the data directory (`base`) and the write-ahead log since it began (`wal`); beside them lie copies
of the files that are no part of the database (`files`). All are in the directory of BACKUP_URL (`store`), compressed
and encrypted for people who are not on this machine (`stream`), and once a week they go elsewhere for longer (`cold`,
`place`). `recovery` makes a directory with a server out of them again, and `drill` proves, for cron, that it can.
"""
