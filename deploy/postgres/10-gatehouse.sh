#!/bin/bash
# Run once by the image of PostgreSQL, as superuser, when its directory is empty: the database, its owner, the login of
# backups. Everything else is made by `manage.py setup`.
set -euo pipefail

migrator=$(cat /run/secrets/migrator_password)
backup=$(cat /run/secrets/backup_password)
ask() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" "$@"; }

# Through the environment and standard input: arguments are for every process to see.
MIGRATOR=$migrator BACKUP=$backup ask --dbname postgres <<'SQL'
\getenv migrator MIGRATOR
\getenv backup BACKUP
CREATE ROLE gatehouse_migrator LOGIN CREATEROLE PASSWORD :'migrator';
CREATE ROLE gatehouse_backup LOGIN REPLICATION PASSWORD :'backup';
GRANT pg_monitor TO gatehouse_backup;
CREATE DATABASE gatehouse OWNER gatehouse_migrator;
SQL
ask --dbname gatehouse --single-transaction --file /opt/gatehouse/guard.sql
# The image lets everybody with a password in, but nobody who makes backups.
echo 'host replication gatehouse_backup all scram-sha-256' >>"$PGDATA/pg_hba.conf"
