"""backlit-server: the entry point."""

import os
import sys


def main() -> int:
    """Serves until told to stop; the exit status is 2 for settings that do not fit, 1 for a server that cannot run."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # for the children: ONNX Runtime reports home by default
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # likewise: numpy's threads and its wait on each other
    os.environ.setdefault("PROMETHEUS_DISABLE_CREATED_SERIES", "true")  # a series more for each that nobody reads
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its own lines on standard error would break the log's format

    # Not above: gRPC and prometheus_client read their variables when they are imported.
    from backlit_server.service.command import run

    return run(sys.argv[1:], os.environ)


if __name__ == "__main__":
    sys.exit(main())
