"""The model card: what the server found in the file, as frozen values."""

from dataclasses import dataclass

from backlit.selfcheck import SelfCheck, read_self_check
from backlit.specs import Input, TensorSpec, dimensions
from backlit.words import word
from backlit_proto import backlit_pb2 as pb


@dataclass(frozen=True)
class Scores:
    """The tensor that is explained, the output it leads to, and the activation between them that is left out.

    `task` is what the scores are for, "classification", "detection", "segmentation", "regression", "embedding" or
    "other", and decides what is explained where a question names no target. `axes` is what each axis after the batch
    counts: classes C, anchors A, height H, width W; "" where it is not known. `boxes` is a detector's tensor of boxes.
    """

    tensor: TensorSpec
    output: str
    activation: str
    explanation: str
    task: str
    task_reason: str
    axes: str
    boxes: str

    def __str__(self) -> str:
        left_out = f" (before {self.activation})" if self.activation else ""
        return f"{self.tensor}{left_out}"


@dataclass(frozen=True)
class Layer:
    """A tensor a heatmap can be asked at.

    `axes` says what each axis holds: N images, C channels, H height, W width, T tokens; brackets: several in one axis,
    the outer first. `size` is (height, width) of its heatmaps, -1 where the file leaves it open.
    """

    name: str
    node: str
    operator: str
    shape: tuple[int, ...]
    on_every_path: bool
    axes: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Head:
    """What lies between the default layer and the scores; `kind` is "pooling-linear", "flatten-dense", ..."""

    kind: str
    explanation: str
    operators: tuple[str, ...]
    operators_without_rule: tuple[str, ...]


@dataclass(frozen=True)
class MethodSupport:
    """Whether the model can answer a method, and if not, why not and what to use instead."""

    method: str
    available: bool
    why_not: str


@dataclass(frozen=True)
class Batch:
    """Whether several images go through in one run, and how that was found out."""

    dynamic: bool
    explanation: str


@dataclass(frozen=True)
class Arithmetic:
    """How the model computes, and what of it was written anew: "26 QLinearConv dequantised".

    `quantised`: gradients are those of the dequantised arithmetic, straight through each rounding, and zero where a
    value was cut off.
    """

    quantised: bool
    rewritten: tuple[str, ...]

    @classmethod
    def read(cls, message: pb.Arithmetic) -> "Arithmetic":
        return cls(message.quantised, tuple(message.rewritten))

    def __str__(self) -> str:
        straight = "quantised; gradients are straight through, on the dequantised arithmetic" if self.quantised else ""
        return "; ".join(text for text in (straight, *self.rewritten) if text)


@dataclass(frozen=True)
class Card:
    """Everything the server found in the file; `print(model.card)` shows it on one page."""

    inputs: tuple[Input, ...]
    outputs: tuple[TensorSpec, ...]
    scores: Scores
    score_candidates: tuple[Scores, ...]
    layers: tuple[Layer, ...]
    default_layer: str
    default_layer_reason: str
    head: Head
    methods: tuple[MethodSupport, ...]
    batch: Batch
    arithmetic: Arithmetic
    notes: tuple[str, ...]
    execution_provider: str
    opset: int
    ir_version: int
    producer: str
    parameters: int
    self_check: SelfCheck | None

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width of the image input, where the file fixes them."""
        return next((i.size for i in self.inputs if i.layout), None)

    def __str__(self) -> str:
        rows = (row for title, texts in _page(self).items() for row in _rows(title, texts))
        return "\n".join(f"{title:<12}{text}" for title, text in rows)


def read_card(message: pb.Card) -> Card:
    """The card as it came over the wire."""
    return Card(
        inputs=tuple(Input(TensorSpec.read(i.tensor), word(pb.Layout, i.layout)) for i in message.inputs),
        outputs=tuple(TensorSpec.read(output) for output in message.outputs),
        scores=_scores(message.scores),
        score_candidates=tuple(_scores(scores) for scores in message.score_candidates),
        layers=tuple(_layer(layer) for layer in message.layers),
        default_layer=message.default_layer,
        default_layer_reason=message.default_layer_reason,
        head=_head(message.head),
        methods=tuple(MethodSupport(m.method, m.available, m.why_not) for m in message.methods),
        batch=Batch(message.batch.dynamic, message.batch.explanation),
        arithmetic=Arithmetic.read(message.arithmetic),
        notes=tuple(message.notes),
        execution_provider=message.execution_provider,
        opset=message.opset,
        ir_version=message.ir_version,
        producer=message.producer,
        parameters=message.parameters,
        self_check=read_self_check(message),
    )


def _scores(message: pb.Scores) -> Scores:
    return Scores(
        tensor=TensorSpec.read(message.tensor),
        output=message.output,
        activation=message.activation,
        explanation=message.explanation,
        task=word(pb.Task, message.task).lower(),
        task_reason=message.task_reason,
        axes=message.axes,
        boxes=message.boxes,
    )


def _layer(m: pb.Layer) -> Layer:
    return Layer(m.name, m.node, m.operator, tuple(m.shape), m.on_every_path, m.axes, (m.height, m.width))


def _head(message: pb.Head) -> Head:
    kind = word(pb.HeadKind, message.kind).lower().replace("_", "-")
    return Head(kind, message.explanation, tuple(message.operators), tuple(message.operators_without_rule))


def _page(card: Card) -> dict[str, list[str]]:
    """The rows of the printed card by their title."""
    others = [scores for scores in card.score_candidates if scores.tensor.name != card.scores.tensor.name]
    return {
        "input": [str(i) for i in card.inputs],
        "output": [str(o) for o in card.outputs],
        "scores": [str(card.scores), card.scores.explanation],
        "or": [f"{scores}  {scores.task}" for scores in others],
        "task": [card.scores.task, card.scores.task_reason],
        "layer": [card.default_layer or "none", card.default_layer_reason],
        "head": [card.head.kind, card.head.explanation],
        "methods": [", ".join(m.method for m in card.methods if m.available) or "none"],
        "why not": [f"{m.method}: {m.why_not}" for m in card.methods if not m.available],
        "check": _checks(card.self_check),
        "batch": ["several images a run" if card.batch.dynamic else "one image a run", card.batch.explanation],
        "arithmetic": [str(card.arithmetic)],
        "runs on": [card.execution_provider],
        "file": [f"opset {card.opset}, IR {card.ir_version}, {card.parameters:,} parameters", card.producer],
        "notes": list(card.notes),
        # Last, since there can be a hundred of them.
        "layers": [f"{_layer_text(layer)}{' *' if layer.name == card.default_layer else ''}" for layer in card.layers],
    }


def _checks(found: SelfCheck | None) -> list[str]:
    return [f"head: {found.head}", f"network: {found.network}"] if found else []


def _layer_text(layer: Layer) -> str:
    around = "" if layer.on_every_path else "  (not on every path)"
    tokens = f" as {layer.size[0]}x{layer.size[1]}" if "T" in layer.axes else ""
    return f"{layer.name}  {layer.operator} {dimensions(layer.shape)} {layer.axes}{tokens}{around}"


def _rows(title: str, texts: list[str]) -> list[tuple[str, str]]:
    """The title on the first line of its rows only; nothing where there is nothing to say."""
    said = [text for text in texts if text]
    return [("" if row else title, text) for row, text in enumerate(said)]
