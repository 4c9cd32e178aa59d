"""A loaded server whose questions share runs of the backbone, beside the same server where each has its own.

Grad-CAM of the best class, one image of 602 KB a question, callers in processes of their own; images a second in turns
on the same cores.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import backlit
from bench_explain import models
from bench_load import CALLER, Contender, together
from pairs import ANEW, Side
from real_server import real_server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7, help="turns of each server")
    parser.add_argument("--seconds", type=float, default=0.7, help="how long a turn takes")
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8], help="images that may share a run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        made, servers = models(Path(folder)), []
        for batch in arguments.batches:
            store = Path(folder) / f"store{batch}"
            store.mkdir()
            address = stack.enter_context(real_server(store, "--max-batch", str(batch), *ANEW))
            with backlit.connect(address) as server:
                for model in made:
                    server.upload(model, name=model.stem)
            servers.append(address)
        print(f"images a second of {arguments.callers} callers, by how many images may share a run")
        print(f"{'model':20}" + "".join(f"{batch:8}" for batch in arguments.batches) + "   over the first")
        for model in made:
            print_row(model.stem, servers, arguments)


def print_row(model: str, servers: list[str], arguments: argparse.Namespace) -> None:
    with ExitStack() as stack:
        contenders = []
        for address in servers:
            callers = [stack.enter_context(Side(CALLER, address, model)) for _ in range(arguments.callers)]
            together(callers, 3)
            contenders.append(Contender(callers, 1, {}))
        turns = [[each.turn(arguments.seconds).rate for each in contenders] for _ in range(arguments.turns)]
    rates = [statistics.median(each) for each in zip(*turns, strict=True)]
    over = [statistics.median(turn[k] / turn[0] for turn in turns) for k in range(1, len(servers))]
    print(f"{model:20}" + "".join(f"{r:8.1f}" for r in rates) + "   " + "".join(f"{r:8.3f}" for r in over), flush=True)


if __name__ == "__main__":
    main()
