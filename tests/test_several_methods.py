"""Several methods of one question: the same answers as asked one by one, from one forward pass."""

from pathlib import Path

import numpy as np
import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_proto.tensors import to_tensor
from backlit_server.engine.engine import Engine
from bare import ask, stored
from noted import Runs

METHODS = ("grad-cam", "cam", "layer-cam", "fem", "saliency", "score", "integrated-gradients")
rng = np.random.default_rng(3)


@pytest.fixture
def digest(shared: Path, engine: Engine) -> str:
    return stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")


def together(engine: Engine, digest: str, x: np.ndarray, methods: tuple[str, ...], **parameters):
    question = pb.Question(model=digest, method=methods[0], methods=methods[1:], targets=[pb.Target(top=2)])
    question.parameters.update(parameters)
    request = pb.ExplainRequest(question=question, inputs={"": to_tensor(x)})
    answers = [
        answer for answer in engine.explain(request, [x]) if isinstance(answer, tuple) and answer[0].progress == 1
    ]
    return [pair for response, maps in answers for pair in zip(response.explanations, maps, strict=True)]


def test_methods_together_answer_as_they_do_alone(engine: Engine, digest: str):
    x = rng.normal(size=(2, 1, 40, 40)).astype(np.float32)
    found = together(engine, digest, x, METHODS)
    for method in METHODS:
        alone = ask(engine, digest, x, method, ["top2"])
        same = [(told, heatmap) for told, heatmap in found if told.method == method]
        assert [(told.image, told.target) for told, _ in same] == [(told.image, told.target) for told, _ in alone]
        for (_, heatmap), (_, expected) in zip(same, alone, strict=True):
            np.testing.assert_allclose(heatmap, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_methods_at_one_layer_share_the_forward_pass(engine: Engine, digest: str, runs: Runs):
    x = rng.normal(size=(2, 1, 40, 40)).astype(np.float32)
    ask(engine, digest, x, "grad-cam")
    runs.clear()
    together(engine, digest, x + 1, ("grad-cam", "cam", "layer-cam", "xgrad-cam", "fem"))
    assert runs.images == [2]
    assert len(runs.heads) == 1, "and one head, which knows the weights of the last layer as well as gradients"


def test_what_a_model_cannot_answer_does_not_take_the_others_with_it(engine: Engine, shared: Path):
    """This network has dense layers and no pooling, so that it has no cam."""
    digest = stored(engine.store, shared / "models" / "mnist-dianna.onnx")
    question = pb.Question(model=digest, method="grad-cam", methods=["cam"])
    x = rng.normal(size=(1, 1, 28, 28)).astype(np.float32)
    answers = engine.explain(pb.ExplainRequest(question=question, inputs={"": to_tensor(x)}), [x])
    assert next(answer for answer in answers if isinstance(answer, tuple))[0].explanations[0].method == "grad-cam"
    with pytest.raises(NotExplainable, match="cam needs global average pooling"):
        list(answers)


def test_every_method_has_to_be_one_that_takes_the_parameters(engine: Engine, digest: str):
    x = np.zeros((1, 1, 40, 40), np.float32)
    with pytest.raises(BadQuestion, match="there is no method 'grad-can'"):
        together(engine, digest, x, ("grad-cam", "grad-can"))
    with pytest.raises(BadQuestion, match=r"^cam has no parameter 'steps'"):
        together(engine, digest, x, ("integrated-gradients", "cam"), steps=3)
