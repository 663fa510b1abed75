"""Backups of the whole cluster and their recovery to any second of the last weeks.

A backup is a copy of the data directory (`base`) and the write-ahead log since it began (`wal`). Both lie in the
directory of BACKUP_URL (`store`), compressed and encrypted for people who are not on this machine (`stream`).
`recovery` makes a directory with a server out of them again, and `drill` proves, for cron, that it can.
"""
