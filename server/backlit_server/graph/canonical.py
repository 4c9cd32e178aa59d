"""One spelling a model: functions inlined, one opset, constants as initialisers, nodes sorted, shapes known.

Rules, cuts and cards are written for this form alone. Tensor names of the main graph stay.
"""

from collections.abc import Collection

from onnx import (
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    ValueInfoProto,
    checker,
    helper,
    inliner,
    shape_inference,
    version_converter,
)

from backlit_proto.errors import BadModel
from backlit_server.graph.lowering.lower import claim, lower
from backlit_server.graph.recording.tape import opset_of
from backlit_server.graph.spelling.annotations import annotate
from backlit_server.graph.spelling.aside import external, put_back, set_aside
from backlit_server.graph.spelling.attempt import attempt
from backlit_server.graph.spelling.batched_scan import hide, unbatch
from backlit_server.graph.spelling.hoist import hoist
from backlit_server.graph.spelling.naming import name_apart
from backlit_server.graph.spelling.reads import subgraphs
from backlit_server.graph.spelling.rewritten import note
from backlit_server.graph.spelling.settle import settled
from backlit_server.graph.spelling.sort import sort

OPSET, NEWEST_OPSET = 21, 26  # what the rules are written for, what ONNX Runtime 1.31 loads
IR, NEWEST_IR = 10, 13
PLAIN_SCAN = 9  # before this opset Scan had a batch axis
FLAT_SOFTMAX = 13  # before this opset Softmax worked on a matrix, whatever the rank of its input
MAIN_DOMAIN = ("", "ai.onnx")
ANONYMOUS = ("", "?", "-1", "None")  # how exporters spell a dimension they know nothing of


def canonical(model: ModelProto, kept: Collection[str] = ()) -> ModelProto:
    """The same model in the form the rest of this room reads: opset 21 to 26, IR 10 to 13.

    The argument is not changed. Tensors in `kept` are not folded, even where they are the same in every run. Large
    weights stand aside while onnx's C++ tools hold the graph: those serialise it, which would cost time and ends at
    2 GiB. BadModel for what onnx.checker refuses and for opsets that ONNX Runtime cannot load.
    """
    _refuse(model)
    light, weights = set_aside(model)
    _spell(light)
    claim(light)
    sort(light.graph)
    light = _inlined(light)
    _check(light)
    for name, weight in weights.items():
        if not external(weight):
            attempt(f"the weight {name!r} is damaged", lambda weight=weight: checker.check_tensor(weight))
    light = _converted(light)
    hoist(light.graph)
    light, lifted = set_aside(light)
    weights |= lifted
    note(light, lower(light))
    return annotate(put_back(settled(light, weights, frozenset(kept)), weights), model)


def _check(light: ModelProto) -> None:
    """What onnx.checker says, but for outputs without a shape: their shapes are inferred in any case."""
    tensors = [o.type.tensor_type for o in light.graph.output if o.type.HasField("tensor_type")]
    blank = [tensor for tensor in tensors if not tensor.HasField("shape")]
    for tensor in blank:
        tensor.shape.SetInParent()
    attempt("onnx.checker refuses the file", lambda: checker.check_model(light))
    for tensor in blank:
        tensor.ClearField("shape")


def _refuse(model: ModelProto) -> None:
    versions = [o.version for o in model.opset_import if o.domain in MAIN_DOMAIN]
    if not model.graph.node:
        raise BadModel("the file holds no operators; upload an ONNX model with a graph")
    if not model.graph.output:
        raise BadModel("the model has no output; export it again with its scores as output")
    if not model.opset_import:
        raise BadModel(
            f"the file does not say its opset (IR version {model.ir_version}, a format of 2017 or a damaged file); "
            f"export the model again, with any opset up to {NEWEST_OPSET}"
        )
    if versions and max(versions) > NEWEST_OPSET:
        raise BadModel(
            f"the model is of opset {max(versions)}; up to {NEWEST_OPSET} can be served: "
            f"export it again with opset {NEWEST_OPSET} or lower"
        )


