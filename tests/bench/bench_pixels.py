"""What pictures cost: prepared by Pillow or by a graph, and sent as files, pixels or floats.

Prints two tables. The first prepares pictures in this process, in turns, for an input of 224 x 224; the second asks a
server for Grad-CAM of the best class of EfficientNet-Lite0, in turns too. All times are medians.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import argparse
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import skimage.data
from PIL import Image

import backlit
import efficientnet_lite0
import preparing
from backlit.questions import explain_request
from backlit_proto import backlit_pb2 as pb
from backlit_server.engine.pictures import Pictures
from backlit_server.engine.runtime import Runtime
from backlit_server.graph import ImageInput
from device import DEVICE
from real_server import real_server

SIZES = ((500, 375), (1920, 1080))  # width, height
BATCHES = (1, 8)
LIMIT = 50  # million pixels
INPUT = ImageInput(np.dtype(np.float32), "NCHW", 3, 224, 224)
PRESET = "efficientnet-lite"
UNCACHED = ("--features-mb", "0")  # the same picture again is another forward pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=15, help="turns of each way, and tens of questions of each form")
    arguments = parser.parse_args()
    prepared(arguments.turns)
    with tempfile.TemporaryDirectory() as folder, real_server(Path(folder), *UNCACHED) as address:
        model = Path(folder) / "efficientnet-lite0.onnx"
        efficientnet_lite0.build(model)
        with backlit.connect(address) as server:
            sent(server.upload(model, preprocessing=PRESET), 10 * arguments.turns)


def prepared(turns: int) -> None:
    """From pixels to the input, and what decoding them takes beside it."""
    pictures = Pictures(Runtime(DEVICE, len(os.sched_getaffinity(0))), LIMIT)
    print(f"milliseconds a picture, bicubic, on {pictures.device}, {len(os.sched_getaffinity(0))} cores")
    print("picture    batch  JPEG decoded   Pillow    graph  graph / Pillow")
    for width, height in SIZES:
        pixels, file = photograph(width, height)
        for batch in BATCHES:
            took = in_turns(ways(pictures, [pixels] * batch, file), turns)
            one, other = took["PILLOW"] / batch, took["GRAPH"] / batch
            print(f"{width}x{height:<7} {batch:4} {took['decoded']:13.2f} {one:8.2f} {other:8.2f} {other / one:15.2f}")


def ways(pictures: Pictures, given: list[np.ndarray], file: bytes) -> dict[str, Callable[[], object]]:
    return {
        "PILLOW": lambda: prepare(pictures, given, "PILLOW"),
        "GRAPH": lambda: prepare(pictures, given, "GRAPH"),
        "decoded": lambda: np.asarray(Image.open(io.BytesIO(file))),
    }


def prepare(pictures: Pictures, given: list[np.ndarray], way: str) -> np.ndarray:
    declared = pb.Preprocessing(preset=PRESET, computed_by=f"COMPUTED_BY_{way}")
    return preparing.prepared(pictures, given, declared, INPUT)


def photograph(width: int, height: int) -> tuple[np.ndarray, bytes]:
    """Pixels, and the JPEG of them."""
    image, file = Image.fromarray(skimage.data.astronaut()).resize((width, height)), io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return np.asarray(image), file.getvalue()


def sent(model: backlit.Model, turns: int) -> None:
    """The same picture in every form that it may be sent in."""
    pixels, file = photograph(*SIZES[0])
    with_floats = np.zeros((1, 3, 224, 224), np.float32)
    forms = {"JPEG file": file, "uint8 pixels": pixels, "float32 input": with_floats}
    finishes = {
        "float32": {},
        "float16, 0 to 1": {"dtype": "float16", "normalize": True},
        "uint8": {"dtype": "uint8", "normalize": True},
    }
    took = in_turns({name: lambda form=form: model.explain(form) for name, form in forms.items()}, turns)
    print(f"\none picture of {SIZES[0][0]}x{SIZES[0][1]} through the server")
    print("sent as        bytes of the question  p50 ms")
    for name, form in forms.items():
        print(f"{name:14} {explain_request(model, form).ByteSize():21} {took[name]:7.2f}")
    print("heatmaps as      bytes of a map")
    for name, finish in finishes.items():
        print(f"{name:16} {model.explain(file, **finish)[0].heatmap.nbytes:15}")


def in_turns(actions: Mapping[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """The median milliseconds of each action, one after the other in every turn, after a turn that is not counted."""
    took: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(turns + 1):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            took[name] += [1e3 * (time.perf_counter() - start)] if turn else []
    return {name: statistics.median(each) for name, each in took.items()}


if __name__ == "__main__":
    main()
