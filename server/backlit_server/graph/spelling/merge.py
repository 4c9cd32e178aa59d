"""Batch norms merged into the convolutions before them: the same function with fewer layers.

Relevance is shared by what a layer's inputs contribute. A convolution and its batch norm are one layer: taken apart,
the shift of the batch norm would swallow what belongs to the inputs (Guillemot et al., "Breaking batch normalization
for better explainability of deep neural networks through layer-wise relevance propagation", 2020).
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from backlit_server.graph.canonical import canonical
from backlit_server.graph.recording.schema import attributes_of
from backlit_server.graph.recording.tape import opset_of
from backlit_server.graph.spelling.elsewhere import out_of_reach, values_of
from backlit_server.graph.spelling.reads import names_read


def merged(model: ModelProto) -> ModelProto:
    """The canonical model; a BatchNormalization that alone reads a Conv with constant weights has become part of it.

    The Conv then has the output of the batch norm; the tensor between the two is no more.
    """
    made = canonical(model)
    graph = made.graph
    values = {t.name: values_of(t) for t in graph.initializer if not out_of_reach(t)}
    readers = Counter(names_read(graph))
    makers = {node.output[0]: node for node in graph.node if node.op_type == "Conv"}
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization" and len(node.output) == 1]:
        conv = makers.get(norm.input[0])
        if conv is not None and readers[norm.input[0]] == 1 and _known(conv, values) and _known(norm, values):
            _merge(made, conv, norm, values)
    return made


def _known(node: NodeProto, values: Mapping[str, np.ndarray]) -> bool:
    return all(name in values for name in node.input[1:] if name)


def _merge(model: ModelProto, conv: NodeProto, norm: NodeProto, values: Mapping[str, np.ndarray]) -> None:
    """y = scale (conv - mean) / sqrt(variance + epsilon) + shift, as weights and bias of the convolution."""
    scale, shift, mean, variance = (values[name].astype(np.float64) for name in norm.input[1:])
    factor = scale / np.sqrt(variance + attributes_of(norm, opset_of(model))["epsilon"])
    weight = values[conv.input[1]]
    bias = values[conv.input[2]] if len(conv.input) > 2 and conv.input[2] else 0
    new = {
        "weight": weight * factor.reshape(-1, *[1] * (weight.ndim - 1)),
        "bias": (bias - mean) * factor + shift,
    }
    name = norm.output[0]
    for part, value in new.items():
        model.graph.initializer.append(numpy_helper.from_array(value.astype(weight.dtype), f"{name}/merged {part}"))
    conv.input[:] = [conv.input[0], *(f"{name}/merged {part}" for part in new)]
    conv.output[0] = name
    model.graph.node.remove(norm)
