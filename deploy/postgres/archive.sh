#!/bin/sh
# PostgreSQL's archive_command: one segment of the log into the spool, from which the backup service takes it.
# It appears under its name when it is whole and on the disk; done a second time it is the same.
set -eu
install -m 0640 "$1" "/spool/.$2.part"
sync "/spool/.$2.part"
mv "/spool/.$2.part" "/spool/$2"
sync /spool
