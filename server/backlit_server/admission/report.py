"""Everything there is to say about a file, for `backlit doctor`: the card, and what stands behind it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from onnx import ModelProto, TensorProto

from backlit_proto.errors import BacklitError, NotForThisModel
from backlit_server.admission.card import card_of
from backlit_server.admission.closed_forms import closed_forms
from backlit_server.admission.costs import costs
from backlit_server.admission.operators import MEANINGS, operators
from backlit_server.admission.selfcheck import self_check
from backlit_server.admission.trial import try_out
from backlit_server.engine.files import ModelFile, read
from backlit_server.engine.opening import open_model
from backlit_server.engine.runtime import Runtime
from backlit_server.graph.gradient_path import label
from backlit_server.graph.lowering.table import QUANTISED
from backlit_server.graph.vjp import ROUNDED

EVERYTHING, NOT_ALL, NOTHING = 0, 1, 2  # what of the methods works
HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def report(path: Path, runtime: Runtime) -> dict[str, Any]:
    """A JSON object. `status`: 0 all methods for such a model work, 1 some do not, 2 none: see `refusal`."""
    found: dict[str, Any] = {"status": NOTHING, "file": {"bytes": path.stat().st_size}, "meanings": MEANINGS}
    try:
        file = read(path)
        found["file"] |= _told(file.model)
        found["operators"] = operators(file.model, ())
        return found | _examined(file, runtime)
    except BacklitError as error:
        return found | {"refusal": _refusal(error)}


def _examined(file: ModelFile, runtime: Runtime) -> dict[str, Any]:
    model = open_model(file.model, runtime, file.folder)
    card = card_of(file.model, model, try_out(file, model, runtime), self_check(model))
    refused = any(not row.available and row.reason != NotForThisModel.reason() for row in card.methods)
    return {
        "status": NOT_ALL if refused else EVERYTHING,
        "operators": operators(file.model, card.head.operators_without_rule),
        "card": MessageToDict(card, preserving_proto_field_name=True),
        "costs": _tried(lambda: costs(model)),
        "closed_forms": _tried(lambda: closed_forms(model)),
    }


def _told(file: ModelProto) -> dict[str, Any]:
    """What the file says of itself."""
    return {
        "ir_version": file.ir_version,
        "opsets": {str(opset.domain or "ai.onnx"): opset.version for opset in file.opset_import},
        "producer": f"{file.producer_name} {file.producer_version}".strip(),
        "nodes": len(file.graph.node),
        "functions": len(file.functions),
        "precision": _precision(file),
    }


def _precision(file: ModelProto) -> str:
    if any(label(node) in ROUNDED or label(node) in QUANTISED for node in file.graph.node):
        return "quantised"
    inputs = [value.type.tensor_type.elem_type for value in file.graph.input]
    types = {*inputs, *(tensor.data_type for tensor in file.graph.initializer)}
    if not types.isdisjoint(HALVES):
        return "half"
    return "double" if TensorProto.DOUBLE in types and TensorProto.FLOAT not in types else "single"


def _tried(section: Callable[[], Any]) -> Any:
    """A section of the report; what refuses it does not cost the others."""
    try:
        return section()
    except BacklitError as error:
        return {"refusal": _refusal(error)}


def _refusal(error: BacklitError) -> dict[str, str]:
    return {"reason": error.reason(), "message": error.message}
