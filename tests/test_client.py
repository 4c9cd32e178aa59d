"""The client against a real server, with real models and photographs."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import backlit

DOG, CAT = 243, 282  # bull mastiff, tiger cat


@pytest.fixture(scope="module")
def lite(server: backlit.Server, shared: Path) -> backlit.Model:
    labels = (shared / "photos/imagenet_labels.txt").read_text().split()
    return server.upload(
        shared / "models/efficientnet-lite0.onnx",
        name="lite",
        preprocessing={"preset": "efficientnet-lite", "height": 224, "width": 224},
        class_names=labels,
    )


@pytest.fixture(scope="module")
def photo(shared: Path) -> Path:
    return shared / "photos/dog_and_cat.png"


def test_the_same_bytes_twice_are_one_model(server: backlit.Server, lite: backlit.Model, shared: Path):
    file = shared / "models/efficientnet-lite0.onnx"
    again = server.upload(file.read_bytes())
    assert again.digest == lite.digest
    assert (again.size, len(lite.class_names)) == (file.stat().st_size, 1000)
    assert server.model("lite").digest == server.model(lite.digest[:8]).digest == lite.digest
    assert [model.digest for model in server.models()].count(lite.digest) == 1


def test_the_card_tells_inputs_scores_layers_and_methods(lite: backlit.Model):
    card = lite.card
    assert (card.inputs[0].tensor.name, card.inputs[0].layout, card.inputs[0].tensor.dtype) == (
        "input",
        "NCHW",
        "float32",
    )
    assert card.scores.tensor.name == "logits"
    assert card.default_layer in [layer.name for layer in card.layers]
    assert "grad-cam" in [method.method for method in card.methods if method.available]
    page = str(card)
    assert all(word in page for word in ("input", "logits", card.default_layer, "grad-cam"))


def test_the_dog_is_above_and_the_cat_below(lite: backlit.Model, photo: Path):
    dog, cat = lite.explain(photo, target=[DOG, CAT])
    assert (dog.target, cat.target, dog.image, dog.method) == (DOG, CAT, 0, "grad-cam")
    rows = [np.unravel_index(e.heatmap.argmax(), e.heatmap.shape)[0] / e.heatmap.shape[0] for e in (dog, cat)]
    assert rows[0] < 0.5 < rows[1] + 0.5 / dog.heatmap.shape[0]
    assert dog.name == lite.class_names[DOG]
    assert dog.provenance.model_digest == lite.digest
    assert dog.provenance.preprocessing
    assert dog.provenance.preprocessing.preset == "efficientnet-lite"
    assert not dog.provenance.preprocessing_assumed
    assert dog.provenance.execution_provider


def test_a_picture_is_the_same_in_every_form(lite: backlit.Model, photo: Path):
    with Image.open(photo) as opened:
        image = opened.convert("RGB")
    forms = [photo, str(photo), photo.read_bytes(), image, np.asarray(image)]
    maps = [lite.explain(form, target=CAT)[0].heatmap for form in forms]
    for heatmap in maps[1:]:
        np.testing.assert_array_equal(heatmap, maps[0])


def test_images_are_outer_and_targets_inner(lite: backlit.Model):
    x = np.random.default_rng(0).normal(size=(2, 3, 224, 224)).astype(np.float32)
    both = lite.explain(x, "cam", target=[3, "top2"])
    assert [e.image for e in both] == [0, 0, 0, 1, 1, 1]
    assert [e.target for e in both][::3] == [3, 3]
    single = lite.explain(x[1], "cam", target=3)[0]
    np.testing.assert_allclose(both[3].heatmap, single.heatmap, rtol=1e-3, atol=1e-4)
    assert both[3].score == pytest.approx(single.score, rel=1e-4)


def test_a_seed_of_one_class_is_that_class(lite: backlit.Model, photo: Path):
    seed = np.zeros(1000)
    seed[CAT] = 1
    np.testing.assert_allclose(
        lite.explain(photo, target=seed)[0].heatmap, lite.explain(photo, target=CAT)[0].heatmap, rtol=1e-5, atol=1e-7
    )


def test_a_class_may_be_asked_for_by_name(lite: backlit.Model, photo: Path):
    assert lite.explain(photo, target=lite.class_names[CAT])[0].target == CAT


@pytest.mark.parametrize(
    ("finish", "shape", "dtype"),
    [
        ({"size": "input"}, (224, 224), np.float32),
        ({"size": (10, 20)}, (10, 20), np.float32),
        ({"normalize": True, "dtype": "float16"}, (7, 7), np.float16),
        ({"normalize": True, "dtype": "uint8"}, (7, 7), np.uint8),
    ],
)
def test_a_map_is_finished_as_asked(lite: backlit.Model, photo: Path, finish, shape, dtype):
    (answer,) = lite.explain(photo, target=CAT, **finish)
    assert (answer.heatmap.shape, answer.heatmap.dtype) == (shape, dtype)
    if finish.get("normalize"):
        whole, apart = {np.float16: (1, 2**-11), np.uint8: (255, 0.5)}[dtype]
        (wide,) = lite.explain(photo, target=CAT, normalize=True)
        assert abs(answer.heatmap.astype(np.float32) - whole * wide.heatmap).max() <= apart
        assert answer.heatmap.max() == whole
    assert answer.provenance.steps


def test_a_stream_ends_with_what_explain_returns(lite: backlit.Model, photo: Path):
    partials = list(lite.stream(photo, target=[DOG, CAT]))
    finals = [partial.heatmap for partial in partials if partial.final]
    for streamed, returned in zip(finals, lite.explain(photo, target=[DOG, CAT]), strict=True):
        np.testing.assert_array_equal(streamed, returned.heatmap)


def test_a_bad_item_does_not_end_a_stream_of_questions(lite: backlit.Model, photo: Path):
    items = [("a", photo), {"id": "b", "inputs": photo, "method": "no-such-method"}, {"inputs": photo, "target": DOG}]
    answers = dict(lite.explain_many(items, target=CAT))
    assert isinstance(answers.pop("b"), backlit.BadQuestion)
    targets = {item: [e.target for e in found] for item, found in answers.items() if isinstance(found, list)}
    assert targets == {"a": [CAT], 2: [DOG]}


@pytest.mark.parametrize(
    ("question", "error", "said"),
    [
        ({"method": "grad-camera"}, backlit.BadQuestion, "grad-cam"),
        ({"layer": "nowhere"}, backlit.BadQuestion, "nowhere"),
        ({"target": 1000}, backlit.BadQuestion, "1000"),
        ({"target": "unicorn horn"}, backlit.BadQuestion, "unicorn"),
        ({"sharpness": 3}, backlit.BadQuestion, "sharpness"),
        ({"preprocessing": "imagenette"}, backlit.BadQuestion, "imagenet"),
    ],
)
def test_a_bad_question_names_the_culprit(lite: backlit.Model, photo: Path, question, error, said):
    with pytest.raises(error, match=said):
        lite.explain(photo, **question)


def test_an_unknown_model_is_an_error_of_its_own(server: backlit.Server):
    with pytest.raises(backlit.UnknownModel, match="nobody"):
        server.model("nobody")


def test_a_file_that_is_no_model_is_refused(server: backlit.Server, photo: Path):
    with pytest.raises(backlit.BadModel):
        server.upload(photo)


def test_methods_and_presets_are_listed(server: backlit.Server, lite: backlit.Model):
    methods = {method.name: method for method in server.methods(lite)}
    assert {"grad-cam", "cam", "grad-cam++", "hires-cam", "layer-cam", "xgrad-cam", "score"} <= set(methods)
    assert methods["cam"].available
    assert methods["cam"].summary
    presets = {preset.preset: preset for preset in server.presets()}
    assert presets["efficientnet-lite"].mean == (127,)
    profiles = {profile.name: profile for profile in server.profiles()}
    assert profiles["torchcam"].layer == "last map"
    assert "sum relu(g) g^2" in profiles["torchcam"].deviations["grad-cam++"]


def test_a_profile_finishes_maps_as_its_library_does_unless_told_otherwise(lite: backlit.Model):
    x = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
    (finished,) = lite.explain(x, profile="pytorch-grad-cam")
    assert finished.heatmap.shape == (224, 224)
    assert (finished.heatmap.min(), round(float(finished.heatmap.max()), 4)) == (0, 1)
    (raw,) = lite.explain(x, profile="pytorch-grad-cam", size="layer", relu=False, normalize=False)
    (paper,) = lite.explain(x)
    assert np.array_equal(raw.heatmap, paper.heatmap)


def test_names_and_preprocessing_can_be_set_later_and_a_model_deleted(server: backlit.Server, shared: Path):
    model = server.upload(shared / "models/digits40-cnn-gap.onnx")
    named = model.update(
        name="digits", preprocessing={"mean": 0, "std": 255, "color": "grey"}, class_names="0123456789"
    )
    assert (named.name, named.class_names[3]) == ("digits", "3")
    assert server.model("digits").preprocessing == named.preprocessing
    named.delete()
    with pytest.raises(backlit.UnknownModel):
        server.model("digits")


def test_the_exported_model_is_an_onnx_file_with_its_heatmap(lite: backlit.Model, tmp_path: Path):
    import onnx

    model = onnx.load(lite.export(tmp_path / "rewritten.onnx"))
    assert "input" in [i.name for i in model.graph.input]
    assert "logits" in [o.name for o in model.graph.output]
    assert len(model.graph.output) > 1


async def test_asyncio_answers_the_same(address: str, lite: backlit.Model, photo: Path):
    async with backlit.aio.connect(address, timeout=120) as server:
        model = await server.model("lite")
        (awaited,) = await model.explain(photo, target=CAT)
        np.testing.assert_array_equal(awaited.heatmap, lite.explain(photo, target=CAT)[0].heatmap)
        assert [partial.final async for partial in model.stream(photo, target=CAT)][-1]
        with pytest.raises(backlit.UnknownModel):
            await server.model("nobody")


def test_a_private_server_lives_as_long_as_its_connection(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BACKLIT_STORE", str(tmp_path))
    with backlit.connect() as server:
        model = server.upload(shared / "models/digits40-cnn-gap.onnx")
        (explanation,) = model.explain(np.zeros((1, 40, 40), np.float32))
        assert explanation.heatmap.shape == (10, 10)
        address = server.address
    with backlit.connect(address) as gone, pytest.raises(backlit.ServerUnavailable):
        gone.models()


def test_without_the_server_extra_a_private_server_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("backlit.private.find_spec", lambda name: None)
    with pytest.raises(backlit.ServerUnavailable, match=r"pip install 'backlit\[server\]'"):
        backlit.connect()


def test_a_private_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("backlit.private.COMMAND", (sys.executable, "-c", "raise SystemExit('no room left')"))
    with pytest.raises(backlit.ServerUnavailable, match="no room left"):
        backlit.connect()
