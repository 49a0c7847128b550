# One image for every process of Switchboard: the browser's files are built in the first stage, the second runs.
FROM node:20-slim AS web
WORKDIR /build/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci
COPY web/ ./
RUN npm run build

FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock
COPY pyproject.toml LICENSE ./
COPY core core
COPY crm crm
COPY channels channels
COPY analysis analysis
COPY workers workers
COPY blueprints blueprints
COPY --from=web /build/web/dist web/dist
RUN pip install --no-deps -e . \
    && useradd --system --uid 10001 --no-create-home switchboard \
    && install -d -o switchboard -g switchboard -m 0700 /data
ENV SWITCHBOARD_HOST=0.0.0.0 SWITCHBOARD_DATA=/data
USER switchboard
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["switchboard"]
CMD ["up"]
