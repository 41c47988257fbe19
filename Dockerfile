# DriftGuard as an image: one for web, worker, beat and consumer (docker-compose.yml).
FROM python:3.12-slim AS build
WORKDIR /build
COPY requirements/install requirements/runtime.txt requirements/
RUN requirements/install /venv requirements/runtime.txt

FROM python:3.12-slim
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py ./
COPY driftguard driftguard
COPY governance governance
COPY monitoring monitoring
COPY static static
COPY templates templates
# A volume that is mounted there takes over whose it is.
RUN python -m compileall -q driftguard governance monitoring \
    && mkdir /data && chown 10001:10001 /data
# No account of the image, so that it owns no file in it.
USER 10001:10001
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    DRIFTGUARD_DATA_DIR=/data \
    DRIFTGUARD_ENV_FILE=
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s \
    CMD ["python", "manage.py", "ready"]
CMD ["python", "manage.py", "run", "web", "--host=0.0.0.0"]
