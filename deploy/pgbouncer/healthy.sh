#!/bin/bash
# Whether PgBouncer listens. Whether PostgreSQL answers behind it is what /readyz tells.
exec 3<>/dev/tcp/127.0.0.1/6432
