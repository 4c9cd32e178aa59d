"""Which answer says that it is the last: the one with which a question is answered, where counting can tell."""

from pathlib import Path

import numpy as np
import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import to_tensor
from backlit_server.engine.engine import Engine
from bare import stored

IMAGES = np.random.default_rng(7).normal(size=(3, 1, 40, 40)).astype(np.float32)
TWO = [pb.Target(class_index=4), pb.Target(class_index=1)]
TOP = [pb.Target(top=3), pb.Target(class_index=0)]
ALL = [pb.Target(all=True)]
CASES = {
    "one image, one class": (1, True, {"targets": TWO[:1]}),
    "the best class, where none is named": (1, True, {}),
    "several images and targets": (3, True, {"targets": TOP}),
    "methods behind one head": (2, True, {"targets": TWO, "methods": ["layer-cam", "grad-cam++"]}),
    "methods behind heads of their own": (2, True, {"targets": TWO, "methods": ["saliency", "gradient-x-input"]}),
    "a map that depends on no target": (3, True, {"method": "fem"}),
    "a map that depends on no target, and two were named": (3, False, {"method": "fem", "targets": TWO}),
    "partial results": (2, True, {"method": "recipro-cam", "targets": TWO}),
    "many passes, cut short": (1, True, {"method": "rise", "time_limit": 0.01}),
    "measures": (2, True, {"targets": TWO, "measures": [pb.MeasureRequest(name="sparseness")]}),
    "several layers": (2, True, {"layers": ["/3/3.2/Relu_output_0", "/4/4.2/Relu_output_0"], "targets": TWO}),
    "versions of an image": (2, True, {"smoothing": [pb.Question.SMOOTHING_AUGMENTATION], "targets": TWO}),
    "all classes": (2, False, {"targets": ALL}),
    "all classes, a seed each": (1, False, {"targets": ALL, "method": "saliency"}),
}


@pytest.fixture
def digest(shared: Path, engine: Engine) -> str:
    return stored(engine.store, shared / "models" / "digits40-cnn-gap.onnx")


def answers(engine: Engine, images: np.ndarray, question: pb.Question) -> list[pb.ExplainResponse]:
    request = pb.ExplainRequest(question=question, inputs={"": to_tensor(images)})
    return [said[0] for said in engine.explain(request, [images]) if isinstance(said, tuple)]


@pytest.mark.parametrize("case", CASES)
def test_the_last_answer_says_so_and_no_other(engine, digest, case):
    images, known, question = CASES[case]
    found = answers(engine, IMAGES[:images], pb.Question(model=digest, **question))
    assert [answer.last for answer in found] == [False] * (len(found) - 1) + [known]


def test_of_answers_made_in_several_runs_the_last_one_says_so(engine, digest, monkeypatch):
    monkeypatch.setattr("backlit_server.engine.through_head.HEAD_BYTES", 1)
    found = answers(engine, IMAGES, pb.Question(model=digest, targets=TWO))
    assert [answer.last for answer in found] == [False] * 5 + [True]


def test_of_an_answer_in_several_messages_the_last_one_says_so(engine, digest):
    large = pb.Rendering(size=pb.Rendering.SIZE_EXPLICIT, height=1024, width=1024)
    found = answers(engine, IMAGES[:1], pb.Question(model=digest, targets=TOP, rendering=large))
    assert [answer.last for answer in found] == [False] * 3 + [True]
