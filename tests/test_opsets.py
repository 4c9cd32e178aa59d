"""Real models at every opset that onnx's own converter can bring them to: the maps stay the same."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import version_converter

from bare import ask, stored
from real_models import CLASSIFIERS, anatomy_of

OPSETS = (9, 11, 13, 15, 17, 19, 20, 22, 24, 26)
# Sizes of images where the file leaves them open.
SIZES = {"ppocr-textcls-mobilenetv3": (3, 48, 192)}
# What the converter itself cannot do with these files.
LEFT_OUT = ("squeezenet11-qoperator",)


def converted(file: onnx.ModelProto, opset: int) -> onnx.ModelProto | None:
    """The file at another opset, None where the converter gives up."""
    file.ir_version = max(file.ir_version, 8)  # it wants weights to be no inputs
    held = {t.name for t in file.graph.initializer}
    inputs = [i for i in file.graph.input if i.name not in held]
    del file.graph.input[:]
    file.graph.input.extend(inputs)
    try:
        return version_converter.convert_version(file, opset)
    except Exception:  # as many kinds of refusal as the converter has authors
        return None


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if name not in LEFT_OUT])
def test_a_real_model_gives_the_same_maps_at_every_opset(engine, shared: Path, tmp_path, name):
    file = shared / "models" / f"{name}.onnx"
    (image,) = anatomy_of(shared, name).inputs
    x = np.random.default_rng(3).normal(size=(1, *SIZES.get(name, image.shape[1:]))).astype(np.float32)
    ((_, expected),) = ask(engine, stored(engine.store, file), x)
    done = []
    for opset in OPSETS:
        if other := converted(onnx.load(file), opset):
            onnx.save(other, tmp_path / f"{opset}.onnx")
            ((_, heatmap),) = ask(engine, stored(engine.store, tmp_path / f"{opset}.onnx"), x)
            assert np.allclose(heatmap, expected, rtol=0, atol=1e-4 * np.abs(expected).max()), opset
            done.append(opset)
    assert len(done) >= 3
