# Shippyard in a container.
#
#   docker build -t shippyard .
#   docker run --rm --read-only --tmpfs /tmp --tmpfs /run/shippyard:uid=10001,mode=0755 \
#     -v ./shippyard.toml:/etc/shippyard/shippyard.toml:ro -v ./credentials:/run/credentials:ro \
#     -v shippyard:/var/lib/shippyard -p 127.0.0.1:9754:9754 shippyard
#
# In the configuration: http.host = "0.0.0.0" (the container's own network is the fence),
# daemon.state_dir and backup.dir below /var/lib/shippyard. Secrets come as files, never in the
# image and never in variables.

# --- build: the virtual environment, from hash-pinned wheels ------------------------------------
FROM python:3.13-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

WORKDIR /src
RUN python -m venv /opt/shippyard
# First what rarely changes, so that a change of our code downloads nothing.
COPY requirements/runtime.txt requirements/runtime.txt
RUN /opt/shippyard/bin/pip install --require-hashes --only-binary=:all: -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY shippyard shippyard
# No isolation: the build back end is among the pinned requirements, and nothing else is fetched.
RUN /opt/shippyard/bin/pip install --no-deps --no-build-isolation . \
    && /opt/shippyard/bin/pip uninstall --yes pip setuptools
COPY migrations /opt/shippyard/migrations

# --- run: PostgreSQL's client programs, the virtual environment, a user of its own ---------------
FROM python:3.13-slim

LABEL org.opencontainers.image.title="Shippyard" \
      org.opencontainers.image.description="Proves that PostgreSQL's backups restore, migrations are safe and it is healthy" \
      org.opencontainers.image.licenses="Apache-2.0"

# The distribution's newest client; it can't dump a server newer than itself. Not pinned: the
# archive keeps one version at a time, which brings security fixes. tini reaps orphans as PID 1.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --home-dir /var/lib/shippyard --shell /usr/sbin/nologin shippyard \
    && install -d -o shippyard -g shippyard -m 0700 /var/lib/shippyard \
    && install -d -o shippyard -g shippyard -m 0755 /run/shippyard \
    && install -d -m 0755 /etc/shippyard

COPY --from=build /opt/shippyard /opt/shippyard

ENV PATH=/opt/shippyard/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SHIPPYARD_CONFIG=/etc/shippyard/shippyard.toml \
    SHIPPYARD_CREDENTIALS=/run/credentials

USER 10001:10001
WORKDIR /var/lib/shippyard
VOLUME /var/lib/shippyard
EXPOSE 9754

# Alive means that every loop turns. Not /readyz: PostgreSQL being down is no reason to kill this.
# Another http.port needs a --health-cmd of its own.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9754/healthz', timeout=4)"]

STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "shippyard"]
CMD ["run"]
