"""What the figures are to be: one row a figure that has a goal."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A figure in words, and what it is to be at least, or at most."""

    figure: str
    limit: float
    least: bool = False
    unit: str = ""

    def reached(self, value: float) -> bool:
        return value >= self.limit if self.least else value <= self.limit


GOALS = {
    "top 5": Goal("Grad-CAM of the top 5 in the engine / plain forward", 1.05),
    "all classes": Goal("Grad-CAM of all 1,000 classes / plain forward", 1.15),
    "saliency": Goal("saliency / plain forward", 2.3),
    "loaded": Goal("loaded server / plain forward, images a second", 0.90, least=True),
    "p50": Goal("the server adds at low load, p50", 2, unit=" ms"),
    "p99": Goal("the server adds at low load, p99", 6, unit=" ms"),
    "eight methods": Goal("eight methods / one", 1.15),
    "many passes": Goal("RISE of 4,000 masks / plain forward, images a second", 0.95, least=True),
    "failures": Goal("failures, 100 models in a budget for 10, round robin", 0),
    "variant": Goal("memory of one more method / the model's size", 0.05),
    "uploads": Goal("latency beside uploads / without", 1.25),
    "pytorch-grad-cam": Goal("as fast as pytorch-grad-cam, times", 4, least=True),
    "captum": Goal("as fast as captum, times", 1.3, least=True),
}
MARK = "goal: "  # at the start of a line about a figure that has one


def say(name: str, case: str, value: float) -> None:
    """Prints a line about a figure; the runner of all scripts gathers them."""
    goal = GOALS[name]
    limit = f"{'at least' if goal.least else 'at most'} {goal.limit:g}{goal.unit}"
    verdict = "reached" if goal.reached(value) else "missed"
    print(f"{MARK}{goal.figure:52} {case:34} {value:7.3f}{goal.unit:3} {limit:14} {verdict}", flush=True)
