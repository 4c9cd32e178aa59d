"""The grammar of a question: what may be given as inputs, target, size and the rest, and how it travels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backlit.card import Card, read_card
from backlit.inputs import encode_inputs
from backlit.preprocessing import Preprocessing
from backlit.questions import explain_request
from backlit.specs import Input, TensorSpec
from backlit.targets import encode_targets
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_proto.tensors import to_array

NCHW = Input(TensorSpec("image", "float32", (-1, 3, 4, 5), ("N", "", "", "")), "NCHW")
FREE = Input(TensorSpec("image", "float32", (-1, 3, -1, -1), ("N", "", "h", "w")), "NCHW")
BYTES = Input(TensorSpec("image", "uint8", (-1, 4, 5, 3), ("N", "", "", "")), "NHWC")
STATE = Input(TensorSpec("state", "float64", (-1, 2), ("N", "")), "")
SCORES = TensorSpec("scores", "float32", (-1, 3), ("N", ""))

IMAGE = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
PIXELS = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


def f32(values: list) -> np.ndarray:
    return np.array(values, np.float32)


def sent(inputs: object, *expected: Input) -> np.ndarray:
    """The tensor that travels for the only input."""
    request = encode_inputs(inputs, expected or (NCHW,))
    assert not request.pictures
    (tensor,) = request.inputs.values()
    return to_array(tensor)


@pytest.mark.parametrize(
    ("given", "travels"),
    [
        (IMAGE, IMAGE[None]),
        (IMAGE[None], IMAGE[None]),
        (np.stack([IMAGE, IMAGE + 1]), np.stack([IMAGE, IMAGE + 1])),
        ([IMAGE, IMAGE + 1], np.stack([IMAGE, IMAGE + 1])),
        ([IMAGE[None], IMAGE[None] + 1], np.stack([IMAGE, IMAGE + 1])),
        (IMAGE.astype(np.float64), IMAGE[None]),
        (IMAGE.astype(">f4"), IMAGE[None]),
        (IMAGE[:, ::-1], IMAGE[None, :, ::-1]),
        (IMAGE.tolist(), IMAGE[None]),
        ({"image": IMAGE}, IMAGE[None]),
    ],
)
def test_an_array_travels_with_its_batch_axis_and_in_the_models_precision(given, travels):
    got = sent(given)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, travels)


def test_several_inputs_travel_by_name_each_in_its_own_precision():
    request = encode_inputs({"image": IMAGE, "state": f32([1, 2])}, (NCHW, STATE))
    np.testing.assert_array_equal(to_array(request.inputs["image"]), IMAGE[None])
    np.testing.assert_array_equal(to_array(request.inputs["state"]), np.array([[1.0, 2]]))


def test_whole_numbers_are_not_silently_made_floats():
    assert sent(IMAGE.astype(np.int64)).dtype == np.int64


def test_uint8_is_a_tensor_where_the_model_takes_uint8_of_that_shape():
    np.testing.assert_array_equal(sent(PIXELS, BYTES), PIXELS[None])
    np.testing.assert_array_equal(sent([PIXELS, PIXELS], BYTES), np.stack([PIXELS, PIXELS]))
    assert len(encode_inputs(PIXELS[:3], (BYTES,)).pictures) == 1  # another height: a picture to be prepared


@pytest.mark.parametrize(
    ("given", "shapes"),
    [
        (PIXELS, [(4, 5, 3)]),
        (PIXELS[..., 0], [(4, 5)]),
        ([PIXELS, PIXELS[:2]], [(4, 5, 3), (2, 5, 3)]),
        (np.stack([PIXELS, PIXELS]), [(4, 5, 3), (4, 5, 3)]),
        (Image.fromarray(PIXELS), [(4, 5, 3)]),
        (Image.fromarray(PIXELS[..., 0]), [(4, 5)]),
        (Image.fromarray(PIXELS).convert("RGBA"), [(4, 5, 3)]),
        (Image.fromarray(PIXELS).convert("P"), [(4, 5, 3)]),
    ],
)
def test_uint8_arrays_and_pillow_images_are_pictures_of_pixels(given, shapes):
    request = encode_inputs(given, (FREE,))
    assert not request.inputs
    assert [tuple(picture.pixels.shape) for picture in request.pictures] == shapes


def test_a_pillow_image_keeps_its_pixels():
    (picture,) = encode_inputs(Image.fromarray(PIXELS), (NCHW,)).pictures
    np.testing.assert_array_equal(to_array(picture.pixels), PIXELS)


def test_files_travel_as_they_are(tmp_path: Path):
    file = tmp_path / "cat.png"
    Image.fromarray(PIXELS).save(file)
    request = encode_inputs([file, str(file), file.read_bytes(), bytearray(file.read_bytes())], (NCHW,))
    assert [picture.file for picture in request.pictures] == [file.read_bytes()] * 4


@pytest.mark.parametrize(
    ("given", "expected", "said"),
    [
        ("nowhere/cat.jpg", [NCHW], "nowhere/cat.jpg"),
        ([], [NCHW], "empty"),
        (None, [NCHW], "None"),
        (object(), [NCHW], "object"),
        (np.zeros((2, 2), np.float32), [NCHW], r"'image' takes \[N, 3, 4, 5\], or \[3, 4, 5\].*got \[2, 2\]"),
        ([IMAGE, IMAGE[:, 1:]], [NCHW], "different shapes"),
        ([IMAGE, PIXELS], [NCHW], "mix"),
        (np.zeros((1, 3, 4, 5), np.uint8), [NCHW], "neither a picture"),
        (IMAGE, [NCHW, STATE], "2 inputs"),
        ({"picture": IMAGE}, [NCHW], "no input 'picture'; it has image"),
        (IMAGE.astype(np.complex64), [NCHW], "complex64"),
    ],
)
def test_inputs_that_cannot_be_meant_are_refused(given, expected, said):
    with pytest.raises(BadQuestion, match=said):
        encode_inputs(given, expected)


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        (None, []),
        (281, [("class_index", 281)]),
        (np.int64(281), [("class_index", 281)]),
        ("tabby", [("class_name", "tabby")]),
        ("top5", [("top", 5)]),
        ("top-3", [("top", 3)]),
        ("topi", [("class_name", "topi")]),
        ([281, "tabby", "top2"], [("class_index", 281), ("class_name", "tabby"), ("top", 2)]),
        (range(2), [("class_index", 0), ("class_index", 1)]),
        (np.array([4, 5]), [("class_index", 4), ("class_index", 5)]),
    ],
)
def test_targets_are_classes_names_or_the_best_few(given, kinds):
    targets = encode_targets(given, SCORES)
    assert [(t.WhichOneof("kind"), getattr(t, str(t.WhichOneof("kind")))) for t in targets] == kinds


@pytest.mark.parametrize(
    ("given", "seeds"),
    [
        (np.array([1.0, 0, -1]), [[1, 0, -1]]),
        ([1.0, 0.0, -1.0], [[1, 0, -1]]),
        (np.eye(3), np.eye(3).tolist()),
        ([f32([1, 0, 0]), f32([0, 1, 0])], [[1, 0, 0], [0, 1, 0]]),
    ],
)
def test_a_float_array_is_seeds_one_a_row(given, seeds):
    got = [to_array(target.seed) for target in encode_targets(given, SCORES)]
    assert all(seed.dtype == np.float32 for seed in got)
    assert [seed.tolist() for seed in got] == seeds


def test_seeds_of_scores_with_several_axes_keep_them():
    (target,) = encode_targets(np.ones((7, 2)), TensorSpec("boxes", "float32", (1, 7, 2)))
    assert to_array(target.seed).shape == (7, 2)


@pytest.mark.parametrize("given", [True, [], "top0", 1.5, {"a": 1}, [None], np.ones((2, 2, 2))])
def test_targets_that_cannot_be_meant_are_refused(given):
    with pytest.raises(BadQuestion):
        encode_targets(given, SCORES)


class Stored:
    """What a question needs of a model."""

    digest = "d1"
    card: Card = read_card(
        pb.Card(
            inputs=[pb.Input(tensor=pb.TensorSpec(name="x", data_type=pb.DATA_TYPE_FLOAT32, shape=[-1, 2]))],
            scores=pb.Scores(tensor=pb.TensorSpec(name="y", data_type=pb.DATA_TYPE_FLOAT32, shape=[-1, 3])),
        )
    )


def ask(**question) -> pb.Question:
    return explain_request(Stored(), f32([1, 2]), **question).question  # pyright: ignore[reportArgumentType]


def test_a_bare_question_asks_for_the_raw_map_of_the_top_class():
    question = ask()
    assert (question.model, question.method, question.layer, question.profile) == ("d1", "grad-cam", "", "paper")
    assert not question.targets
    assert not question.HasField("preprocessing")
    assert question.rendering == pb.Rendering()


@pytest.mark.parametrize(
    ("given", "travels"),
    [
        ({"size": "input"}, pb.Rendering(size="SIZE_INPUT")),
        ({"size": (12, 30)}, pb.Rendering(size="SIZE_EXPLICIT", height=12, width=30)),
        ({"size": "layer"}, pb.Rendering(size="SIZE_LAYER")),
        ({"relu": True}, pb.Rendering(relu=True)),
        ({"relu": False, "normalize": False}, pb.Rendering(relu=False, normalize=False)),
        ({"normalize": True, "dtype": "uint8"}, pb.Rendering(normalize=True, data_type="DATA_TYPE_UINT8")),
        ({"dtype": np.float16}, pb.Rendering(data_type="DATA_TYPE_FLOAT16")),
        ({"dtype": "float32"}, pb.Rendering(data_type="DATA_TYPE_FLOAT32")),
    ],
)
def test_the_finish_of_a_map_is_asked_for_by_name(given, travels):
    assert ask(**given).rendering == travels


def test_several_layers_and_smoothing_are_asked_for_by_name():
    question = ask(layers=("a", "b"), fuse="tanh-max", smoothing="augmentation")
    assert (question.layer, list(question.layers)) == ("", ["a", "b"])
    assert question.fusion == pb.Question.FUSION_TANH_MAX
    assert question.smoothing == [pb.Question.SMOOTHING_AUGMENTATION]
    both = ask(smoothing=["eigen", "augmentation"])
    assert both.fusion == pb.Question.FUSION_UNSPECIFIED
    assert both.smoothing == [pb.Question.SMOOTHING_EIGEN, pb.Question.SMOOTHING_AUGMENTATION]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"fuse": "sum"}, "'mean', 'max', 'product', 'tanh_max'"),
        ({"smoothing": "blur"}, "'eigen', 'augmentation'"),
        ({"size": "huge"}, "size is 'huge'; it can be 'layer', 'input'"),
        ({"size": (1, 2, 3)}, "height, width"),
        ({"size": (0, 2)}, "height, width"),
        ({"size": 7}, "height, width"),
        ({"dtype": "int64"}, "'float32', 'float16', 'uint8'"),
        ({"dtype": "soft"}, "soft"),
        ({"masks": object()}, "masks is of type object"),
        ({"preprocessing": {"means": 1}}, "no means; it has preset, mean"),
        ({"preprocessing": {"color": "pink"}}, "'rgb', 'bgr', 'grey'"),
        ({"preprocessing": {"height": -1}}, "cannot be sent"),
        ({"preprocessing": 3}, "int"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(given, said):
    with pytest.raises(BadQuestion, match=said):
        ask(**given)


def test_parameters_travel_by_name_with_numpys_numbers_as_plain_ones():
    question = ask(masks=np.int64(4000), sizes=(1, 2.5), flag=True, baseline=np.zeros(2), mode="blur", nothing=None)
    travelled = {"masks": 4000, "sizes": [1, 2.5], "flag": True, "baseline": [0, 0], "mode": "blur", "nothing": None}
    expected = pb.Question()
    expected.parameters.update(travelled)
    assert question.parameters == expected.parameters


def test_parameters_of_several_axes_travel_as_tensors():
    asked = ask(method="integrated-gradients", baseline=IMAGE, steps=np.array(20))
    assert np.array_equal(to_array(asked.arrays["baseline"]), IMAGE)
    assert dict(asked.parameters) == {"steps": 20}


def test_a_question_larger_than_a_message_says_so_before_it_is_sent():
    with pytest.raises(BadQuestion, match="explain_many"):
        explain_request(Stored(), np.zeros((9_000_000, 2), np.float32))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("imagenet", Preprocessing(preset="imagenet")),
        ({"mean": 127, "std": [128]}, Preprocessing(mean=(127,), std=(128,))),
        (Preprocessing(color="grey", fit="pad", crop=0.5), Preprocessing(color="grey", fit="pad", crop=0.5)),
        ({"preset": "unit", "computed_by": "Graph"}, Preprocessing(preset="unit", computed_by="graph")),
    ],
)
def test_preprocessing_survives_the_wire(given, kept):
    assert Preprocessing.read(Preprocessing.of(given).message()) == kept
