"""What a model is made of, as far as explaining it goes: inputs, scores, layers, head."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto, helper

from backlit_proto.errors import NotExplainable
from backlit_server.graph.reading.default_layer import default_layer
from backlit_server.graph.reading.following import follow
from backlit_server.graph.reading.head import OTHER, Head, head
from backlit_server.graph.reading.layers import Layer, layers, sizes
from backlit_server.graph.reading.layout import layout
from backlit_server.graph.reading.levels import Level, holding, levels
from backlit_server.graph.reading.paths import on_paths
from backlit_server.graph.reading.penultimate import penultimate
from backlit_server.graph.reading.places import ORDERS, Places
from backlit_server.graph.reading.scores import Scores, all_scores, named
from backlit_server.graph.reading.sized import Sized, sized
from backlit_server.graph.reading.view import View, view_in_order, view_of_tokens
from backlit_server.graph.reading.wayback import SELECTIONS
from backlit_server.graph.reading.wiring import Wiring, wiring
from backlit_server.graph.recording.tape import opset_of
from backlit_server.graph.spelling.rewritten import Arithmetic, arithmetic

LAYOUTS = ORDERS[4]  # of axes that say themselves where rows and columns are
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
    `penultimate` is what the last layer with weights reads, "" where there is no such tensor that all paths cross.
    `views` are those of all tensors that are maps; the tensors in `batched` count images along their first axis.
    """

    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    scores: Scores
    candidates: tuple[Scores, ...]
    layers: tuple[Layer, ...]
    default_layer: str
    default_layer_reason: str
    penultimate: str
    levels: tuple[Level, ...]
    head: Head
    batch: Batch
    opset: int
    ir_version: int
    producer: str
    parameters: int
    operators: tuple[str, ...]
    selected: frozenset[str]
    arithmetic: Arithmetic
    views: Mapping[str, View]
    batched: frozenset[str]

    @property
    def image(self) -> str:
        """The name of the input that is the image: of several the first."""
        return self.inputs[0].name

    @property
    def last_layers(self) -> tuple[str, ...]:
        """The layers of the levels."""
        return tuple(level.layer.name for level in self.levels)

    @property
    def last_of_scales(self) -> tuple[str, ...]:
        """The last layer of each size that lies on every path, from the image on; of the default layer's size, that."""
        last = {layer.view.size: layer.name for layer in self.layers if layer.on_every_path}
        last |= {layer.view.size: layer.name for layer in self.layers if layer.name == self.default_layer}
        order = [layer.name for layer in self.layers]
        return tuple(sorted(last.values(), key=order.index))

    def view_of(self, tensor: str) -> View:
        """How a tensor is read as maps; NotExplainable where it is no map."""
        if tensor not in self.views:
            known = ", ".join(layer.name for layer in self.layers[-5:])
            raise NotExplainable(
                f"the tensor {tensor!r} is no map: its elements have no height and width, or not each place of the "
                f"picture once; layers that are maps: {known or 'none'}"
            )
        return self.views[tensor]


def examine(model: ModelProto, asked: str | Scores = "") -> Anatomy:
    """The anatomy of a canonical model; NotExplainable where no output depends on an input through floats.

    `asked` names the scores to explain, "" the default ones, or is them; BadQuestion where there are none of this name.
    Opset and IR version are those of the model given here: who wants the uploaded file's asks the file.
    """
    wires = wiring(model)
    inputs = tuple(_spec(wires, name, layout(wires, name)) for name in wires.inputs)
    pictures = {spec.name: spec.layout for spec in inputs if spec.layout}
    still = sized(model, wires)
    views = _views(wires, still, pictures)
    axes = {name: view.axes for name, view in views.items() if view.axes in LAYOUTS}
    among = all_scores(wires, axes)
    found = asked if isinstance(asked, Scores) else named(wires, axes, among, asked) if asked else among[0]
    path, same = on_paths(wires, found.name), holding(wires, found.name)
    images = tuple(pictures) or wires.inputs
    candidates = tuple(layer for layer in layers(wires, path, views, images) if layer.name not in same)
    default, reason = default_layer(wires, still, candidates, found.name)
    scales = levels(wires, found, views, images)
    batched = _batched(wires, still)
    return Anatomy(
        inputs=inputs,
        outputs=tuple(_spec(wires, name) for name in wires.outputs),
        scores=found,
        candidates=among,
        layers=candidates,
        default_layer=default.name if default else "",
        default_layer_reason=reason + _of_levels(scales),
        penultimate=penultimate(wires, path),
        levels=scales,
        head=head(model, wires, default, found.name, batched) if default else Head(OTHER, reason, ()),
        batch=_batch(inputs),
        opset=opset_of(model),
        ir_version=model.ir_version,
        producer=" ".join(part for part in (model.producer_name, model.producer_version) if part),
        parameters=sum(math.prod(t.dims) for t in model.graph.initializer if _learned(wires, t.name)),
        operators=tuple(sorted({n.op_type for n in wires.nodes if not path.isdisjoint(n.output)})),
        selected=_selected(wires),
        arithmetic=arithmetic(model, wires),
        views=views,
        batched=batched,
    )


def _views(wires: Wiring, still: Sized, pictures: Mapping[str, str]) -> dict[str, View]:
    """The views of all tensors that are maps; of tokens only where the file leaves no size of the picture open."""
    followed = follow(still, pictures)
    found: dict[tuple[int, tuple[int, ...]], View | None] = {}  # tensors that share their places share their view
    keys = {name: (id(places), still.shapes[name]) for name, places in followed.items() if name in wires.kinds}
    for name, key in keys.items():
        if key not in found:
            found[key] = _view(followed[name], sizes(wires, name), still, key[1])
    return {name: view for name, key in keys.items() if (view := found[key]) is not None}


def _view(places: Places, declared: tuple[int, ...], still: Sized, shape: tuple[int, ...]) -> View | None:
    view = view_in_order(places, declared if still.free else shape)
    return view or (None if still.free else view_of_tokens(places, shape, still.images))


def _batched(wires: Wiring, still: Sized) -> frozenset[str]:
    """The tensors whose first axis is as long as there are images, and free in the file."""
    first = {name: kind.shape[0] for name, kind in wires.kinds.items() if kind.shape}
    counted = (name for name, shape in still.shapes.items() if shape[:1] == (still.images,) and still.images > 1)
    return frozenset(name for name in counted if isinstance(first.get(name), str))


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
