"""A server over time: from upload to ready, and the memory of front and worker before and after 1,000 explanations."""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import backlit
import efficientnet_lite0
from accounts import resident_mb, server_processes
from pairs import ANEW
from real_server import real_server
from sides import METHOD, TARGET, images

UPLOADS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--explanations", type=int, default=1000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, real_server(Path(folder), *ANEW) as address:
        file = Path(folder) / "model.onnx"
        efficientnet_lite0.build(file)
        with backlit.connect(address) as server:
            seconds = [upload(server, file) for _ in range(UPLOADS)]
            size = file.stat().st_size / 1e6
            print(f"upload to ready, {size:.0f} MB: median {statistics.median(seconds):.2f} s of {UPLOADS}")
            model = server.upload(file)
            ask(model, 20)
            before = resident(Path(folder))
            ask(model, arguments.explanations)
            for name, megabytes in resident(Path(folder)).items():
                after = f"{megabytes:.0f} MB after {arguments.explanations} explanations"
                print(f"{name:7} {before[name]:.0f} MB resident, {after}")


def upload(server: backlit.Server, file: Path) -> float:
    """Seconds from the first byte to the card, of a model the server does not have."""
    start = time.perf_counter()
    model = server.upload(file)
    taken = time.perf_counter() - start
    model.delete()
    return taken


def ask(model: backlit.Model, times: int) -> None:
    x = images(1)
    for _ in range(times):
        model.explain(x, method=METHOD, target=TARGET)


def resident(store: Path) -> dict[str, float]:
    """Megabytes of front and worker."""
    return {name: resident_mb(pid) for name, pid in server_processes(store).items()}


if __name__ == "__main__":
    main()
