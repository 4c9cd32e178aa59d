"""What a heatmap can explain of targets: one rather than another, what speaks against one, its probability.

backlit.Contrast(281, 243)                      why a tabby and not a bull mastiff
backlit.Contrast("tabby")                       why a tabby and not the best of the other classes
backlit.Counterfactual(281)                     what would have to go for the model to think otherwise
backlit.Probability(281)                        the probability instead of the score
backlit.LogOdds(backlit.Contrast(281, 243))     log p - log(1 - p), of one class rather than another
"""

from dataclasses import dataclass

from backlit.kinds import Target, common_scale
from backlit.targets import encode_target
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion


@dataclass(frozen=True, eq=False)
class Contrast(Target):
    """One target rather than another: their difference. Without a foil, rather than the best of the other classes."""

    target: object
    foil: object = None

    @property
    def scale(self) -> str:
        return common_scale([self.target] if self.foil is None else [self.target, self.foil])

    def message(self) -> pb.Target:
        made = pb.Contrast(target=encode_target(self.target))
        if self.foil is not None:
            made.foil.CopyFrom(encode_target(self.foil))
        return pb.Target(contrast=made)


@dataclass(frozen=True, eq=False)
class Counterfactual(Target):
    """What speaks against a target: minus it."""

    of: object

    @property
    def scale(self) -> str:
        return common_scale([self.of])

    def message(self) -> pb.Target:
        return pb.Target(counterfactual=encode_target(self.of))


@dataclass(frozen=True, eq=False)
class Probability(Target):
    """A target of the probabilities: gradients go through the softmax or sigmoid, added where the file has none.

    A probability also rises where the other classes fall, and hardly moves where it is near 0 or 1.
    """

    of: object

    @property
    def scale(self) -> str:
        return _first_scale("probability", self.of)

    def message(self) -> pb.Target:
        return encode_target(self.of)


@dataclass(frozen=True, eq=False)
class LogOdds(Target):
    """A target of the log-odds log p - log(1 - p): the score of a class against all others together."""

    of: object

    @property
    def scale(self) -> str:
        return _first_scale("log-odds", self.of)

    def message(self) -> pb.Target:
        return encode_target(self.of)


def _first_scale(scale: str, of: object) -> str:
    inner = common_scale([of])
    if inner:
        raise BadQuestion(f"the {scale} of a {inner} means nothing: ask for one of them")
    return scale
