"""What a row of METHODS is, and what is read from its signature."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backlit_server.methods import asking

Formula = Callable[..., Any]
LAYER, PENULTIMATE, TOKENS, IMAGE = "layer", "penultimate", "tokens", "image"
FORWARD = frozenset({"features", "scores", "image", "probability", "probabilities", "batch"})  # needs no seed


@dataclass(frozen=True)
class Parameter:
    """One keyword-only argument of a formula, as ListMethods tells it."""

    name: str
    type: type
    default: Any
    documentation: str


@dataclass(frozen=True, eq=False)
class Method:
    """One row of METHODS; what the formula takes is read from its signature and docstring.

    `at`: where its features and grads are, at a LAYER that can be chosen, at the PENULTIMATE one unless another is
    chosen, at the TOKENS that the first attention reads, or at the IMAGE. `rules` names the seeding: the rules that
    gradients are made by, or what else leads from a seed to what the formula takes. `asks`: what a method of many
    passes may ask for. `forwards`: how often a formula has the network computed for a target. `of`: whose gradients
    they are, if not the scores': those of a LAYER.
    """

    formula: Formula
    parameter_documentation: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("heatmap",)
    at: str = LAYER
    rules: str = ""
    asks: tuple[type, ...] = ()
    forwards: int = 1
    of: str = ""

    @functools.cached_property
    def needs(self) -> tuple[str, ...]:
        """Names of the tensors the formula takes, in order."""
        return tuple(p.name for p in _signature(self) if p.kind is not p.KEYWORD_ONLY)

    @functools.cached_property
    def many_passes(self) -> bool:
        """Whether it is a generator that asks, not a formula."""
        return inspect.signature(self.formula).return_annotation is asking.Steps

    @functools.cached_property
    def needs_gradients(self) -> bool:
        made = {*self.needs} - FORWARD - {"weights", "seeds", "anchors"}
        return bool(made) or not asking.GRADIENT_ASKS.isdisjoint(self.asks)

    @functools.cached_property
    def needs_layer(self) -> bool:
        """Whether the model is cut: at a layer that can be chosen, or at the image."""
        uncut = FORWARD - {"features"} | {"seeds", "anchors"}
        return not (uncut.issuperset(self.needs) and asking.CUT_ASKS.isdisjoint(self.asks))

    @functools.cached_property
    def needs_image(self) -> bool:
        """Whether the model's input has to be one image."""
        return self.at == IMAGE or not asking.HEAD_ASKS.issuperset(self.asks)

    @functools.cached_property
    def needs_seed(self) -> bool:
        """Whether the map depends on the target; if not, the whole map is the features' own."""
        return not FORWARD.issuperset(self.needs)

    @functools.cached_property
    def of_gradient(self) -> bool:
        """Whether the map is a formula of the image and its gradient, which takes no time beside the gradient."""
        return self.at == IMAGE and "grads" in self.needs and {"features", "grads"}.issuperset(self.needs)

    def bound(self, parameters: Mapping[str, Any]) -> Formula:
        """The formula with these parameters, a function of tensors alone."""
        return functools.partial(self.formula, **parameters)

    @property
    def documentation(self) -> str:
        return inspect.cleandoc(self.formula.__doc__ or "")

    @property
    def summary(self) -> str:
        return self.documentation.partition("\n")[0]

    @functools.cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        return keyword_parameters(self.formula, self.parameter_documentation)


def keyword_parameters(function: Callable[..., Any], documentation: Sequence[str]) -> tuple[Parameter, ...]:
    """The keyword-only arguments of a function, each with its documentation."""
    named = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return tuple(Parameter(p.name, p.annotation, p.default, said) for p, said in zip(named, documentation, strict=True))


def _signature(row: Method) -> list[inspect.Parameter]:
    return list(inspect.signature(row.formula).parameters.values())
