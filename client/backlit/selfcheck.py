"""How far a model's gradients can be trusted: what a comparison with finite differences found on upload."""

from dataclasses import dataclass

from backlit.words import word
from backlit_proto import backlit_pb2 as pb


@dataclass(frozen=True)
class Comparison:
    """Gradient and finite differences along random directions, of which these are the numbers of the worst.

    `verdict` is "agrees", "differs" or "not-checked"; `error` and `doubt` (of the finite differences) are shares of
    how large such derivatives are.
    """

    verdict: str
    error: float
    doubt: float
    gradient: float
    difference: float
    explanation: str

    @classmethod
    def read(cls, m: pb.Comparison) -> "Comparison":
        verdict = word(pb.Comparison.Verdict, m.verdict).lower().replace("_", "-")
        return cls(verdict, m.error, m.doubt, m.gradient, m.difference, m.explanation)

    def __str__(self) -> str:
        if self.verdict == "not-checked":
            return self.explanation
        return f"{self.verdict}, error {self.error:.1e} (give or take {self.doubt:.1e}), {self.explanation}"


@dataclass(frozen=True)
class SelfCheck:
    """`head`: from the default layer to the scores; `network`: from the input to the scores."""

    head: Comparison
    network: Comparison


def read_self_check(message: pb.Card | pb.Provenance) -> SelfCheck | None:
    """From a card or an answer; None where the model was stored by a version that did not check."""
    if not message.HasField("self_check"):
        return None
    found = message.self_check
    return SelfCheck(Comparison.read(found.head), Comparison.read(found.network))
