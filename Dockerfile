# The server, in two flavours:
#
#   docker build -t backlit .                              ONNX Runtime for CPUs
#   docker build -t backlit:gpu --build-arg FLAVOR=gpu .   ONNX Runtime for GPUs, with NVIDIA's libraries
#
# Every setting is an environment variable BACKLIT_<NAME>. The image listens on all addresses of its container, and
# plaintext beyond loopback has to be asked for, so one of these two:
#
#   docker run --read-only --tmpfs /tmp -v models:/models -p 127.0.0.1:50051:50051 \
#     -e BACKLIT_ALLOW_PLAINTEXT=true backlit
#   docker run --read-only --tmpfs /tmp -v models:/models -p 50051:50051 -v ./tls:/tls:ro \
#     -e BACKLIT_TLS_CERT=/tls/server.pem -e BACKLIT_TLS_KEY=/tls/server.key backlit
#
# Metrics for Prometheus: -e BACKLIT_METRICS_PORT=9090 -p 127.0.0.1:9090:9090
# On a machine with GPUs add: --gpus all -e BACKLIT_DEVICE=require-cuda

FROM docker.io/library/python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml ./
ARG FLAVOR=cpu
# The dependencies as pyproject.toml has them, but for the cpu flavour with the plain onnxruntime (24 MB), which the
# server extra keeps for machines that onnxruntime-gpu (256 MB) has no wheels for.
RUN python3 -c 'import os, tomllib; \
    project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
    extras = project["optional-dependencies"]; \
    server = project["dependencies"] + extras["server"]; \
    plain = [name.split(";")[0] for name in server if not name.startswith("onnxruntime-gpu")]; \
    flavours = {"cpu": plain, "gpu": server + extras["gpu"]}; \
    print(*flavours[os.environ["FLAVOR"]], sep="\n")' > requirements.txt
RUN python3 -m venv /opt/backlit \
    && /opt/backlit/bin/pip install --no-cache-dir -r requirements.txt
COPY README.md LICENSE ./
COPY proto proto
COPY client client
COPY server server
RUN /opt/backlit/bin/pip install --no-cache-dir --no-deps .

FROM docker.io/library/python:3.11-slim-bookworm
COPY --from=build /opt/backlit /opt/backlit
# Telemetry is off: since 1.29 ONNX Runtime reports home unless told not to. The NVIDIA variables are what their
# container runtime reads from an image that does not come from NVIDIA.
ENV PATH=/opt/backlit/bin:$PATH \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    BACKLIT_HOST=0.0.0.0 \
    BACKLIT_METRICS_HOST=0.0.0.0 \
    BACKLIT_STORE=/models
RUN install --directory --owner=10001 --group=10001 /models
VOLUME /models
USER 10001:10001
EXPOSE 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["python", "-m", "backlit_server.healthcheck"]
ENTRYPOINT ["backlit-server"]
