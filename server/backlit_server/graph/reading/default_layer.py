"""The layer that is looked at when a question names none, and why that one."""

from collections.abc import Sequence

from backlit_server.graph.reading.head import MATRICES
from backlit_server.graph.reading.layers import Layer, sizes
from backlit_server.graph.reading.mattering import mattering
from backlit_server.graph.reading.paths import on_paths
from backlit_server.graph.reading.sized import Sized
from backlit_server.graph.reading.wiring import Wiring

ENOUGH = 0.5  # share of the places of a layer that have to reach the scores
PRODUCTS = MATRICES | {"Attention", "Einsum"}


def default_layer(wires: Wiring, sized: Sized, candidates: Sequence[Layer], scores: str) -> tuple[Layer | None, str]:
    """The last layer that every path crosses, as far up as its places reach the scores; None and why there is none."""
    crossed = [layer for layer in candidates if layer.on_every_path]
    if not crossed:
        return None, _without(wires, candidates, scores)
    last = crossed[-1]
    if _reaching(sized, last, scores) >= ENOUGH:
        return last, f"the last spatial tensor that every path from input to scores crosses: {last.in_words}"
    above = next((layer for layer in reversed(crossed) if _reaching(sized, layer, scores) >= ENOUGH), None)
    if above is None:
        return last, f"the last spatial tensor, of which no more than a few places reach the scores: {last.in_words}"
    chosen = _as_read(wires, sized, candidates, above, scores)
    return chosen, (
        f"the last spatial tensor whose places reach the scores: {chosen.in_words}; behind the next attention only the "
        f"tokens at no place do, and maps up to the last spatial tensor {last.name!r} are blank"
    )


def _reaching(sized: Sized, layer: Layer, scores: str) -> float:
    """The share of a layer's places that can change a score."""
    if layer.name not in sized.shapes or scores not in sized.shapes:
        return 1.0
    return float(layer.view.maps(mattering(sized, layer.name, scores)).any(1).mean())


def _as_read(wires: Wiring, sized: Sized, candidates: Sequence[Layer], above: Layer, scores: str) -> Layer:
    """What the next matrix product reads of a layer: normalised, channels that are merely large weigh no more.

    Where that is a layer itself and its places reach the scores, else the layer.
    """
    below = wires.downstream([above.name])
    made = {name for k in below for name in wires.nodes[k].output}
    for layer in (layer for layer in reversed(candidates) if layer.name in made and layer.view.size == above.view.size):
        between = below & wires.upstream([layer.name])
        read = PRODUCTS.isdisjoint(wires.nodes[k].op_type for k in between)
        if read and _reaching(sized, layer, scores) >= ENOUGH:
            return layer
    return above


def _without(wires: Wiring, candidates: Sequence[Layer], scores: str) -> str:
    if candidates:
        return "no spatial tensor lies on every path from input to scores; name one of the layers"
    if not any(len(wires.kinds[name].shape or ()) == 4 for name in wires.inputs):
        shapes = "; ".join(f"{name} {list(sizes(wires, name))}" for name in wires.inputs)
        return f"no input is an image (batch, channels, height, width): {shapes}"
    if on_paths(wires, scores).isdisjoint(wires.inputs):
        return "the model computes in integers throughout; upload the float model that it was made from"
    return "between image and scores no convolution, pooling or patch makes a spatial tensor"
