"""The seedings of transformers: gradients of each block's attention, and attention itself."""

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import ModelProto, NodeProto, helper

from backlit_server.graph.backward import differentiate
from backlit_server.graph.reading.transformer import Transformer, transformer
from backlit_server.graph.reading.view import View
from backlit_server.graph.reading.wiring import wiring
from backlit_server.graph.recording.kinds import kinds_of, value_info
from backlit_server.graph.recording.sym import Array, Sym
from backlit_server.graph.recording.tape import Tape
from backlit_server.graph.seeding.seeded import Seeded, with_gradients

HELD = "held/"  # before the name of tokens as the next block reads them
READ = "read/"  # before the names of what reads the scores off the tokens behind an earlier block


def attention_gradients(model: ModelProto, layer: str, scores: str, *, views: Mapping[str, View]) -> Seeded:
    """`attention_grads` (rows, heads, tokens, tokens) of each block: of the score that is read off its own tokens.

    The head behind the last block reads the scores off the tokens of every block, as if it were the last. A block gets
    the gradient of its own score alone: while the gradient is made, the blocks are apart.
    """
    found = transformer(model, scores, views)
    copies, read = _readers(model, found, scores)
    apart = _apart(copies, [block.stream for block in found.blocks[:-1]])
    attentions = [block.attention for block in found.blocks]
    made = _joined(differentiate(apart, [*read, scores], attentions), [*read, scores], scores)
    return _by_heads(made, layer, found, {"attention_grads": [f"grad/{name}" for name in attentions]})


def attentions(model: ModelProto, layer: str, scores: str, *, views: Mapping[str, View]) -> Seeded:
    """`attentions` (rows, heads, tokens, tokens) of each block, and `read` (rows, tokens): 1 where the scores read."""
    found = transformer(model, scores, views)
    last = found.blocks[-1].stream
    made = with_gradients(model, [last], scores)
    tape = Tape(made, READ)
    read = (abs(Sym(tape, f"grad/{last}")).sum(2) > 0) * 1.0
    made = tape.finish({f"{READ}tokens": read.name})
    seeded = _by_heads(made, layer, found, {"attentions": [block.attention for block in found.blocks]})
    return Seeded(seeded.model, {**seeded.tensors, "read": f"{READ}tokens"})


def _readers(model: ModelProto, found: Transformer, scores: str) -> tuple[ModelProto, list[str]]:
    """The model with the scores of every earlier block beside its own, and their names."""
    wires, kinds = wiring(model), dict(kinds_of(model.graph))
    copy, names = ModelProto(), []
    copy.CopyFrom(model)
    last = found.blocks[-1].stream
    head = [wires.nodes[k] for k in sorted(wires.downstream([last]) & wires.upstream([scores]))]
    for k, block in enumerate(found.blocks[:-1]):
        prefix = f"{READ}{k}/"
        copy.graph.node.extend(_renamed(head, prefix, {last: block.stream}))
        made = [name for node in head for name in node.output if name in kinds]
        copy.graph.value_info.extend(value_info(prefix + name, kinds[name]) for name in made)
        copy.graph.output.append(value_info(prefix + scores, kinds[scores]))
        names.append(prefix + scores)
    return copy, names


def _renamed(nodes: Sequence[NodeProto], prefix: str, given: Mapping[str, str]) -> list[NodeProto]:
    names = {name: prefix + name for node in nodes for name in node.output if name} | dict(given)
    copies = []
    for node in nodes:
        made = NodeProto()
        made.CopyFrom(node)
        made.name = prefix + node.name
        made.input[:] = [names.get(name, name) for name in node.input]
        made.output[:] = [names.get(name, name) for name in node.output]
        copies.append(made)
    return copies


def _apart(model: ModelProto, streams: Sequence[str]) -> ModelProto:
    """The model whose blocks read the tokens before them from inputs, where no gradient passes."""
    kinds = dict(kinds_of(model.graph))
    for node in model.graph.node:
        if not node.name.startswith(READ):
            node.input[:] = [HELD + name if name in streams else name for name in node.input]
    model.graph.input.extend(value_info(HELD + name, kinds[name]) for name in streams)
    return model


def _joined(model: ModelProto, outputs: Sequence[str], scores: str) -> ModelProto:
    """The blocks together again, and one seed for all scores."""
    graph = model.graph
    seeds = {f"grad/{name}" for name in outputs if name != scores}
    held = {i.name.removeprefix(HELD) for i in graph.input if i.name.startswith(HELD)}
    kept = [i for i in graph.input if not i.name.startswith(HELD) and i.name not in seeds]
    nodes = [helper.make_node("Identity", [f"grad/{scores}"], [name]) for name in sorted(seeds)]
    for node in graph.node:
        nodes.append(node)
        nodes += [helper.make_node("Identity", [name], [HELD + name]) for name in node.output if name in held]
    del graph.input[:], graph.node[:]
    graph.input.extend(kept)
    graph.node.extend(nodes)
    return model


def _by_heads(model: ModelProto, layer: str, found: Transformer, named: Mapping[str, Sequence[str]]) -> Seeded:
    """Tensors of attention as (rows, heads, tokens, tokens), however heads and rows share axes."""
    tape = Tape(model, "heads/")

    def by_heads(name: str) -> Array:
        tokens: Array = Sym(tape, layer)
        return Sym(tape, name).reshape(np.concatenate([tokens.dims[:1], tokens.lift([-1, found.count, found.count])]))

    made = {f"heads/{name}": by_heads(name).name for names in named.values() for name in names}
    tensors = {key: tuple(f"heads/{name}" for name in names) for key, names in named.items()}
    return Seeded(tape.finish(made), {"features": layer, **tensors})
