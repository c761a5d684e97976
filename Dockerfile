# Two images: `--target serve` answers requests, `--target train` publishes models (and contains
# everything of the first). docker-compose.yml shows how they work together.
#
# The base image is pinned by tag only; append a digest as @sha256:... to pin it fully. Every locked
# package has a wheel for Python 3.13.
ARG PYTHON_IMAGE=python:3.13.16-slim-trixie

# Environments are made here and copied, so that the images have neither pip's cache nor a compiler.
# pip runs from the base image: the environments themselves have no installer.
FROM ${PYTHON_IMAGE} AS serve-environment
WORKDIR /build
COPY requirements/postgres.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --disable-pip-version-check \
        --require-hashes --only-binary=:all: -r requirements/postgres.txt

FROM serve-environment AS train-environment
COPY requirements/training.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/venv/bin/python install --disable-pip-version-check \
        --require-hashes --only-binary=:all: -r requirements/training.txt

FROM ${PYTHON_IMAGE} AS base
LABEL org.opencontainers.image.title="Encore" \
      org.opencontainers.image.description="Music recommendations behind one REST call" \
      org.opencontainers.image.vendor="The Encore authors" \
      org.opencontainers.image.licenses="MIT"
# The root may be read-only: bytecode is not written, and all state is in /models and /events.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OPENBLAS_NUM_THREADS=1 \
    ENCORE_MODELS=/models \
    ENCORE_DATABASE_URL=sqlite:////events/encore.db \
    ENCORE_STATE=/events
RUN groupadd --gid 10001 encore \
    && useradd --uid 10001 --gid encore --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin encore \
    && install --directory --owner encore --group encore /models \
    && install --directory --owner encore --group encore --mode 0700 /events
WORKDIR /srv/encore
STOPSIGNAL SIGTERM

FROM base AS train
# The wheel of implicit links the OpenMP runtime of the system and does not include it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=train-environment /opt/venv /opt/venv
COPY app app
COPY training training
# matplotlib caches a list of fonts; the user has no home folder for it.
ENV MPLCONFIGDIR=/tmp/matplotlib
USER 10001:10001
CMD ["python", "-m", "training", "--help"]

# The last stage, so that a plain `docker build .` makes the service.
FROM base AS serve
COPY --from=serve-environment /opt/venv /opt/venv
COPY app app
# Beyond loopback the service requires ENCORE_API_KEY, or ENCORE_ALLOW_UNAUTHENTICATED=true.
ENV ENCORE_HOST=0.0.0.0 \
    ENCORE_PORT=8000
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['ENCORE_PORT'] + '/health/live', timeout=2)"]
CMD ["python", "-m", "app"]
