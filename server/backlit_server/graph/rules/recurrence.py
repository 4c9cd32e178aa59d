"""What turns, backward: a Scan over the turns in the opposite order that carries the gradients of the states."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnx import GraphProto, helper

from backlit_server.graph.recording.kinds import value_info
from backlit_server.graph.recording.sym import Sym


@dataclass(frozen=True)
class State:
    """What a turn gets from the one before: its names in the body, its first value, the gradient of its last."""

    before: str
    after: str
    first: Sym
    g: Sym | None


@dataclass(frozen=True)
class Stream:
    """A tensor read or written piece by piece along an axis, from its start (direction 0) or its end (1)."""

    tensor: Sym
    axis: int = 0
    direction: int = 0


@dataclass(frozen=True)
class Turns:
    """All that a node with a turning body reads and gives: `streams` by the inputs of the body that read them,
    `seeds`, the gradients of what outputs of the body wrote, by those outputs, and what the body captures."""

    body: Any
    states: Sequence[State]
    streams: Mapping[str, Stream]
    seeds: Mapping[str, Stream]
    captured: Sequence[Sym]


def turned_back(turns: Turns, lists: Collection[str] = ()) -> dict[str, Sym]:
    """The gradients of the first states, the streams and what is captured, by their names in the body.

    A turn backward computes its values anew from what it started with, which the node is made to give out; `lists`
    are attributes of the node with a number for each output of that kind.
    """
    live = _live(turns)
    if not live:
        return {}
    body, tape = turns.body, turns.body.tape
    way = _along(turns, live)
    pieces = {name: tape.name(f"{name}/piece") for name in way.seeds}
    graph = _turn(way, pieces, live)
    sources = {**turns.streams, **{pieces[name]: seed for name, seed in way.seeds.items()}}
    read = [value.name for value in graph.input[len(way.states) + len(way.captured) :]]
    if not read:  # a Scan needs something to count its turns by
        read = [next(iter(turns.streams), body.inputs[0])]
        graph.input.append(value_info(read[0], body.kinds[read[0]]))
    started = [name for name in read if name not in sources]
    sources |= {name: Stream(x) for name, x in zip(started, body.expose(started, lists), strict=True)}
    firsts = [state.first.zeros() if state.g is None else state.g for state in way.states]
    totals = [x.zeros() for x in way.captured]
    some = None if turns.streams else sources[read[0]].tensor.dims[0] > 0  # a Loop may turn never
    made = _scanned(way, graph, [*firsts, *totals], [sources[name] for name in read], some)
    names = [*(state.before for state in way.states), *(x.name for x in way.captured), *way.streams]
    return {name: Sym(tape, gradient) for name, gradient in zip(names, made, strict=True)}


def _along(turns: Turns, live: Collection[str]) -> Turns:
    """What of all that the gradient comes along."""
    return Turns(
        turns.body,
        [state for state in turns.states if state.before in live or state.after in live],
        {name: stream for name, stream in turns.streams.items() if name in live},
        {name: seed for name, seed in turns.seeds.items() if name in live},
        [x for x in turns.captured if x.name in live],
    )


def _turn(way: Turns, pieces: Mapping[str, str], live: Collection[str]) -> GraphProto:
    """The body of the Scan: gradients of states and sums in and out, what a turn reads in, gradients of that out."""
    body = way.body
    carried = [body.tape.name(f"{state.before}/gradient") for state in way.states]
    sums = [body.tape.name(f"{x.name}/sum") for x in way.captured]
    ends = [(state.after, name) for state, name in zip(way.states, carried, strict=True) if state.after in live]
    befores = [state.before for state in way.states if state.before in live]
    step = body.backward([*ends, *pieces.items()], [*befores, *way.streams, *(x.name for x in way.captured)])
    for state, name in zip(way.states, carried, strict=True):
        step.read(name, step.tape.kinds[state.before])
    made = [step.gradient(state.before, state.first) for state in way.states]
    totals = [step.read(name, x.kind) + step.gradient(x.name, x) for name, x in zip(sums, way.captured, strict=True)]
    given = [step.gradient(name, stream.tensor) for name, stream in way.streams.items()]
    offered = [*pieces.values(), *body.inputs]
    return step.closed([*made, *totals, *given], [*carried, *sums], offered)


def _scanned(
    way: Turns, graph: GraphProto, firsts: Sequence[Sym], sources: Sequence[Stream], some: Sym | None
) -> Sequence[str]:
    """The results of a Scan that begins where the turns ended; the first values, where there was not even `some` turn.

    ONNX Runtime has no Scan over nothing.
    """
    tape, told = way.body.tape, list(way.streams.values())
    inputs = [x.name for x in (*firsts, *(source.tensor for source in sources))]
    kinds = [x.kind for x in (*(state.first for state in way.states), *way.captured, *(s.tensor for s in told))]
    attributes = {
        "body": graph,
        "num_scan_inputs": len(sources),
        "scan_input_axes": [source.axis for source in sources],
        "scan_input_directions": [1 - source.direction for source in sources],
        **({"scan_output_axes": [stream.axis for stream in told]} if told else {}),
        **({"scan_output_directions": [1 - stream.direction for stream in told]} if told else {}),
    }
    if some is None:
        return tape.attach("Scan", inputs, kinds, **attributes)
    outs, same = ([tape.name(f"turns/{k}") for k in range(len(kinds))] for _ in range(2))
    then = [helper.make_node("Scan", inputs, outs, outs[0], **attributes)]
    otherwise = [helper.make_node("Identity", [x.name], [name], name) for x, name in zip(firsts, same, strict=True)]
    then_branch, else_branch = (
        helper.make_graph(nodes, "turns", [], [value_info(name, kind) for name, kind in zip(names, kinds, strict=True)])
        for nodes, names in ((then, outs), (otherwise, same))
    )
    return tape.attach("If", [some.name], kinds, then_branch=then_branch, else_branch=else_branch)


def _live(turns: Turns) -> frozenset[str]:
    """The tensors of the body on which a gradient lies in any turn."""
    body, pairs = turns.body, [(state.before, state.after) for state in turns.states]
    around = body.path.tensors
    wrt = {*body.wanted, *(name for name, stream in turns.streams.items() if stream.tensor.name in around)}
    wrt |= {state.before for state in turns.states if state.first.name in around}
    outputs = {*turns.seeds, *(state.after for state in turns.states if state.g is not None)}
    every = outputs | {after for _, after in pairs}
    while new := {before for before, after in pairs if after in body.between(every, wrt)} - wrt:
        wrt |= new
    while new := {after for before, after in pairs if before in body.between(outputs, wrt)} - outputs:
        outputs |= new
    return body.between(outputs, wrt)
