"""What a model is made of, as far as explaining it goes: inputs, scores, layers, head."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto, helper

from backlit_proto.errors import NotExplainable
from backlit_server.graph.head import OTHER, Head, head
from backlit_server.graph.layers import Layer, axes_of_tensors, layers, sizes
from backlit_server.graph.layout import layout
from backlit_server.graph.levels import Level, holding, levels
from backlit_server.graph.paths import on_paths
from backlit_server.graph.rewritten import Arithmetic, arithmetic
from backlit_server.graph.scores import Scores, all_scores, named
from backlit_server.graph.tape import opset_of
from backlit_server.graph.wayback import SELECTIONS
from backlit_server.graph.wiring import Wiring, wiring

CHOOSE = SELECTIONS | {"NonMaxSuppression"}


@dataclass(frozen=True)
class Spec:
    """A graph input or output. `dtype` as numpy spells it; free sizes are -1, their names in `dim_names`, else "".

    `layout` is NCHW or NHWC for an image input, else "".
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    dim_names: tuple[str, ...]
    layout: str = ""

    @property
    def batched(self) -> bool:
        """Whether the first axis counts images: it is free, or was fixed to one at export."""
        return bool(self.shape) and self.shape[0] in (-1, 1)


@dataclass(frozen=True)
class Batch:
    """Whether several images go through in one run."""

    dynamic: bool
    explanation: str


@dataclass(frozen=True)
class Anatomy:
    """All of it. `layers` are in the order of the graph; `default_layer` is "" where there is none to look at.

    `scores` are those explained, `candidates` those of all outputs, the default first. `selected` are the outputs that
    depend on which of several values is the largest. `levels` are the scales of a detector, none where it has but one.
    """

    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    scores: Scores
    candidates: tuple[Scores, ...]
    layers: tuple[Layer, ...]
    default_layer: str
    default_layer_reason: str
    levels: tuple[Level, ...]
    head: Head
    batch: Batch
    opset: int
    ir_version: int
    producer: str
    parameters: int
    operators: tuple[str, ...]
    selected: frozenset[str]
    axes: Mapping[str, str]
    arithmetic: Arithmetic

    @property
    def last_layers(self) -> tuple[str, ...]:
        """The layers of the levels."""
        return tuple(level.layer.name for level in self.levels)

    def axes_of(self, tensor: str) -> str:
        """Where a tensor keeps batch, channels, height and width; NotExplainable where it is no map."""
        if tensor not in self.axes:
            known = ", ".join(layer.name for layer in self.layers[-5:])
            raise NotExplainable(f"the tensor {tensor!r} has no height and width; layers that have: {known or 'none'}")
        return self.axes[tensor]


def examine(model: ModelProto, asked: str = "") -> Anatomy:
    """The anatomy of a canonical model; NotExplainable where no output depends on an input through floats.

    `asked` names the scores to explain, "" the default ones; BadQuestion where there are none of this name.
    Opset and IR version are those of the model given here: who wants the uploaded file's asks the file.
    """
    wires = wiring(model)
    axes = axes_of_tensors(wires)
    among = all_scores(wires, axes)
    found = named(wires, axes, among, asked) if asked else among[0]
    path, same = on_paths(wires, found.name), holding(wires, found.name)
    inputs = tuple(_spec(wires, name, layout(wires, name)) for name in wires.inputs)
    images = [spec.name for spec in inputs if spec.layout]
    candidates = tuple(layer for layer in layers(wires, path, axes, images) if layer.name not in same)
    default, reason = _default(wires, candidates, path)
    scales = levels(wires, found, axes, images)
    return Anatomy(
        inputs=inputs,
        outputs=tuple(_spec(wires, name) for name in wires.outputs),
        scores=found,
        candidates=among,
        layers=candidates,
        default_layer=default,
        default_layer_reason=reason + _of_levels(scales),
        levels=scales,
        head=head(model, wires, default, found.name) if default else Head(OTHER, reason, ()),
        batch=_batch(inputs),
        opset=opset_of(model),
        ir_version=model.ir_version,
        producer=" ".join(part for part in (model.producer_name, model.producer_version) if part),
        parameters=sum(math.prod(t.dims) for t in model.graph.initializer if _learned(wires, t.name)),
        operators=tuple(sorted({n.op_type for n in wires.nodes if not path.isdisjoint(n.output)})),
        selected=_selected(wires),
        axes=axes | {spec.name: spec.layout for spec in inputs if spec.layout},
        arithmetic=arithmetic(model, wires),
    )


def _default(wires: Wiring, candidates: tuple[Layer, ...], path: frozenset[str]) -> tuple[str, str]:
    """The layer used when a question names none, and why that one."""
    crossed = [layer for layer in candidates if layer.on_every_path]
    if crossed:
        which = "the last spatial tensor that every path from input to scores crosses"
        return crossed[-1].name, f"{which}: {crossed[-1].in_words}"
    if candidates:
        return "", "no spatial tensor lies on every path from input to scores; name one of the layers"
    if not any(len(wires.kinds[name].shape or ()) == 4 for name in wires.inputs):
        shapes = "; ".join(f"{name} {list(sizes(wires, name))}" for name in wires.inputs)
        return "", f"no input is an image (batch, channels, height, width): {shapes}"
    if path.isdisjoint(wires.inputs):
        return "", "the model computes in integers throughout; upload the float model that it was made from"
    return "", "between image and scores no convolution or pooling makes a spatial tensor"


def _of_levels(scales: tuple[Level, ...]) -> str:
    """What the default layer of one anchor is, where that depends on its scale."""
    if not scales:
        return ""
    told = "; ".join(f"{level.layer.name} ({level.layer.in_words})" for level in scales)
    return f". The score of one anchor is explained at the last such tensor of its own scale: {told}"


def _selected(wires: Wiring) -> frozenset[str]:
    chosen = [name for node in wires.nodes if node.op_type in CHOOSE for name in node.output]
    made = {name for k in wires.downstream(chosen) for name in wires.nodes[k].output}
    return frozenset(made.union(chosen).intersection(wires.outputs))


def _spec(wires: Wiring, name: str, order: str = "") -> Spec:
    kind = wires.kinds.get(name)
    if kind is None or not kind.dtype:
        return Spec(name, "", (), (), order)
    names = tuple(size if isinstance(size, str) else "" for size in kind.shape or ())
    return Spec(name, helper.tensor_dtype_to_np_dtype(kind.dtype).name, sizes(wires, name), names, order)


def _batch(inputs: tuple[Spec, ...]) -> Batch:
    image = next((spec for spec in inputs if spec.layout), inputs[0] if inputs else None)
    if image is None or not image.shape:
        return Batch(False, "no input has a batch axis")
    if image.shape[0] < 0:
        return Batch(True, f"the first axis of {image.name!r} is free ({image.dim_names[0]})")
    return Batch(False, f"the first axis of {image.name!r} is fixed to {image.shape[0]}: images go one run at a time")


def _learned(wires: Wiring, name: str) -> bool:
    return wires.float(name) or any(wires.nodes[k].op_type == "DequantizeLinear" for k in wires.readers.get(name, ()))
