"""What the gradient of the input costs: runs against one plain forward pass, and the time to differentiate.

Prints two tables. Ratios are medians over paired turns of two processes (pairs.py).
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import efficientnet_lite0
from backlit_server.graph import differentiate
from bench_explain import sides
from goals import say
from pairs import Side, compare
from points import Point
from resnet50 import resnet50

SIDES = str(Path(__file__).parent / "sides.py")
PASSES = ((1, "gradient"), (8, "gradient"))  # images a batch, and what is passed back
VARIANTS = ((1, "guided"), (1, "lrp epsilon"), (1, "lrp z-plus"))
DEEP = 10_000
WIDTH = 16
TIMES = 3  # of each differentiation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9, help="turns of each side")
    parser.add_argument("--runs", type=int, default=8, help="runs a turn of batch 1; larger batches get fewer")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.onnx" for name in ("efficientnet-lite0", "resnet50-random", f"deep-{DEEP}")]
        efficientnet_lite0.build(files[0])
        resnet50(files[1])
        onnx.save(deep(DEEP), files[2])
        print(f"the input's gradient of one class, {len(os.sched_getaffinity(0))} cores")
        print("model                batch  rules        plain ms    both ms  ratio")
        for model, cases in zip(files[:2], (PASSES + VARIANTS, PASSES), strict=True):
            for batch, rules in cases:
                print_ratio(model, batch, rules, arguments.turns, max(2, arguments.runs // batch))
        print("saliency of the best class in the engine")
        for model in files[:2]:
            print_saliency(model, arguments.turns, arguments.runs)
        print("to differentiate      nodes  of the result  seconds")
        for model in files:
            print_differentiation(model)


def print_ratio(model: Path, batch: int, rules: str, turns: int, runs: int) -> None:
    with (
        Side(SIDES, "plain", str(model), str(batch)) as plain,
        Side(SIDES, "gradient", str(model), str(batch), rules) as gradient,
    ):
        pair = compare(gradient, plain, turns, runs)
    print(f"{model.stem:20} {batch:5}  {rules:11} {pair.theirs:9.2f} {pair.ours:10.2f} {pair.ratio:6.2f}", flush=True)


def print_saliency(model: Path, turns: int, runs: int) -> None:
    with sides(model.parent, [Point(str(model), (1, 3, 224, 224), "saliency", 1)]) as (plain, engine):
        pair = compare(engine, plain, turns, runs)
    print(f"{model.stem:20} {1:5}  {'saliency':11} {pair.theirs:9.2f} {pair.ours:10.2f} {pair.ratio:6.2f}", flush=True)
    say("saliency", model.stem, pair.ratio)


def print_differentiation(model: Path) -> None:
    """Of the first output with respect to the first input, from a model in memory."""
    net = onnx.load(model)
    x, y = net.graph.input[0].name, net.graph.output[0].name
    seconds, sizes = zip(*(timed(net, x, y) for _ in range(TIMES)), strict=True)
    print(f"{model.stem:20} {len(net.graph.node):6} {sizes[0]:14} {statistics.median(seconds):8.2f}", flush=True)


def timed(net: onnx.ModelProto, x: str, y: str) -> tuple[float, int]:
    """Seconds of one differentiation, and the nodes of its result."""
    start = time.perf_counter()
    made = differentiate(net, [y], [x])
    return time.perf_counter() - start, len(made.graph.node)


def deep(nodes: int) -> onnx.ModelProto:
    """A chain of dense layers, each added to what came in."""
    weights = {"w": np.eye(WIDTH, dtype=np.float32), "b": np.zeros(WIDTH, np.float32)}
    written, x = [], "x"
    for k in range(nodes // 4):
        written += [
            helper.make_node("MatMul", [x, "w"], [f"{k}.product"]),
            helper.make_node("Add", [f"{k}.product", "b"], [f"{k}.sum"]),
            helper.make_node("Relu", [f"{k}.sum"], [f"{k}.relu"]),
            helper.make_node("Add", [f"{k}.relu", x], [f"{k}"]),
        ]
        x = f"{k}"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", WIDTH]) for name in ("x", x)]
    held = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(written, "deep", ends[:1], ends[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    main()
