"""Rules of operators that hold graphs: branches, and what turns.

Where an attribute holds a graph, a rule gets a body (walk.py); behind the inputs of the node it gets what the bodies
capture, and it returns gradients for both.
"""

from collections.abc import Sequence
from typing import Any

from backlit_proto.errors import NotDifferentiable
from backlit_server.graph.recording.sym import Array, Sym
from backlit_server.graph.rules.recurrence import State, Stream, Turns, turned_back


def branches(g: Any, y: Any, condition: Array, *captured: Array, then_branch: Any, else_branch: Any) -> tuple[Any, ...]:
    """On the same condition the gradients of the same branch, which computes its values anew."""
    bodies = (then_branch, else_branch)
    steps = []
    for body in bodies:
        seeds = [(name, part.name) for name, part in zip(body.outputs, g, strict=False) if part is not None]
        steps.append(body.backward(seeds, body.wanted))
    reached = [x for x in captured if any(x.name in step.gradients for step in steps)]
    if not reached:
        return (None,) * (1 + len(captured))
    then_graph, else_graph = (step.closed([step.gradient(x.name, x) for x in reached]) for step in steps)
    tape, kinds = condition.tape, [x.kind for x in reached]
    names = tape.attach("If", [condition.name], kinds, then_branch=then_graph, else_branch=else_graph)
    made = {x.name: Sym(tape, name) for x, name in zip(reached, names, strict=True)}
    return None, *(made.get(x.name) for x in captured)


def scan(
    g: Any,
    y: Any,
    *x: Array,
    body: Any,
    num_scan_inputs: int,
    scan_input_axes: Sequence[int] = (),
    scan_input_directions: Sequence[int] = (),
    scan_output_axes: Sequence[int] = (),
    scan_output_directions: Sequence[int] = (),
) -> tuple[Any, ...]:
    """A Scan over the same pieces in the opposite order."""
    n, inputs = len(body.inputs) - num_scan_inputs, len(body.inputs)
    states = [State(*names) for names in zip(body.inputs[:n], body.outputs[:n], x[:n], g[:n], strict=True)]
    taken = _streams(x[n:inputs], scan_input_axes, scan_input_directions)
    given = _streams(g[n : len(body.outputs)], scan_output_axes, scan_output_directions)
    streams = {name: stream for name, stream in zip(body.inputs[n:], taken, strict=True) if stream is not None}
    seeds = {name: seed for name, seed in zip(body.outputs[n:], given, strict=True) if seed is not None}
    turns = Turns(body, states, streams, seeds, x[inputs:])
    made = turned_back(turns, lists=("scan_output_axes", "scan_output_directions"))
    return tuple(made.get(name) for name in (*body.inputs, *(c.name for c in x[inputs:])))


def loop(g: Any, y: Any, count: Array, condition: Array, *x: Array, body: Any) -> tuple[Any, ...]:
    """A Scan over what each turn started with."""
    n = len(body.inputs) - 2
    changing = [name for name in body.inputs if body.kinds[name].shape is None]
    if changing:
        raise NotDifferentiable(
            f"the state {changing[0]!r} may change its shape from turn to turn, and how often the loop turns is not "
            "known before it runs; export the model with a fixed number of turns"
        )
    states = [State(*names) for names in zip(body.inputs[2:], body.outputs[1 : n + 1], x[:n], g[:n], strict=True)]
    seeds = {name: Stream(part) for name, part in zip(body.outputs[n + 1 :], g[n:], strict=False) if part is not None}
    made = turned_back(Turns(body, states, {}, seeds, x[n:]))
    return None, None, *(made.get(name) for name in (*body.inputs[2:], *(c.name for c in x[n:])))


def _streams(tensors: Sequence[Any], axes: Sequence[int], directions: Sequence[int]) -> list[Stream | None]:
    """The tensors as streams, None for those that are not there."""
    axes, directions = (given or (0,) * len(tensors) for given in (axes, directions))
    whole = zip(tensors, axes, directions, strict=True)
    return [None if tensor is None else Stream(tensor, axis, direction) for tensor, axis, direction in whole]
