# The MLflow server alone.
FROM docker.io/library/python:3.11-slim-bookworm
WORKDIR /opt/mlflow
COPY scripts/python/bootstrap.lock scripts/python/requirements-mlflow.lock ./
RUN python3 -m venv .venv && .venv/bin/pip install -q --no-cache-dir --require-hashes -r bootstrap.lock \
 && .venv/bin/uv pip install --no-cache --python .venv/bin/python --require-hashes -r requirements-mlflow.lock \
 && useradd --uid 1000 --create-home airloom && install -d -o 1000 -g 1000 /data
COPY docker/mlflow-entrypoint.py ./
ENV PATH=/opt/mlflow/.venv/bin:$PATH MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true
USER 1000
ENTRYPOINT ["python", "mlflow-entrypoint.py"]
