"""What is wrong with a question, an input or a file is told by a real server, with what is valid."""

import numpy as np
import pytest

import backlit

DIGITS = "digits40-cnn-gap"


def test_a_bad_item_does_not_end_the_stream(upload, digits40):
    model = upload(DIGITS)
    wrong = np.zeros((1, 3, 40, 40), np.float32)
    answers = list(model.explain_many([("a", digits40[:1]), ("b", wrong), ("c", digits40[1:3])]))
    assert [item for item, _ in answers] == ["a", "b", "c"]
    assert len(answers[0][1]) == 1
    assert isinstance(answers[1][1], backlit.BadQuestion)
    assert len(answers[2][1]) == 2


QUESTIONS = [
    ({"method": "grad-kam"}, backlit.BadQuestion, "grad-cam"),
    ({"layer": "nowhere"}, backlit.BadQuestion, "nowhere"),
    ({"target": 10}, backlit.BadQuestion, "0 to 9"),
    ({"target": "top11"}, backlit.BadQuestion, "10"),
    ({"eps": 1.0}, backlit.BadQuestion, "eps"),
    ({"profile": "keras"}, backlit.BadQuestion, "pytorch-grad-cam"),
    ({"target": np.ones((1, 3), np.float32)}, backlit.BadQuestion, "seed"),
]


@pytest.mark.parametrize(("asked", "error", "says"), QUESTIONS, ids=lambda v: str(v)[:30])
def test_a_question_that_cannot_be_answered_is_refused_with_what_is_valid(upload, digits40, asked, error, says):
    with pytest.raises(error, match=says):
        upload(DIGITS).explain(digits40[0], **asked)


INPUTS = [
    (np.zeros((1, 3, 40, 40), np.float32), "1, 40, 40"),
    (np.zeros((1, 40, 40, 1), np.float32), "1, 40, 40"),
    (np.zeros((1, 1, 40, 40), np.int64), "float32"),
    (np.full((1, 1, 40, 40), np.nan, np.float32), "NaN"),
    (np.full((1, 1, 40, 40), np.inf, np.float32), "infinity"),
    (np.zeros((0, 1, 40, 40), np.float32), "at least one"),
    ({"nothing": np.zeros((1, 1, 40, 40), np.float32)}, "input"),
]


@pytest.mark.parametrize(("x", "says"), INPUTS, ids=lambda v: str(v)[:20])
def test_a_wrong_input_is_refused_with_what_was_expected(upload, x, says):
    with pytest.raises(backlit.BadQuestion, match=says):
        upload(DIGITS).explain(x)


def test_cam_is_refused_where_the_head_is_not_linear(upload):
    model = upload("mnist-dianna")
    with pytest.raises(backlit.NotExplainable, match="grad-cam"):
        model.explain(np.zeros((1, 1, 28, 28), np.float32), method="cam")
    assert "grad-cam" in next(m.why_not for m in model.card.methods if m.method == "cam")


def test_a_model_without_a_spatial_layer_says_so(upload):
    model = upload("silero-vad")
    inputs = {
        "input": np.zeros((1, 512), np.float32),
        "state": np.zeros((2, 1, 128), np.float32),
        "sr": np.array(16000),
    }
    with pytest.raises(backlit.NotExplainable, match="no input is an image"):
        model.explain(inputs)
    assert model.explain(inputs, method="score")[0].heatmap.shape == (1, 1, 1)


def test_an_unknown_model_is_not_found(server):
    with pytest.raises(backlit.UnknownModel):
        server.model("no-such-model")


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"this is no model", backlit.BadModel), (b"", backlit.BacklitError), (b"\x08\x0a" * 50, backlit.BadModel)],
)
def test_what_is_not_a_model_is_refused(server, data, error):
    before = {m.digest for m in server.models()}
    with pytest.raises(error):
        server.upload(data)
    assert {m.digest for m in server.models()} == before
