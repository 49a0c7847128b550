# One image for every process of Switchboard. Two stages build, the third only runs: no compiler, no package manager of
# ours, nothing that it could write to but what is mounted at /data, /spool and /tmp.
FROM node:20-slim AS browser
WORKDIR /build/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci
COPY web/ ./
RUN npm run build

FROM python:3.11-slim AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
WORKDIR /app
COPY requirements.lock ./
RUN /venv/bin/pip install --require-hashes -r requirements.lock
COPY pyproject.toml LICENSE ./
COPY core core
COPY crm crm
COPY channels channels
COPY analysis analysis
COPY workers workers
COPY blueprints blueprints
# Linked in place, and compiled here: where it runs nothing can be written beside the sources.
RUN /venv/bin/pip install --no-deps -e . \
    && /venv/bin/pip uninstall --yes pip setuptools \
    && python -m compileall -q /venv/lib core crm channels analysis workers

FROM python:3.11-slim
# pg_dump and pg_restore, for `switchboard backup` and `restore`: they must not be older than the server.
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/*
RUN install -d -o 10001 -g 10001 -m 0700 /data /spool
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SWITCHBOARD_HOST=0.0.0.0 SWITCHBOARD_DATA=/data
WORKDIR /app
COPY --from=packages /venv /venv
COPY --from=packages /app /app
COPY --from=browser /build/web/dist web/dist
COPY web/locale web/locale
USER 10001:10001
VOLUME /data /spool
EXPOSE 8080
ENTRYPOINT ["switchboard"]
CMD ["up"]
