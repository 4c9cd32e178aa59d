"""A model whose quantised and fused operators are written in standard ones: the walk. LOWERINGS knows the operators.

Each node is written on a tape of its own, and what was written takes the node's place. Names of tensors stay, and
what two nodes write alike, as the floats of a quantised tensor that both read, is there once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, defs, helper, shape_inference

from backlit_proto.errors import BadModel, NotDifferentiable
from backlit_server.graph.gradient_path import label
from backlit_server.graph.lowering.table import LOWERINGS, MICROSOFT
from backlit_server.graph.recording.kinds import kinds_of, value_info
from backlit_server.graph.recording.schema import attributes_of
from backlit_server.graph.recording.sym import FLOATS, Sym
from backlit_server.graph.recording.tape import Tape, opset_of
from backlit_server.graph.spelling.reads import names_in

BLOCKED = "com.microsoft.nchwc"
FLOATING = "/dequantized"  # behind the name of a quantised tensor: the floats that it stands for


@dataclass(frozen=True)
class Draft:
    """The graph as it is written anew. `typed`: what is known of each tensor; `whole`: floats cast to integers."""

    graph: GraphProto
    opset: int
    typed: dict[str, ValueInfoProto]
    taken: frozenset[str]
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, TensorProto] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    written: dict[tuple[str, ...], Sequence[str]] = field(default_factory=dict)
    whole: dict[str, str] = field(default_factory=dict)


def lower(model: ModelProto) -> Counter[str]:
    """Writes a model's quantised and fused operators anew, in place; which, and how many nodes of each.

    A node that its row cannot write stays. BadModel for graphs whose tensors are blocked for one processor.
    """
    graph = model.graph
    if any(node.domain == BLOCKED for node in graph.node):
        raise BadModel(
            "the model was optimised for one processor by ONNX Runtime (operators of com.microsoft.nchwc); "
            "give the unoptimised model, or save it with graph_optimization_level ORT_ENABLE_EXTENDED at most"
        )
    found: Counter[str] = Counter()
    if not any(label(node) in LOWERINGS for node in graph.node):
        return found
    draft = _draft(model)
    for node in graph.node:
        if label(node) in LOWERINGS and _write(draft, node):
            found[label(node)] += 1
        else:
            _take(draft, node)
    _replace(model, draft)
    return found


def claim(model: ModelProto) -> None:
    """Moves operators that the specification does not hold at the model's opset to where their rows are, in place.

    ONNX Runtime keeps a few in the main domain: those of opset 1 that were taken back, and its own normalisations.
    Its tools forget to import the domain of the others.
    """
    opset = opset_of(model)
    for node in model.graph.node:
        if not node.domain and f"{MICROSOFT}.{node.op_type}" in LOWERINGS and not defs.has(node.op_type, opset):
            node.domain = MICROSOFT
    domains = {o.domain for o in model.opset_import}
    if MICROSOFT not in domains and any(node.domain == MICROSOFT for node in model.graph.node):
        model.opset_import.add(domain=MICROSOFT, version=1)


def _draft(model: ModelProto) -> Draft:
    graph = model.graph
    typed = {name: value_info(name, kind) for name, kind in kinds_of(graph)}
    constants = {t.name: t for t in graph.initializer}
    return Draft(graph, opset_of(model), typed, frozenset(names_in(graph)), constants=constants)


def _take(draft: Draft, node: NodeProto) -> None:
    """A node as it is, its results typed as far as can be told."""
    _rename(draft, node)
    if node.op_type == "Cast" and node.input[0] in draft.whole and attributes_of(node, draft.opset)["to"] in FLOATS:
        node.input[0] = draft.whole[node.input[0]]  # whole numbers, cast and cast back
    draft.nodes.append(node)
    if node.domain:  # what is known of its results is what the file says
        return
    excerpt = _excerpt(draft, node)
    excerpt.graph.node.append(node)
    excerpt.graph.output.extend(ValueInfoProto(name=name) for name in node.output if name)
    inferred = shape_inference.infer_shapes(excerpt, data_prop=True)
    for value in inferred.graph.output:
        if value.type.WhichOneof("value"):
            draft.typed[value.name] = value


def _excerpt(draft: Draft, node: NodeProto) -> ModelProto:
    """A model of what a node reads, and of no node.

    Of constants it holds those that are shapes: with the others the tape would compute what is to stay quantised.
    """
    given = [draft.renamed.get(name, name) for name in node.input if name]
    excerpt = ModelProto(ir_version=10, opset_import=[helper.make_opsetid("", draft.opset)])
    excerpt.graph.name = "excerpt"
    for name in dict.fromkeys(given):
        if name in draft.constants and draft.constants[name].data_type == TensorProto.INT64:
            excerpt.graph.initializer.append(draft.constants[name])
        elif name in draft.typed:
            excerpt.graph.input.append(draft.typed[name])
    return excerpt


def _write(draft: Draft, node: NodeProto) -> bool:
    """What the row of a node writes, in its place; False where the row refuses."""
    excerpt = _excerpt(draft, node)
    tape = Tape(excerpt, _prefix(draft, node))
    inputs = [Sym(tape, draft.renamed.get(name, name)) if name else None for name in node.input]
    try:
        made = LOWERINGS[label(node)](*inputs, **attributes_of(node, draft.opset))
    except NotDifferentiable:
        return False
    results = made if isinstance(made, tuple) else (made,)
    wanted = {name: sym for name, sym in zip(node.output, results, strict=False) if name and sym is not None}
    if len(wanted) < sum(map(bool, node.output)):
        return False
    _splice(draft, tape.finish({name: sym.name for name, sym in wanted.items()}).graph, node)
    return True


def _prefix(draft: Draft, node: NodeProto) -> str:
    prefix = f"{node.output[0]}/"
    while any(name.startswith(prefix) for name in draft.taken):
        prefix += "~/"
    return prefix


def _splice(draft: Draft, written: GraphProto, node: NodeProto) -> None:
    """Puts the nodes of an excerpt into the draft; those that are there already are used again.

    The nodes that only name the results stand last: where possible those before take the names instead.
    """
    draft.constants.update((t.name, t) for t in written.initializer)
    draft.typed.update((value.name, value) for value in (*written.value_info, *written.output))
    naming = {made.output[0]: made.input[0] for made in written.node if made.output[0] in node.output}
    wishes = {source: name for name, source in reversed(naming.items())}
    body = [made for made in written.node if made.output[0] not in naming]
    speaking = [made for made in body if _float(draft, made.output[0])] or body
    if speaking and node.name:  # asked for by the name of the node, a layer is its last float tensor
        speaking[-1].name = node.name
    for made in written.node:
        _rename(draft, made)
        if made.output[0] in naming:
            if made.input[0] != made.output[0]:
                draft.nodes.append(made)
        elif (key := _key(made)) in draft.written:
            draft.renamed.update(zip(made.output, draft.written[key], strict=True))
        else:
            _add(draft, made, wishes)
            draft.written[key] = tuple(made.output)


def _add(draft: Draft, made: NodeProto, wishes: Mapping[str, str]) -> None:
    for k, name in enumerate(made.output):
        floating = made.input[0] + FLOATING if made.op_type == "DequantizeLinear" else name
        new = wishes.get(name, name if floating in draft.taken else floating)
        if new != name:
            draft.renamed[name] = made.output[k] = new
            draft.typed[new] = ValueInfoProto(name=new, type=draft.typed[name].type)
    if made.op_type == "Cast" and _float(draft, made.input[0]) and not _float(draft, made.output[0]):
        draft.whole[made.output[0]] = made.input[0]
    draft.nodes.append(made)


def _rename(draft: Draft, node: NodeProto) -> None:
    for k, name in enumerate(node.input):
        node.input[k] = draft.renamed.get(name, name)


def _key(node: NodeProto) -> tuple[str, ...]:
    """What makes two nodes alike."""
    return node.op_type, *node.input, *sorted(a.SerializeToString(deterministic=True).hex() for a in node.attribute)


def _float(draft: Draft, name: str) -> bool:
    return name in draft.typed and draft.typed[name].type.tensor_type.elem_type in FLOATS


def _replace(model: ModelProto, draft: Draft) -> None:
    """The draft as the model's graph; domains that nothing is left of are no longer imported."""
    graph = model.graph
    del graph.node[:], graph.initializer[:]
    graph.node.extend(draft.nodes)
    graph.initializer.extend(draft.constants.values())
    used = {"", *(node.domain for node in graph.node)}
    opsets = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(opsets)