def _spell(model: ModelProto) -> None:
    """The main domain is "", the IR version is one that ONNX Runtime loads, unknown input sizes have names."""
    model.ir_version = min(max(model.ir_version, IR), NEWEST_IR)
    for part in (model, *model.functions):
        for opset in part.opset_import:
            opset.domain = "" if opset.domain in MAIN_DOMAIN else opset.domain
        if not any(opset.domain == "" for opset in part.opset_import):
            part.opset_import.add(domain="", version=OPSET)
    for nodes in (model.graph.node, *(f.node for f in model.functions)):
        _spell_nodes(nodes)
    name_apart(model.graph)
    for value in model.graph.input:
        _name_sizes(value)


def _spell_nodes(nodes) -> None:
    for node in nodes:
        node.domain = "" if node.domain in MAIN_DOMAIN else node.domain
        _spell_out(node)
        for graph in subgraphs(node):
            _spell_nodes(graph.node)


def _spell_out(node: NodeProto) -> None:
    """What a node leaves to be understood: the mask of a Dropout in training, which only that run knows, and the half
    spectrum of an STFT, a default that onnx's shape inference does not know.
    """
    if node.op_type == "Dropout" and node.input[2:] and not any(node.output[1:]):
        node.output[:] = [node.output[0], f"{node.output[0]}/mask"]
    if node.op_type == "STFT" and not node.attribute:
        node.attribute.append(helper.make_attribute("onesided", 1))


def _name_sizes(value: ValueInfoProto) -> None:
    tensor = value.type.tensor_type
    for axis, dim in enumerate(tensor.shape.dim):
        if dim.dim_value < 0 or (not dim.HasField("dim_value") and dim.dim_param in ANONYMOUS):
            dim.dim_param = f"{value.name}[{axis}]"


def _inlined(model: ModelProto) -> ModelProto:
    """Without local functions, which the converter drops, and GroupNormalization-18, whose scale it would misread."""
    if model.functions:
        model = attempt("a function cannot be inlined", lambda: inliner.inline_local_functions(model))
        _spell(model)
    if 18 <= opset_of(model) < 21 and any(n.op_type == "GroupNormalization" for n in model.graph.node):
        model = _without_group_normalization(model)
    return model


def _without_group_normalization(model: ModelProto) -> ModelProto:
    """Written out by the specification's own function; the inliner wants the types of all that it touches."""
    what_failed = "GroupNormalization of opset 18 cannot be expanded"
    shaped = attempt(what_failed, lambda: shape_inference.infer_shapes(model))
    weights = shaped.graph.initializer
    shaped.graph.value_info.extend(helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in weights)
    wanted = [("", "GroupNormalization")]
    return attempt(what_failed, lambda: inliner.inline_selected_functions(shaped, wanted, False, True))


def _converted(model: ModelProto) -> ModelProto:
    version, ir_version = opset_of(model), model.ir_version
    others = [o for o in model.opset_import if o.domain]
    if version < PLAIN_SCAN:
        hide(model, _convert)
    if version < FLAT_SOFTMAX:  # the first conversion is for its shapes: where the rank is known, Softmax stays alone
        _learn_shapes(model, _convert(model))
    if version < OPSET:
        model = _convert(model)
        model.ir_version = ir_version
    unbatch(model)
    main = OperatorSetIdProto(domain="", version=max(version, OPSET))
    del model.opset_import[:]
    model.opset_import.extend([main, *others])
    return model


def _convert(model: ModelProto) -> ModelProto:
    """At OPSET. The converter gives some tensors names of its own, but no outputs: so those are outputs meanwhile."""
    message = f"opset {opset_of(model)} cannot be converted to opset {OPSET}; export the model again with opset {OPSET}"
    converted = attempt(message, lambda: version_converter.convert_version(model, OPSET))
    count, lost = len(model.graph.output), sorted(_made(model) - _made(converted))
    if lost:
        model.graph.output.extend(ValueInfoProto(name=name) for name in lost)
        converted = attempt(message, lambda: version_converter.convert_version(model, OPSET))
        for graph in (model.graph, converted.graph):
            del graph.output[count:]
    return converted


def _made(model: ModelProto) -> set[str]:
    return {name for node in model.graph.node for name in node.output if name}


def _learn_shapes(model: ModelProto, converted: ModelProto) -> None:
    made = {name for node in model.graph.node for name in node.output}
    shaped = shape_inference.infer_shapes(converted, data_prop=True)
    del model.graph.value_info[:]
    model.graph.value_info.extend(value for value in shaped.graph.value_info if value.name in made)
