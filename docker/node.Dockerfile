# The two Node services, each with its own packages: docker build --target inference | labeler.
FROM docker.io/library/node:22-bookworm-slim AS base
WORKDIR /opt/airloom
COPY package.json package-lock.json .npmrc ./
COPY sdk/package.json sdk/
COPY yolo/package.json yolo/
COPY dataset-platform/package.json dataset-platform/
COPY runners/package.json runners/
COPY inference/package.json inference/
RUN install -d -o 1000 -g 1000 /data

FROM base AS inference
# A font for the names on drawn boxes.
RUN apt-get update && apt-get install -y --no-install-recommends fonts-dejavu-core && rm -rf /var/lib/apt/lists/*
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund --workspace=inference && npm cache clean --force \
 && rm -rf node_modules/onnxruntime-node/bin/napi-v*/darwin node_modules/onnxruntime-node/bin/napi-v*/win32 node_modules/onnxruntime-node/bin/napi-v*/linux/arm64 \
 && mkdir -p node_modules/@airloom && ln -sfn ../../yolo node_modules/@airloom/yolo
COPY yolo/src/boxes yolo/src/boxes
COPY yolo/src/files/protobuf.ts yolo/src/files/protobuf-reader.ts yolo/src/files/
COPY inference/src inference/src
ENV NODE_ENV=production MODEL_DIR=/data/model LISTEN_HOST=0.0.0.0 INFERENCE_PORT=8000
# As inference/src/allocation.ts explains.
ENV MALLOC_MMAP_THRESHOLD_=1048576
USER 1000
CMD ["node", "--import", "tsx", "inference/src/main.ts"]

FROM base AS labeler
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund --workspace=dataset-platform && npm cache clean --force
COPY dataset-platform/src dataset-platform/src
ENV NODE_ENV=production LABELER_DIR=/data/labeler LISTEN_HOST=0.0.0.0 LABELER_PORT=8080
USER 1000
CMD ["node", "--import", "tsx", "dataset-platform/src/labeler/main.ts"]
