"""What people and exporters wrote into a file beside its graph: onnx's tools lose it on the way."""

from collections.abc import Iterable, Iterator
from typing import Any

from onnx import ModelProto

ABOUT = ("producer_name", "producer_version", "domain", "model_version")  # of a model as a whole


def annotate(target: ModelProto, source: ModelProto) -> ModelProto:
    """The target, with the doc strings and metadata of the source where it has none of its own; in place.

    Inputs, outputs, weights and nodes are the same ones if they have, or make, tensors of the same name.
    """
    for name in ABOUT:
        if not getattr(target, name):
            setattr(target, name, getattr(source, name))
    _annotate(target, source)
    _annotate(target.graph, source.graph)
    if not target.graph.quantization_annotation:
        target.graph.quantization_annotation.extend(source.graph.quantization_annotation)
    written = dict(_parts(source))
    for place, part in _parts(target):
        if place in written:
            _annotate(part, written[place])
    return target


def _annotate(target: Any, source: Any) -> None:  # any message of a model: all have these two fields
    if source.doc_string and not target.doc_string:
        target.doc_string = source.doc_string
    if source.metadata_props:
        known = {entry.key for entry in target.metadata_props}
        target.metadata_props.extend(entry for entry in source.metadata_props if entry.key not in known)


def _parts(model: ModelProto) -> Iterator[tuple[tuple[str, str], Any]]:
    """The parts of the main graph by kind and tensor."""
    graph = model.graph
    named: dict[str, Iterable[Any]] = {"input": graph.input, "output": graph.output, "weight": graph.initializer}
    for kind, parts in named.items():
        yield from (((kind, part.name), part) for part in parts)
    yield from ((("node", node.output[0]), node) for node in graph.node if node.output)
