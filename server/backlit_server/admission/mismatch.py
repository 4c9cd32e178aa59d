"""What a self-check that failed means for questions. The front reads it off the card: nothing here knows onnx."""

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import NotDifferentiable

PARTS = {"head": "from the default layer to the scores", "network": "from the input to the scores"}


def mismatch(checked: pb.SelfCheck) -> NotDifferentiable | None:
    """The refusal of methods that need gradients; None where no gradient was found to be wrong."""
    for part, way in PARTS.items():
        found: pb.Comparison = getattr(checked, part)
        if found.verdict == pb.Comparison.VERDICT_DIFFERS:
            return NotDifferentiable(
                f"the gradients of this model failed their self-check {way}: along one direction the gradient says "
                f"{found.gradient:.6g} and finite differences {found.difference:.6g}, {found.error:.1%} apart where "
                f"{found.doubt:.1%} may be rounding. Use a method without gradients; the model may also be exported "
                "anew, with plainer operators",
                part=part,
                gradient=repr(found.gradient),
                difference=repr(found.difference),
            )
    return None
