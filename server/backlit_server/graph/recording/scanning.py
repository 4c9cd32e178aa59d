"""A formula as the body of a Scan: what it is given are tensors of the body, what it reads besides is captured."""

from collections.abc import Callable, Mapping, Sequence

from onnx import ModelProto, helper

from backlit_server.graph.recording.kinds import Kind
from backlit_server.graph.recording.sym import Sym
from backlit_server.graph.recording.tape import Tape
from backlit_server.graph.spelling.bodies import closed

Turn = Callable[[Sequence[Sym], Sequence[Sym], Sequence[Sym | None]], tuple[Sequence[Sym], Sym]]


def scanned(
    turn: Turn, firsts: Sequence[Sym], streams: Sequence[Sym], captured: Sequence[Sym | None], direction: int
) -> tuple[list[Sym], Sym]:
    """The last states, and what each turn told, stacked: turn(states, pieces, captured) -> (states, told).

    `streams` are read along their first axis, from its start (direction 0) or its end (1), and what is told is written
    that way.
    """
    tape = firsts[0].tape
    formal = {tape.name("state"): x.kind for x in firsts}
    formal |= {tape.name("piece"): Kind(x.dtype, x.shape[1:]) for x in streams}
    around = {x.name: x.kind for x in captured if x is not None}
    inner = body_tape(tape, formal | around)
    given = [Sym(inner, name) for name in formal]
    after, told = turn(
        given[: len(firsts)], given[len(firsts) :], [None if x is None else Sym(inner, x.name) for x in captured]
    )
    outputs = {tape.name("after"): y.name for y in (*after, told)}
    names = tape.attach(
        "Scan",
        [x.name for x in (*firsts, *streams)],
        [*(x.kind for x in firsts), Kind(told.dtype, (streams[0].shape[0], *told.shape))],
        body=closed(inner.finish(outputs), list(formal), [], list(outputs), around),
        num_scan_inputs=len(streams),
        scan_input_directions=[direction] * len(streams),
        scan_output_directions=[direction],
    )
    *finals, pieces = (Sym(tape, name) for name in names)
    return finals, pieces


def body_tape(tape: Tape, kinds: Mapping[str, Kind]) -> Tape:
    """A tape for a body, which reads tensors of these kinds."""
    model = ModelProto(ir_version=tape.model.ir_version, opset_import=[helper.make_opsetid("", tape.opset)])
    inner = Tape(model, f"{tape.name('turn')}/")
    for name, kind in kinds.items():
        inner.add_input(name, kind)
    return inner
