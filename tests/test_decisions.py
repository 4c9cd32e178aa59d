"""Every operator of the ONNX specification has a gradient, has none anywhere, or is refused with a written reason."""

from collections.abc import Iterator, Sequence

import pytest
from onnx import defs, parser

from backlit_proto.errors import NotDifferentiable
from backlit_server.graph import differentiate
from backlit_server.graph.canonical import NEWEST_OPSET
from backlit_server.graph.opening import is_defined
from backlit_server.graph.stops import FLAT, REFUSED
from backlit_server.graph.vjp import VJPS

FLOATS = ("float", "double", "float16", "bfloat16")
NOT_RUN = {"ai.onnx.preview.FlexAttention"}  # ONNX Runtime has no kernel for it, so no model with it is served


def newest(schemas: Sequence[defs.OpSchema]) -> Iterator[defs.OpSchema]:
    """Of every operator the version that a canonical model can hold: the conversion replaces deprecated ones."""
    last = {(s.domain, s.name): s for s in sorted(schemas, key=lambda s: s.since_version) if loadable(s)}
    return (s for s in last.values() if s.domain or not s.deprecated)


def loadable(schema: defs.OpSchema) -> bool:
    return bool(schema.domain) or schema.since_version <= NEWEST_OPSET


def name_of(schema: defs.OpSchema) -> str:
    return f"{schema.domain}.{schema.name}" if schema.domain else schema.name


def carries_floats(schema: defs.OpSchema, values: Sequence[defs.OpSchema.FormalParameter]) -> bool:
    types = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    allowed = [kind for v in values for kind in types.get(v.type_str, [v.type_str])]
    return any(f"tensor({kind})" in text for text in allowed for kind in FLOATS)


OPERATORS = {name_of(s): s for s in newest(defs.get_all_schemas_with_history())}


def test_no_standard_operator_is_undecided() -> None:
    moving = {name for name, s in OPERATORS.items() if carries_floats(s, s.inputs) and carries_floats(s, s.outputs)}
    assert len(moving) > 150
    written = {name for name in moving if is_defined(name, NEWEST_OPSET)}
    assert moving - set(VJPS) - FLAT - set(REFUSED) - written == NOT_RUN


def test_what_defines_an_operator_is_decided_too() -> None:
    inner = {node.op_type for s in OPERATORS.values() if not s.domain for node in s.function_body.node}
    assert not inner - set(VJPS) - FLAT - set(REFUSED) - {op for op in inner if is_defined(op, NEWEST_OPSET)}


def test_an_operator_is_decided_once() -> None:
    assert not set(VJPS) & FLAT
    assert not set(VJPS) & set(REFUSED)
    assert not FLAT & set(REFUSED)


def test_only_real_operators_are_listed() -> None:
    assert not (set(VJPS) | FLAT | set(REFUSED)) - set(OPERATORS)


@pytest.mark.parametrize(("node", "reason"), [("Bernoulli(x)", "draws random"), ("other.Thing(x)", "no operator of")])
def test_the_reason_is_told(node: str, reason: str) -> None:
    header = '<ir_version: 10, opset_import: ["" : 21, "other" : 1]>'
    net = parser.parse_model(f"{header} net (float[2,3] x) => (float[2,3] y) {{ y = {node} }}")
    with pytest.raises(NotDifferentiable, match=reason):
        differentiate(net, ["y"], ["x"])
