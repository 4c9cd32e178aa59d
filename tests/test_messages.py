"""Questions, answers and refusals arrive as they were sent, tensors to the last bit."""

import math

import numpy as np
import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BadQuestion
from backlit_proto.tensors import DTYPES, data_type_of, to_array, to_tensor
from backlit_server.workers.channel import Frame, Kind
from backlit_server.workers.messages import (
    attach_answer,
    attach_question,
    detach_answer,
    detach_question,
    pack_refusal,
    unpack_refusal,
)
from backlit_server.workers.terms import Priority, Terms
from crossing import crossing

TERMS = Terms("ipv4:127.0.0.1:5", Priority.AUDIT, 12.5)
SHAPES = [(), (0,), (1,), (3, 0, 2), (2, 3, 5), (1, 3, 64, 64)]


def values(dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Every pattern of bits, NaNs among them."""
    bits = np.random.default_rng(0).bytes(dtype.itemsize * math.prod(shape))
    array = np.frombuffer(bits, np.uint8) & 1 if dtype.kind == "b" else np.frombuffer(bits, dtype)
    return array.astype(dtype).reshape(shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_the_tensors_of_a_question_arrive_unchanged(channels, dtype, shape):
    x = values(dtype, shape)
    request = pb.ExplainRequest(
        question=pb.Question(model="m"), inputs={"b": to_tensor(x), "a": to_tensor(np.empty((2, 0), dtype))}
    )
    frame = crossing(channels, Frame(Kind.EXPLAIN, 7, *detach_question(request, TERMS)))
    terms, bare, (a, b) = attach_question(frame.body, frame.blobs)
    assert (frame.kind, frame.question, bare.question.model) == (Kind.EXPLAIN, 7, "m")
    assert terms == TERMS
    assert not bare.inputs["b"].data
    assert (b.dtype, b.shape, b.tobytes()) == (dtype, shape, x.tobytes())
    assert a.size == 0


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_a_heatmap_arrives_unchanged(channels, dtype, shape):
    x = values(dtype, shape)
    bare = pb.ExplainResponse(progress=0.5)
    bare.explanations.add(heatmap=pb.Tensor(data_type=data_type_of(dtype), shape=shape))
    frame = crossing(channels, Frame(Kind.ANSWER, 7, *detach_answer(bare, [x])))
    response = attach_answer(frame.body, frame.blobs)
    assert response.progress == 0.5
    y = to_array(response.explanations[0].heatmap)
    assert (y.dtype, y.shape, y.tobytes()) == (dtype, shape, x.tobytes())


def test_a_heatmap_that_is_a_view_arrives_in_its_own_order(channels):
    x = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    bare = pb.ExplainResponse()
    bare.explanations.add(heatmap=pb.Tensor(data_type=pb.DATA_TYPE_FLOAT32, shape=x.shape))
    frame = crossing(channels, Frame(Kind.ANSWER, 1, *detach_answer(bare, [x])))
    assert np.array_equal(to_array(attach_answer(frame.body, frame.blobs).explanations[0].heatmap), x)


def test_tensors_find_their_places_in_inputs_pictures_and_seeds(channels):
    one, two, three = (to_tensor(np.full((2, 2), n, np.uint8)) for n in (1, 2, 3))
    request = pb.ExplainRequest(
        question=pb.Question(targets=[pb.Target(class_index=5), pb.Target(seed=one)]),
        inputs={"x": two},
        pictures=[pb.Picture(file=b"jpeg"), pb.Picture(pixels=three)],
    )
    frame = crossing(channels, Frame(Kind.EXPLAIN, 1, *detach_question(request, TERMS)))
    _, bare, tensors = attach_question(frame.body, frame.blobs)
    assert [int(t[0, 0]) for t in tensors] == [1, 2, 3]
    assert bare.pictures[0].file == b"jpeg"
    assert request.pictures[1].pixels.data == b"", "the bytes travel apart"


def test_a_tensor_whose_bytes_do_not_fit_its_shape_is_refused():
    request = pb.ExplainRequest(inputs={"": pb.Tensor(data_type=pb.DATA_TYPE_FLOAT32, shape=[3], data=b"12345")})
    with pytest.raises(BadQuestion, match="5 bytes"):
        attach_question(*detach_question(request, TERMS))


def test_a_refusal_keeps_its_class_message_and_details():
    error = unpack_refusal(pack_refusal(BadQuestion("no layer 'x'; there is y", layer="x")))
    assert type(error) is BadQuestion
    assert (error.message, error.details) == ("no layer 'x'; there is y", {"layer": "x"})
