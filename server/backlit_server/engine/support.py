"""Which methods a model can answer, and why not the others."""

from backlit_proto.errors import BacklitError, NotDifferentiable, NotExplainable
from backlit_server.graph import Anatomy
from backlit_server.methods import METHODS

INSTEAD = "grad-cam"


def refusal(method: str, anatomy: Anatomy) -> BacklitError | None:
    """Why this model cannot answer a method at its default layer, and what to use instead; None if it can."""
    row = METHODS[method]
    if row.needs_layer and not anatomy.default_layer:
        return NotExplainable(f"this model has no layer to look at: {anatomy.default_layer_reason}")
    if "weights" in row.needs and anatomy.linear is None:
        return no_linear_head(method, anatomy.head.explanation)
    if row.needs_gradients and anatomy.head.operators_without_rule:
        operators = ", ".join(anatomy.head.operators_without_rule)
        return NotDifferentiable(
            f"{method} needs the gradient of {operators}, for which there is no rule; use feature-maps, "
            "or name a layer behind them"
        )
    return None


def no_linear_head(method: str, head: str) -> NotExplainable:
    """A method that takes the weights behind global pooling, where there are none."""
    return NotExplainable(
        f"{method} needs a head of global average pooling and one linear layer; here it is another: {head}. "
        f"Use {INSTEAD}, which is the same map where both apply"
    )
