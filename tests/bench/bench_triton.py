"""Beside Triton: one caller, one image of 602 KB a question, Grad-CAM of one class, both over gRPC, in turns.

Triton serves the file that backlit exports with Grad-CAM built in, by ONNX Runtime in a Python model (PyTriton, whose
wheel brings the server along): what somebody would set up who has such a file. The maps are the same, from one image
on and for one method. Needs an interpreter that has nvidia-pytriton and onnxruntime: --python.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import backlit
from bench_explain import models
from bench_libraries import apart, installed, saved
from library_sides import images
from pairs import ANEW, Side, compare
from real_server import real_server

CALLER = str(Path(__file__).parent / "caller.py")
TRITON = str(Path(__file__).parent / "triton_side.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="an interpreter with nvidia-pytriton and onnxruntime")
    parser.add_argument("--turns", type=int, default=9)
    arguments = parser.parse_args()
    if not all(installed(arguments.python, module) for module in ("pytriton", "tritonclient.grpc", "onnxruntime")):
        return
    print(f"{len(os.sched_getaffinity(0))} cores")
    print("model                Triton ms  backlit ms  backlit / Triton  maps differ by")
    with tempfile.TemporaryDirectory() as folder, real_server(Path(folder), *ANEW) as address:
        for model in models(Path(folder)):
            with backlit.connect(address) as server:
                uploaded = server.upload(model, name=model.stem)
                explained = uploaded.export(model.with_suffix(".explained.onnx"))
                (answer,) = uploaded.explain(images(1), target=0)
            command = (TRITON, str(explained))
            differ = apart(answer.heatmap[None], saved(arguments.python, command, Path(folder)))
            with (
                Side(*command, python=arguments.python) as theirs,
                Side(CALLER, address, model.stem, "--class-index", "0") as ours,
            ):
                pair = compare(ours, theirs, arguments.turns, 20)
            print(f"{model.stem:20} {pair.theirs:9.2f} {pair.ours:11.2f} {pair.ratio:17.2f}  {differ:.1e}", flush=True)


if __name__ == "__main__":
    main()
