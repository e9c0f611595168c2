# Two stages: the first has pip and the sources, the second only what runs.
FROM python:3.13-slim-trixie AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_COMPILE=1

WORKDIR /src

# The locked packages change seldom: a layer of their own. PostgreSQL's driver is among them.
COPY requirements.lock ./
RUN python -m venv /opt/token-monitor \
    && /opt/token-monitor/bin/pip install --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY monitor ./monitor
COPY templates ./templates
COPY config ./config
# The lock holds the build backend too: nothing is fetched that has no hash.
RUN /opt/token-monitor/bin/pip wheel --no-deps --no-build-isolation -w /wheels . \
    && /opt/token-monitor/bin/pip install --no-deps /wheels/*.whl \
    && /opt/token-monitor/bin/pip uninstall -y hatchling editables pathspec pluggy trove-classifiers \
    && /opt/token-monitor/bin/python -m compileall -q /opt/token-monitor/lib


FROM python:3.13-slim-trixie

# The mail server's certificate is checked against the system's authorities.
RUN test -s /etc/ssl/certs/ca-certificates.crt \
    && groupadd --system --gid 10001 monitor \
    && useradd --system --uid 10001 --gid 10001 --home-dir /data --shell /usr/sbin/nologin monitor \
    && install -d -o 10001 -g 10001 -m 0700 /data

COPY --from=build /opt/token-monitor /opt/token-monitor

ENV PATH=/opt/token-monitor/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

USER 10001:10001
WORKDIR /data
VOLUME /data

HEALTHCHECK --interval=60s --timeout=20s --start-period=60s --retries=3 \
    CMD ["token-monitor", "status", "--exit-code"]

STOPSIGNAL SIGTERM
ENTRYPOINT ["token-monitor"]
CMD ["run"]
