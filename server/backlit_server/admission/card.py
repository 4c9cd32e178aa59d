"""The card: what the server found in an uploaded file, as a message."""

import numpy as np
import onnx

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BacklitError
from backlit_proto.tensors import DTYPES
from backlit_server.admission.promises import refused, untrue
from backlit_server.engine.models import OpenModel
from backlit_server.graph import Layer, Scores, Spec
from backlit_server.graph.reading import tasks
from backlit_server.methods import METHODS

LAYOUTS = {"NCHW": pb.LAYOUT_NCHW, "NHWC": pb.LAYOUT_NHWC, "": pb.LAYOUT_UNSPECIFIED}
HEADS = {
    "pooling + linear": pb.HEAD_KIND_POOLING_LINEAR,
    "convolution + pooling": pb.HEAD_KIND_CONVOLUTION_POOLING,
    "flatten + dense": pb.HEAD_KIND_FLATTEN_DENSE,
    "other": pb.HEAD_KIND_OTHER,
}
TASKS = {
    tasks.CLASSIFICATION: pb.TASK_CLASSIFICATION,
    tasks.DETECTION: pb.TASK_DETECTION,
    tasks.SEGMENTATION: pb.TASK_SEGMENTATION,
    tasks.REGRESSION: pb.TASK_REGRESSION,
    tasks.EMBEDDING: pb.TASK_EMBEDDING,
    tasks.OTHER: pb.TASK_OTHER,
}
DATA_TYPES = {dtype.name: data_type for data_type, dtype in DTYPES.items()} | {"bfloat16": pb.DATA_TYPE_BFLOAT16}

CLASS_TOKEN = (
    "some tokens of the default layer are at no place, as a class token is: averaged over all places, as by grad-cam, "
    "gradients tell little of any one; hires-cam and layer-cam weigh each place by its own gradient"
)


def card_of(file: onnx.ModelProto, model: OpenModel, scores: np.ndarray | None, checked: pb.SelfCheck) -> pb.Card:
    """The card of an uploaded file that was opened; `scores` are those of a trial run."""
    anatomy = model.anatomy
    refusals = refused(model) | untrue(checked)
    return pb.Card(
        inputs=[pb.Input(tensor=_spec(i), layout=LAYOUTS[i.layout]) for i in anatomy.inputs],
        outputs=[_spec(o) for o in anatomy.outputs],
        scores=_scores(anatomy.scores, scores),
        score_candidates=[_scores(one, None) for one in anatomy.candidates],
        layers=[_layer(layer) for layer in anatomy.layers],
        default_layer=anatomy.default_layer,
        default_layer_reason=anatomy.default_layer_reason,
        head=pb.Head(
            kind=HEADS[anatomy.head.kind],
            explanation=anatomy.head.explanation,
            operators=anatomy.head.operators,
            operators_without_rule=sorted(
                {op for e in refusals.values() for op in e.details.get("ops", "").split(", ") if op}
            ),
        ),
        methods=[_support(name, refusals) for name in METHODS],
        batch=pb.Batch(dynamic=model.batching[0], explanation=model.batching[1]),
        opset=max((o.version for o in file.opset_import if o.domain in ("", "ai.onnx")), default=0),
        ir_version=file.ir_version,
        producer=anatomy.producer,
        parameters=anatomy.parameters,
        self_check=checked,
        arithmetic=pb.Arithmetic(quantised=anatomy.arithmetic.quantised, rewritten=anatomy.arithmetic.rewritten),
        notes=[CLASS_TOKEN] if anatomy.default_layer and anatomy.view_of(anatomy.default_layer).others else [],
    )


def _support(name: str, refusals: dict[str, BacklitError]) -> pb.MethodSupport:
    if name not in refusals:
        return pb.MethodSupport(method=name, available=True)
    return pb.MethodSupport(method=name, why_not=refusals[name].message, reason=refusals[name].reason())


def _scores(scores: Scores, found: np.ndarray | None) -> pb.Scores:
    shape = scores.shape if found is None else (-1, *found.shape[1:])
    data_type = DATA_TYPES.get(scores.dtype, pb.DATA_TYPE_UNSPECIFIED)
    return pb.Scores(
        tensor=pb.TensorSpec(name=scores.name, data_type=data_type, shape=shape, dim_names=[""] * len(shape)),
        output=scores.output,
        activation=scores.activation,
        explanation=scores.explanation,
        task=TASKS[scores.task.kind],
        task_reason=scores.task.why,
        axes=scores.task.axes,
        boxes=scores.task.boxes,
    )


def _spec(spec: Spec) -> pb.TensorSpec:
    data_type = DATA_TYPES.get(spec.dtype, pb.DATA_TYPE_UNSPECIFIED)
    return pb.TensorSpec(name=spec.name, data_type=data_type, shape=spec.shape, dim_names=spec.dim_names)


def _layer(layer: Layer) -> pb.Layer:
    return pb.Layer(
        name=layer.name,
        node=layer.node,
        operator=layer.operator,
        shape=layer.shape,
        on_every_path=layer.on_every_path,
        axes=layer.view.axes,
        height=layer.view.size[0],
        width=layer.view.size[1],
    )
