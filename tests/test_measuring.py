"""Measures of real heatmaps: beside naive loops in plain ONNX Runtime, and what the literature knows they say."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import plain
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion, NotExplainable
from backlit_server.engine.answers import Looked, Passes
from backlit_server.engine.engine import Engine
from backlit_server.engine.measuring import timed
from backlit_server.engine.targets import Row
from backlit_server.graph import canonical, examine
from backlit_server.methods.scaling import normalize, resize
from bare import stored

HUSKY = "photos/imagenet/250_Siberian_husky.JPEG"
MODEL = "models/efficientnet-lite0.onnx"
PRESET = pb.Preprocessing(preset="efficientnet-lite")


def asked(
    engine: Engine,
    model: Path,
    picture: Path,
    measures: list[tuple[str, dict]],
    method: str = "grad-cam",
    preprocessing: pb.Preprocessing = PRESET,
    **question,
) -> list[tuple[pb.Explanation, np.ndarray]]:
    """A method's answers for a picture, measured."""
    asked = pb.Question(model=stored(engine.store, model), method=method, preprocessing=preprocessing, **question)
    for name, parameters in measures:
        asked.measures.add(name=name).parameters.update(parameters)
    request = pb.ExplainRequest(question=asked, pictures=[pb.Picture(file=picture.read_bytes())])
    answers = [answer for answer in engine.explain(request, []) if isinstance(answer, tuple)]
    return [pair for told, maps in answers if told.progress == 1 for pair in zip(told.explanations, maps, strict=True)]


