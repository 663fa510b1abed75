# --- What Gatehouse is made of, with the hash of each package ---------------------------------------------------------
FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY deploy/requirements.txt /tmp/requirements.txt
RUN python -m venv /opt/gatehouse/venv \
    && /opt/gatehouse/venv/bin/pip install --quiet --require-hashes --only-binary :all: -r /tmp/requirements.txt
WORKDIR /opt/gatehouse/app
COPY . .
# Names with hashes, and beside each file its compressed form; nothing is signed or asked of a database here.
RUN DATABASE_URL=postgresql://nobody@nowhere/nothing SECRET_KEY=only-for-this-line-which-signs-nothing \
    /opt/gatehouse/venv/bin/python manage.py collectstatic --no-input --verbosity 0 \
    && /opt/gatehouse/venv/bin/python -m compileall -q .

# --- PgBouncer: Debian's, with no more than its configuration ---------------------------------------------------------
FROM debian:trixie-slim AS pgbouncer
RUN apt-get update \
    && apt-get install --yes --no-install-recommends "pgbouncer=1.24.*" \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10002 --no-create-home --shell /usr/sbin/nologin pooler
COPY --chmod=0444 deploy/pgbouncer/pgbouncer.ini /etc/pgbouncer/pgbouncer.ini
COPY --chmod=0555 deploy/pgbouncer/healthy.sh /usr/local/bin/pgbouncer-healthy
USER 10002:10002
EXPOSE 6432
STOPSIGNAL SIGINT
HEALTHCHECK --interval=10s --timeout=3s --retries=3 CMD ["pgbouncer-healthy"]
CMD ["pgbouncer", "/etc/pgbouncer/pgbouncer.ini"]

# --- Gatehouse: the web server, and every command -----------------------------------------------------------------------
FROM python:3.13-slim-trixie AS gatehouse
RUN groupadd --gid 10001 gatehouse \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin gatehouse \
    && install -d -o gatehouse -g gatehouse -m 0750 /var/lib/gatehouse
COPY --from=build /opt/gatehouse /opt/gatehouse
ENV PATH=/opt/gatehouse/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEHOUSE_HOME=/var/lib/gatehouse
WORKDIR /opt/gatehouse/app
USER 10001:10001
EXPOSE 8000
# Whether the process stands; whether it can serve is /readyz, which a load balancer asks.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "deploy/healthy.py"]
CMD ["gunicorn", "--config", "python:config.gunicorn", "--no-control-socket", "--bind", "0.0.0.0:8000", \
     "--worker-class", "gthread", "--workers", "2", "--threads", "24", "--keep-alive", "75", \
     "--graceful-timeout", "20", "--worker-tmp-dir", "/dev/shm", "--log-level", "warning", "config.wsgi"]
