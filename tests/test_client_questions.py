"""The grammar of a question: what may be given as inputs, target, size and the rest, and how it travels."""

import numpy as np
import pytest

from backlit.card import Card, read_card
from backlit.preprocessing import Preprocessing
from backlit.questions import explain_request
from backlit.specs import TensorSpec
from backlit.targets import encode_targets
from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_proto.tensors import to_array

IMAGE = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
SCORES = TensorSpec("scores", "float32", (-1, 3), ("N", ""))


def f32(values: list) -> np.ndarray:
    return np.array(values, np.float32)


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
