"""The bare engine, and plain ONNX Runtime beside it as its judge."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

import plain
from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import tensors_in, to_array, to_tensor
from backlit_server.engine.engine import Engine
from backlit_server.engine.targets import SCALES

Target = int | str | np.ndarray | pb.Target


def stored(store: Path, file: Path) -> str:
    """Puts a model where the engine looks for it; its digest."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    folder = store / "models" / digest
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model.onnx").exists():
        (folder / "model.onnx").symlink_to(file)
    return digest


def ask(
    engine: Engine,
    digest: str,
    x: np.ndarray | dict[str, np.ndarray],
    method: str = "grad-cam",
    targets: Sequence[Target] = (),
    layer: str = "",
    scores: str = "",
    scale: str = "",
    profile: str = "",
    rendering: pb.Rendering | None = None,
    **parameters,
) -> list[tuple[pb.Explanation, np.ndarray]]:
    """The engine's last answers: explanations and their heatmaps."""
    found = responses(engine, digest, x, method, targets, layer, scores, scale, profile, rendering, **parameters)
    finals = [(response, heatmaps) for response, heatmaps in found if response.progress == 1]
    return [pair for response, heatmaps in finals for pair in zip(response.explanations, heatmaps, strict=True)]


def responses(
    engine: Engine,
    digest: str,
    x: np.ndarray | dict[str, np.ndarray],
    method: str,
    targets: Sequence[Target],
    layer: str = "",
    scores: str = "",
    scale: str = "",
    profile: str = "",
    rendering: pb.Rendering | None = None,
    **parameters,
) -> list[tuple[pb.ExplainResponse, Sequence[np.ndarray]]]:
    """What the engine answers, partial results too, as it goes to the worker's desk."""
    inputs = {name: to_tensor(a) for name, a in (x if isinstance(x, dict) else {"": x}).items()}
    question = pb.Question(
        model=digest, method=method, layer=layer, scores=scores, profile=profile, rendering=rendering
    )
    question.scale = (SCALES | {"score": pb.Question.SCALE_SCORE, "": pb.Question.SCALE_UNSPECIFIED})[scale]
    question.targets.extend(_target(target) for target in targets)
    for parameter, value in parameters.items():
        if isinstance(value, np.ndarray):
            question.arrays[parameter].CopyFrom(to_tensor(value))
        else:
            question.parameters.update({parameter: value})
    request = pb.ExplainRequest(question=question, inputs=inputs)
    answers = engine.explain(request, [to_array(tensor) for tensor in tensors_in(request)])
    return [answer for answer in answers if isinstance(answer, tuple)]


def _target(target: Target) -> pb.Target:
    if isinstance(target, pb.Target):
        return target
    if isinstance(target, np.ndarray):
        return pb.Target(seed=to_tensor(target))
    return pb.Target(top=int(target.removeprefix("top"))) if isinstance(target, str) else pb.Target(class_index=target)


def values(file: Path, names: Sequence[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Any tensors of a model, by plain ONNX Runtime on the file itself with those tensors as outputs."""
    model = onnx.load(file)
    known = {o.name for o in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    return plain.values(model, names, feeds)


def last_linear(file: Path, channels: int) -> np.ndarray:
    """The (classes, channels) weights of the last dense layer of a file, the identity where there is none."""
    model = onnx.load(file)
    given = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    constants = [n for n in model.graph.node if n.op_type == "Constant" and n.attribute[0].name == "value"]
    given |= {n.output[0]: onnx.numpy_helper.to_array(n.attribute[0].t) for n in constants}
    for node in reversed(model.graph.node):
        if node.op_type in ("Gemm", "MatMul"):
            weights = given[node.input[1]]
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            return weights if transposed else weights.T
    return np.eye(channels)


def corners(box: pb.Box) -> tuple[float, float, float, float]:
    return box.x_min, box.y_min, box.x_max, box.y_max
