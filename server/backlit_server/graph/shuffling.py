"""Weights shuffled layer by layer, from the scores down: what a sanity check asks heatmaps to notice."""

from collections.abc import Iterator, Mapping

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from backlit_proto.errors import NotExplainable
from backlit_server.graph.gradient_path import label
from backlit_server.graph.macs import MACS
from backlit_server.graph.spelling.elsewhere import out_of_reach, values_of


def shuffled(model: ModelProto, scores: str, layers: int, seed: int) -> ModelProto:
    """The model with the weights of its last layers before the scores in random order, each tensor in itself.

    A layer is a node that multiplies and adds (a row of MACS) with weights of its own; shuffled, they keep their
    distribution, so that nothing overflows. One seed shuffles more layers as it shuffles fewer.
    """
    made = ModelProto()
    made.CopyFrom(model)
    weights = {tensor.name: tensor for tensor in made.graph.initializer}
    draw = np.random.default_rng(seed)
    for names, _ in zip(_layers(made, scores, weights), range(layers), strict=False):
        for name in names:
            _shuffle(weights[name], draw)
    return made


def _layers(model: ModelProto, scores: str, weights: Mapping[str, TensorProto]) -> Iterator[list[str]]:
    """The weights of each layer, the last layer first; those that two layers share are the later one's."""
    makers = {name: node for node in model.graph.node for name in node.output}
    needed, seen = {scores}, set[str]()
    for node in reversed(model.graph.node):
        if needed.isdisjoint(node.output):
            continue
        needed.update(node.input)
        own = [] if label(node) not in MACS else [w for w in _weights(node, makers, weights) if w not in seen]
        seen.update(own)
        if own:
            yield own


def _weights(node: NodeProto, makers: Mapping[str, NodeProto], weights: Mapping[str, TensorProto]) -> list[str]:
    """The weights that a node reads, itself or through nodes of weights alone."""
    found = []
    for name in node.input:
        if name in weights:
            found.append(name)
        elif name in makers and all(i in weights for i in makers[name].input):
            found.extend(makers[name].input)
    return [name for name in found if np.prod(weights[name].dims) > 1]


def _shuffle(tensor: TensorProto, draw: np.random.Generator) -> None:
    if out_of_reach(tensor):
        raise NotExplainable(
            f"the weights {tensor.name!r} lie outside the file, so that they cannot be shuffled: models of more than "
            "1 GiB have no randomisation check"
        )
    values = values_of(tensor)
    tensor.CopyFrom(numpy_helper.from_array(draw.permutation(values.ravel()).reshape(values.shape), tensor.name))
