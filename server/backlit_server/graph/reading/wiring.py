"""Who makes and who reads each tensor of a model: the graph as anatomy and cut walk it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from onnx import ModelProto, NodeProto, TensorProto

from backlit_server.graph.recording.kinds import Kind, kinds_of
from backlit_server.graph.spelling.reads import reads

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli")


@dataclass(frozen=True)
class Wiring:
    """Nodes by position; tensors by name. `constants` are the same in every run: weights and what is made of them."""

    nodes: tuple[NodeProto, ...]
    reads: tuple[tuple[str, ...], ...]
    maker: Mapping[str, int]
    readers: Mapping[str, tuple[int, ...]]
    kinds: Mapping[str, Kind]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: frozenset[str]
    constants: frozenset[str]

    def float(self, name: str) -> bool:
        """Whether a tensor holds floats, as far as is known."""
        return name in self.kinds and self.kinds[name].dtype in FLOATS

    def downstream(self, tensors: Iterable[str]) -> set[int]:
        """The nodes whose results depend on these tensors, in whatever way."""
        reached, found = set(tensors), set()
        for k, needed in enumerate(self.reads):
            if not reached.isdisjoint(needed):
                found.add(k)
                reached.update(self.nodes[k].output)
        return found

    def upstream(self, tensors: Iterable[str]) -> set[int]:
        """The nodes that these tensors depend on, in whatever way."""
        needed, found = set(tensors), set()
        for k in reversed(range(len(self.nodes))):
            if not needed.isdisjoint(self.nodes[k].output):
                found.add(k)
                needed.update(self.reads[k])
        return found


def wiring(model: ModelProto) -> Wiring:
    """The wiring of a canonical model."""
    graph = model.graph
    nodes = tuple(graph.node)
    taken = tuple(tuple(reads(node)) for node in nodes)
    maker = {name: k for k, node in enumerate(nodes) for name in node.output if name}
    readers: dict[str, tuple[int, ...]] = {}
    for k, names in enumerate(taken):
        for name in dict.fromkeys(names):
            readers[name] = (*readers.get(name, ()), k)
    weights = {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    constants = set(weights)
    for node, names in zip(nodes, taken, strict=True):
        if node.op_type not in RANDOM and constants.issuperset(names):
            constants.update(name for name in node.output if name)
    inputs = tuple(i.name for i in graph.input if i.name not in weights)
    outputs = tuple(o.name for o in graph.output)
    kinds = dict(kinds_of(graph))
    return Wiring(nodes, taken, maker, readers, kinds, inputs, outputs, frozenset(weights), frozenset(constants))
