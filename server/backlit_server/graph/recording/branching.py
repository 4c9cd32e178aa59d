"""One formula or another as the branches of an If, by what is known only when the graph runs."""

from collections.abc import Callable, Sequence

from backlit_server.graph.recording.scanning import body_tape
from backlit_server.graph.recording.sym import Sym
from backlit_server.graph.spelling.bodies import closed

Branch = Callable[..., Sym]


def chosen(condition: Sym, yes: Branch, no: Branch, given: Sequence[Sym]) -> Sym:
    """yes(*given) where the condition, one truth, holds, else no(*given): both are of one kind."""
    tape = condition.tape
    around = {x.name: x.kind for x in given}
    bodies, kinds = {}, []
    for attribute, branch in (("then_branch", yes), ("else_branch", no)):
        inner, output = body_tape(tape, around), tape.name("branch")
        made = branch(*(Sym(inner, x.name) for x in given))
        kinds.append(made.kind)
        bodies[attribute] = closed(inner.finish({output: made.name}), [], [], [output], around)
    (name,) = tape.attach("If", [condition.name], kinds[:1], **bodies)
    return Sym(tape, name)
