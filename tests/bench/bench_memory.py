"""Memory and starts: what a further method of an open model takes, many models in a small budget, a server restarted.

    python tests/bench/bench_memory.py [variants | round-robin | restart]

Memory is PSS: pages that several sessions map count once. Each table is made in processes of its own.
"""

import argparse
import ctypes
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import onnx

import backlit
import efficientnet_lite0
from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import to_tensor
from bench_server import resident
from copies import copies
from goals import say
from pairs import ANEW
from real_server import real_server
from resnet50 import Net, resnet50

MODELS, FIT, CALLERS, ROUNDS = 100, 10, 4, 2
SIDE = 96  # pixels, of the models in the round robin
LAYERS = 2  # besides the default one
FURTHER = ("layer-cam", "hires-cam", "grad-cam++", "xgrad-cam", "gradient-x-input", "guided-backprop")
"""Methods whose layer is open already, by another method."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    # No choices: of several words of which there may be none, argparse in Python 3.11 takes the empty list for one.
    parser.add_argument("table", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}; default: all")
    parser.add_argument("--file", type=Path)
    parser.add_argument("--cache-gb", type=int, default=10)
    arguments = parser.parse_args()
    if arguments.table == ["measure"]:
        measure(arguments.file, arguments.cache_gb)
        return
    if unknown := set(arguments.table).difference(TABLES):
        parser.error(f"there is no table {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        for table in arguments.table or TABLES:
            TABLES[table](Path(folder))


def variants(folder: Path) -> None:
    """Further methods and layers of an open model, with weights shared and with weights of their own."""
    for name, build in NETWORKS.items():
        file = folder / f"{name}.onnx"
        build(file)
        for cache_gb in (10, 0):
            how = "shared weights" if cache_gb else "weights of their own"
            print(f"\n{name}, {file.stat().st_size / 1e6:.0f} MB, {how}", flush=True)
            words = ["measure", "--file", str(file), "--cache-gb", str(cache_gb)]
            subprocess.run([sys.executable, __file__, *words], check=True)


def measure(file: Path, cache_gb: int) -> None:
    """PSS after each question to the bare engine, in a process of its own."""
    from backlit_server.engine.engine import Engine  # not above: the other tables need no onnxruntime
    from backlit_server.keeping import Keeping
    from bare import stored

    with tempfile.TemporaryDirectory() as store:
        engine = Engine(Path(store), "cpu", len(os.sched_getaffinity(0)), keeping=Keeping(4096, 0, cache_gb))
        digest, size, x = stored(Path(store), file), file.stat().st_size / 1e6, pictures(1, 224)
        before, shares = pss(), {}
        for method, layer in [("score", ""), *steps(file)]:
            question = pb.Question(model=digest, method=method, layer=layer, targets=[pb.Target(top=1)])
            request = pb.ExplainRequest(question=question, inputs={"": to_tensor(x)})
            for _ in range(2):
                list(engine.explain(request, [x]))
            after = pss()
            print(f"  {method + (f' at {layer}' if layer else ''):44} {after - before:+8.1f} MB", end="")
            shares[method, layer] = (after - before) / size
            print(f"  {shares[method, layer]:7.1%}", flush=True)
            before = after
    if cache_gb:
        for method in FURTHER:
            say("variant", f"{file.stem.split()[0]}, {method}", shares[method, ""])


def steps(file: Path) -> Iterator[tuple[str, str]]:
    """Methods, and layers of the network by the names of nodes."""
    for method in ("grad-cam", "layer-cam", "hires-cam", "grad-cam++", "xgrad-cam"):
        yield method, ""
    convolutions = [node.name for node in onnx.load(file).graph.node if node.op_type == "Conv"]
    for layer in convolutions[-8 : -8 + LAYERS]:
        yield "grad-cam", layer
    for method in ("saliency", "gradient-x-input", "guided-backprop"):
        yield method, ""


def round_robin(folder: Path) -> None:
    """Many models, a budget for few, several callers that ask for one after the other."""
    store = folder / "many"
    file = folder / "small.onnx"
    small(file)
    with real_server_in(store) as address, backlit.connect(address) as server:
        digest = server.upload(file).digest
    digests = [digest, *copies(store, digest, file, MODELS - 1)]
    budget = max(1, FIT * held(file) // (1 << 20))
    flags = ("--memory", str(budget), "--preload", "0", *ANEW)
    with real_server_in(store, *flags) as address:
        taken, failures = asked(address, digests * ROUNDS)
        memory = dict(resident(store))["worker"]
    p50, p99 = np.percentile(taken, (50, 99))
    print(f"\n{MODELS} models of {file.stat().st_size / 1e6:.1f} MB, --memory {budget} MB, {CALLERS} callers:")
    print(f"  {len(taken)} questions, {len(failures)} failures, p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms")
    print(f"  worker {memory:.0f} MB resident {failures[:1] or ''}", flush=True)
    say("failures", f"p99 {p99 * 1e3:.0f} ms", len(failures))


def asked(address: str, digests: list[str]) -> tuple[list[float], list[Exception]]:
    """Seconds of each question, and what went wrong."""
    waiting, taken, failures = list(reversed(digests)), [], []

    def call() -> None:
        x = pictures(1, SIDE)
        with backlit.connect(address) as server:
            while waiting:
                started = time.perf_counter()
                try:
                    server.model(waiting.pop()).explain(x, target="top1")
                except backlit.BacklitError as error:
                    failures.append(error)
                taken.append(time.perf_counter() - started)

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return taken, failures


def restart(folder: Path) -> None:
    """From the start of a server to the first answer about a model that it had open before."""
    store, file = folder / "again", folder / "again.onnx"
    resnet50(file)
    with real_server_in(store) as address, backlit.connect(address) as server:
        digest = server.upload(file).digest
        server.model(digest).explain(pictures(1, 224), target="top1")
    print(f"\nrestart, model of {file.stat().st_size / 1e6:.0f} MB: seconds until it listens, of the first question")
    for how, flags in RESTARTS.items():
        rows = [started(store, digest, flags) for _ in range(3)]
        listens, first = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"  {how:52} {listens:6.2f} {first:6.2f}", flush=True)


RESTARTS = {
    "nothing kept on disk": ("--cache-gb", "0", "--preload", "0"),
    "optimised graphs kept": ("--preload", "0"),
    "kept, warmed up, asked 3 s later": ("--preload", "4"),
}
"""What a server is told, by what it then does."""


def started(store: Path, digest: str, flags: tuple[str, ...]) -> tuple[float, float]:
    begun = time.perf_counter()
    with real_server_in(store, *flags, *ANEW) as address, backlit.connect(address) as server:
        listens = time.perf_counter() - begun
        if flags[-1] != "0":
            time.sleep(3)
        model, x = server.model(digest), pictures(1, 224)
        begun = time.perf_counter()
        model.explain(x, target="top1")
        return listens, time.perf_counter() - begun


def real_server_in(store: Path, *flags: str):
    store.mkdir(exist_ok=True)
    return real_server(store, *flags)


def held(file: Path) -> int:
    """Bytes that a worker counts for the model once it has answered one question."""
    from backlit_server.engine.engine import Engine
    from backlit_server.keeping import Keeping
    from bare import ask, stored

    with tempfile.TemporaryDirectory() as store:
        engine = Engine(Path(store), "cpu", 1, keeping=Keeping(4096, 0))
        ask(engine, stored(Path(store), file), pictures(1, SIDE), targets=["top1"])
        return engine._models.budget.used


def small(file: Path) -> None:
    """A network of the depth of ResNet-50 and a sixteenth of its weights."""
    net = Net(np.random.default_rng(0))
    x = net.relu(net.conv("input", "stem", (3, 16, 7), stride=2))
    channels = 16
    for stage, (width, blocks) in enumerate(((16, 3), (32, 4), (64, 6), (128, 3)), 1):
        for block in range(blocks):
            x = net.bottleneck(x, f"layer{stage}.{block}", (channels, width), 2 if block == 0 else 1)
            channels = width * 4
    net.classify(x, channels)
    file.write_bytes(net.model((SIDE, SIDE)).SerializeToString())


def pictures(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 3, side, side)).astype(np.float32)


def pss() -> float:
    """Megabytes that this process holds; what is mapped several times counts once, what was freed not at all."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    told = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in told if line.startswith("Pss:"))


NETWORKS: dict[str, Callable[[Path], object]] = {
    "EfficientNet-Lite0": efficientnet_lite0.build,
    "ResNet-50 (random weights)": resnet50,
}
TABLES: dict[str, Callable[[Path], None]] = {
    "variants": variants,
    "round-robin": round_robin,
    "restart": restart,
}

if __name__ == "__main__":
    main()
