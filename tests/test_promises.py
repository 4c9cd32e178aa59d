"""What the card promises without making every graph is what making every graph would say."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from backlit_proto.errors import BacklitError, NotDifferentiable
from backlit_server.admission.promises import refused
from backlit_server.engine.models import OpenModel
from backlit_server.engine.opening import open_model
from backlit_server.engine.runtime import Runtime
from backlit_server.graph import Cut
from backlit_server.methods import METHODS, asking
from plain import THREADS
from real_models import CLASSIFIERS, OTHERS, small

QUICK = ("digits40-cnn-gap", "gender-dlib", "mnist-cntk", "mnist-dianna", "silero-vad", "vww96-mnv1-nhwc")
# What stands between an image x (float[N,3,8,8]) and the features f that global pooling and a dense layer read.
BETWEEN = {
    "a convolution": "f = Conv<pads=[1,1,1,1]>(x, w)",
    "a step, which no gradient passes": "a = Conv<pads=[1,1,1,1]>(x, w)  f = Round(a)",
    "an operator without a rule": "a = Conv<pads=[1,1,1,1]>(x, w)  b = Relu(a)  f = Bernoulli<dtype=1>(b)",
    "one behind which there is a layer": "a = Bernoulli<dtype=1>(x)  f = Conv<pads=[1,1,1,1]>(a, w)",
    "two of these": "a = Bernoulli<dtype=1>(x)  b = Conv<pads=[1,1,1,1]>(a, w)  f = Bernoulli<dtype=1>(b)",
    "one that relevance does not know": "a = Conv<pads=[1,1,1,1]>(x, w)  f = Sin(a)",
    "one that relevance and differences do not know": "a = Conv<pads=[1,1,1,1]>(x, w)  "
    "b = ReduceProd<keepdims=1>(a, channels)  f = Mul(a, b)",
    "a norm written out for relevance": "a = Conv<pads=[1,1,1,1]>(x, w)  f = ReduceL2<keepdims=1>(a, places)",
    "three factors": 'a = Einsum<equation="nchw,nchw,nchw->nchw">(x, x, x)  f = Conv<pads=[1,1,1,1]>(a, w)',
    "places that depend on the image": "i = Cast<to=7>(x)  a = GatherElements<axis=3>(x, i)  f = Conv(a, w)",
    "a body": "a = Conv<pads=[1,1,1,1]>(x, w)  f = Scan<num_scan_inputs=1, body=turn"
    "(float[3,8,8] t) => (float[3,8,8] u) { u = Tanh(t) }>(a)",
}
WEIGHTS = {
    "w": np.random.default_rng(0).normal(size=(3, 3, 3, 3)).astype(np.float32),
    "dense": np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32),
    "channels": np.array([1]),
    "places": np.array([3]),
}


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime("cpu", THREADS)


def made(what: str) -> onnx.ModelProto:
    behind = "p = GlobalAveragePool(f)  q = Flatten(p)  y = MatMul(q, dense)"
    text = f"net (float[N,3,8,8] x) => (float[N,4] y) {{ {BETWEEN[what]}  {behind} }}"
    return small(text, **{name: value for name, value in WEIGHTS.items() if f", {name})" in text})


def fully(model: OpenModel) -> Iterator[tuple[str, BacklitError]]:
    """The methods that are refused when all that they need of a model is built, and loaded by ONNX Runtime."""
    for name, row in METHODS.items():
        try:
            cut = model.backbones.of(name, "").cut
            graphs = _asked(model, row.asks, cut) if row.many_passes else [_formula(model, name, cut)]
            for graph in graphs:
                graph()
        except BacklitError as error:
            yield name, error


def _formula(model: OpenModel, name: str, cut: Cut | None) -> Callable[[], object]:
    defaults = {p.name: p.default for p in METHODS[name].parameters}
    if not (METHODS[name].needs_seed and cut):
        return lambda: None
    return lambda: model.session(model.heads.graph(cut, name, defaults))


def _asked(model: OpenModel, asks: tuple[type, ...], cut: Cut | None) -> Iterator[Callable[[], object]]:
    places = {
        asking.Gradients: lambda: [model.backbones.at(model.anatomy.inputs[0].name).cut],
        asking.Blocks: lambda: model.backbones.blocks,
    }
    for ask in asking.GRADIENT_ASKS.intersection(asks):
        for at in places[ask]() if ask in places else [cut]:
            if at:
                yield lambda at=at: model.session(model.heads.gradient_graph(at, ""))


def told(refusals: dict[str, BacklitError]) -> dict[str, tuple[str, str]]:
    return {name: (error.reason(), error.message) for name, error in refusals.items()}


def assert_true(model: onnx.ModelProto, runtime: Runtime) -> dict[str, BacklitError]:
    quick = refused(open_model(model, runtime))
    assert told(quick) == told(dict(fully(open_model(model, runtime))))
    return quick


@pytest.mark.parametrize("name", QUICK)
def test_a_card_says_of_every_method_what_building_it_says(shared: Path, runtime: Runtime, name: str):
    assert_true(onnx.load(shared / "models" / f"{name}.onnx"), runtime)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*CLASSIFIERS, *OTHERS} - set(QUICK)))
def test_a_card_says_of_every_method_of_a_large_model_what_building_it_says(shared: Path, runtime: Runtime, name: str):
    assert_true(onnx.load(shared / "models" / f"{name}.onnx"), runtime)


@pytest.mark.parametrize("what", BETWEEN)
def test_what_stands_in_the_way_is_told_as_building_tells_it(runtime: Runtime, what: str):
    assert_true(made(what), runtime)


# What each of them is refused for is refused, and nothing else: these name operators of which there is no such row.
@pytest.mark.parametrize(
    ("what", "methods"),
    [
        ("a convolution", set()),
        ("one that relevance does not know", {"lrp"}),
        ("one that relevance and differences do not know", {"lrp", "deep-lift"}),
        ("three factors", {"deep-lift"}),
    ],
)
def test_a_method_is_refused_for_an_operator_that_its_own_table_does_not_know(runtime: Runtime, what: str, methods):
    quick = assert_true(made(what), runtime)
    assert {name for name, error in quick.items() if isinstance(error, NotDifferentiable)} == methods