def husky(shared: Path) -> np.ndarray:
    """As the preset prepares it."""
    with Image.open(shared / HUSKY) as file:
        picture = file.convert("RGB")
    (width, height), side = picture.size, 0.875 * min(picture.size)
    box = (width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2
    small = picture.resize((224, 224), Image.Resampling.BICUBIC, box=box)
    return ((np.asarray(small, np.float32) - 127) / 128).transpose(2, 0, 1)[None]


@pytest.fixture(scope="module")
def probabilities(shared):
    """The model's own, of class 261 unless another is named."""
    session = plain.session(onnx.load(shared / MODEL))

    def run(images: np.ndarray, target: int = 261) -> np.ndarray:
        logits = np.asarray(session.run(None, {session.get_inputs()[0].name: images.astype(np.float32)})[0])
        raised = np.exp(logits - logits.max(1, keepdims=True))
        return (raised / raised.sum(1, keepdims=True))[:, target]

    return run


def test_drops_of_a_photograph_are_those_of_plain_onnx_runtime(engine, shared, probabilities):
    """L-CAM's: black where the weakest half is hidden, min-max before the map is enlarged."""
    wanted = [
        ("average-drop", {"keep": 0.5, "fill": "black", "normalisation": "min-max"}),
        ("average-gain", {"fill": "mean", "normalisation": "min-max"}),
    ]
    ((told, heatmap),) = asked(engine, shared / MODEL, shared / HUSKY, wanted)
    x = husky(shared)
    mask = resize(normalize(heatmap[None]), (224, 224))[0]
    half = mask.copy()
    half.flat[np.argsort(mask, None, kind="stable")[: mask.size // 2]] = 0
    black, mean = np.float32(-127 / 128), x.mean((2, 3), keepdims=True)
    whole, dark, grey = probabilities(np.concatenate([x, black + half * (x - black), mean + mask * (x - mean)]))
    drop, gain = told.measurements
    assert drop.facts["whole image"] == pytest.approx(whole, abs=1e-4)
    assert drop.value == pytest.approx(max(0, whole - dark) / whole, abs=1e-3)
    assert gain.value == pytest.approx(max(0, grey - whole) / (1 - whole), abs=1e-3)


def test_a_measurement_says_how_it_was_made(engine, shared):
    ((told, _),) = asked(engine, shared / MODEL, shared / HUSKY, [("average-drop", {"keep": 0.5})])
    (found,) = told.measurements
    assert dict(found.parameters) == {
        "keep": 0.5,
        "definition": "relative",
        "fill": "zero",
        "normalisation": "relu",
        "score": "probability",
    }
    assert found.target_choice == "top 1"
    named = asked(engine, shared / MODEL, shared / HUSKY, [("sparseness", {})], targets=[pb.Target(class_index=3)])
    assert named[0][0].measurements[0].target_choice == "class 3"


def test_the_course_of_a_deletion_is_a_naive_loop(engine, shared, probabilities):
    ((told, heatmap),) = asked(engine, shared / MODEL, shared / HUSKY, [("deletion", {"steps": 4})])
    x, order = husky(shared), np.argsort(-resize(heatmap, (224, 224)), None, kind="stable")
    images = np.repeat(x, 5, 0)
    for step, image in enumerate(images):
        image.reshape(3, -1)[:, order[: step * order.size // 4]] = 0
    assert np.allclose(told.measurements[0].curve, probabilities(images), atol=1e-3)


def test_several_targets_are_measured_each_for_itself(engine, shared, probabilities):
    found = asked(engine, shared / MODEL, shared / HUSKY, [("average-drop", {})], targets=[pb.Target(top=2)])
    whole = [told.measurements[0].facts["whole image"] for told, _ in found]
    classes = [told.target.class_index for told, _ in found]
    assert len(classes) == 2
    assert np.allclose(whole, [probabilities(husky(shared), c)[0] for c in classes], atol=1e-4)


def test_what_a_map_took_does_not_count_what_measuring_it_took(engine, shared):
    wanted = [("insertion", {}), ("forward-passes", {}), ("seconds", {})]
    ((told, _),) = asked(engine, shared / MODEL, shared / HUSKY, wanted, method="ablation-cam")
    _, passes, seconds = told.measurements
    assert (passes.value, passes.facts["head passes"]) == (1, 1280)
    assert 0 < seconds.value < 60


def test_seconds_are_those_of_the_map_and_not_of_others_who_had_their_turn(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("backlit_server.engine.measuring.time.perf_counter", lambda: clock[0])
    last = Looked((), np.zeros((2, 1, 1)), np.zeros(2), "", "", Passes())
    rows = [Row(0, (), (), 0, 0.0, 0.0)] * 2

    def look() -> Iterator[Looked | None]:
        clock[0] += 3  # the forward pass

        def steps() -> Iterator[Looked | None]:
            clock[0] += 1
            yield None
            clock[0] += 2
            yield replace(last, rows=rows)
            clock[0] += 4
            yield replace(last, rows=rows)

        return steps()

    found = []
    for looked, seconds in timed(look):
        found.append((looked is not None, seconds))
        clock[0] += 100  # somebody else's turn
    assert found == [(False, 0), (True, 3), (True, 2)]


def test_a_box_of_the_picture_is_found_in_what_the_model_saw(engine, shared):
    """The pointing game in the whole picture is always won; in its upper left corner, which is cropped away, not."""
    with Image.open(shared / HUSKY) as picture:
        size = picture.size
    boxes = [("energy-in-box", {"box": box}) for box in ([0, 0, *size], [0, 0, 1, 1], [0, 0, size[0] / 2, size[1]])]
    ((told, heatmap),) = asked(engine, shared / MODEL, shared / HUSKY, boxes)
    whole, corner, left = (found.value for found in told.measurements)
    assert (whole, corner) == (pytest.approx(1), 0)
    heat = resize(heatmap, (224, 224)).clip(0)
    assert left == pytest.approx(heat[:, :112].sum() / heat.sum(), abs=1e-6)


def test_gradient_maps_that_only_reconstruct_the_picture_do_not_notice_random_weights(engine, shared):
    """Adebayo et al., Sanity Checks for Saliency Maps, 2018: guided backpropagation fails, Grad-CAM passes."""
    wanted = [("randomisation", {"layers": [1, 3], "values": "absolute"})]
    found = {
        method: asked(engine, shared / MODEL, shared / HUSKY, wanted, method=method)[0][0].measurements[0].value
        for method in ("guided-backprop", "grad-cam")
    }
    assert found["guided-backprop"] > 0.9
    assert found["grad-cam"] < 0.5


def test_maps_of_other_images_are_asked_for_as_the_question_asked(engine, shared):
    """With a radius of 0 nothing changes, for one-run methods and those of many passes, at a layer of one's own."""
    layer = examine(canonical(onnx.load(shared / MODEL))).layers[-5].name
    for method in ("layer-cam", "recipro-cam", "eigen-cam"):
        wanted = [("max-sensitivity", {"radius": 0, "samples": 2}), ("adcc", {})]
        ((told, _),) = asked(engine, shared / MODEL, shared / HUSKY, wanted, method=method, layer=layer)
        assert told.measurements[0].value < 1e-5
        assert 0 <= told.measurements[1].value <= 1


@pytest.mark.parametrize(
    ("method", "measures", "said"),
    [
        ("grad-cam", [("average-dorp", {})], "no measure 'average-dorp'; there are average-drop"),
        ("grad-cam", [("pointing-game", {})], "say where the target is"),
        ("feature-maps", [("sparseness", {})], "no single heatmap"),
    ],
)
def test_what_cannot_be_measured_is_refused(engine, shared, method, measures, said):
    with pytest.raises(BadQuestion, match=said):
        asked(engine, shared / MODEL, shared / HUSKY, measures, method=method)


def test_all_classes_at_once_are_not_measured(engine, shared):
    with pytest.raises(BadQuestion, match="name the classes to measure"):
        asked(engine, shared / MODEL, shared / HUSKY, [("sparseness", {})], targets=[pb.Target(all=True)])


def test_black_is_not_guessed_for_arrays(engine, shared):
    question = pb.Question(model=stored(engine.store, shared / MODEL))
    question.measures.add(name="average-drop").parameters.update({"fill": "black"})
    x = husky(shared)
    tensor = pb.Tensor(data_type=pb.DATA_TYPE_FLOAT32, shape=x.shape)
    request = pb.ExplainRequest(question=question, inputs={"": tensor})
    with pytest.raises(BadQuestion, match="nobody said which values of these arrays are black"):
        list(engine.explain(request, [x]))
    question.preprocessing.CopyFrom(PRESET)
    *_, last = engine.explain(pb.ExplainRequest(question=question, inputs={"": tensor}), [x])
    assert last
    told, _ = last
    assert told.explanations[0].measurements[0].parameters["fill"] == "black"


def test_models_whose_input_is_no_image_are_not_measured(engine, shared):
    inputs = {"input": (1, 512), "state": (2, 1, 128), "sr": ()}
    question = pb.Question(model=stored(engine.store, shared / "models/silero-vad.onnx"), method="score")
    question.measures.add(name="sparseness")
    arrays = {name: np.full(shape, 16000 if name == "sr" else 0.1) for name, shape in inputs.items()}
    arrays = {name: a.astype(np.int64 if name == "sr" else np.float32) for name, a in arrays.items()}
    types = {"f": pb.DATA_TYPE_FLOAT32, "i": pb.DATA_TYPE_INT64}
    tensors = {name: pb.Tensor(data_type=types[a.dtype.kind], shape=a.shape) for name, a in arrays.items()}
    request = pb.ExplainRequest(question=question, inputs=tensors)
    with pytest.raises(NotExplainable, match="not one image"):
        list(engine.explain(request, [arrays[name] for name in sorted(arrays)]))
