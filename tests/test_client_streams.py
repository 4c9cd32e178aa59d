"""Streams of answers and of questions: leaving early, order, and items that go wrong."""

from collections.abc import Iterator

import numpy as np
import pytest

import backlit
from fake_server import WAIT, Fake, fake_server


@pytest.fixture
def fake() -> Iterator[Fake]:
    with fake_server() as fake:
        yield fake


def f32(values: list) -> np.ndarray:
    return np.array(values, np.float32)


def test_leaving_a_stream_early_stops_the_servers_work(fake: Fake):
    with backlit.connect(fake.address) as server:
        stream = server.model("m").stream(f32([3, 4]), "slow")
        partial = next(stream)
        assert (partial.progress, partial.final, partial.heatmap.tolist()) == (0.5, False, [[3]])
        stream.close()  # pyright: ignore[reportAttributeAccessIssue]
        assert fake.explanations.cancelled.wait(WAIT)


async def test_leaving_a_stream_early_stops_the_servers_work_with_asyncio_too(fake: Fake):
    async with backlit.aio.connect(fake.address) as server:
        stream = (await server.model("m")).stream(f32([3, 4]), "slow")
        assert (await anext(stream)).heatmap.tolist() == [[3]]
        await stream.aclose()
        assert fake.explanations.cancelled.wait(WAIT)


MANY = [
    f32([1, 0]),
    ("two", f32([2, 0])),
    {"id": "three", "inputs": f32([3, 0]), "method": "unknown"},
    ("four", "nowhere.jpg"),
    {"inputs": f32([[5, 0], [6, 0]])},
    ("six", "nowhere.jpg"),
]


def told(results: list) -> list:
    return [
        (name, type(r) if isinstance(r, backlit.BacklitError) else [e.heatmap.item() for e in r]) for name, r in results
    ]


EXPECTED = [
    (0, [1.0]),
    ("two", [2.0]),
    ("three", backlit.BadQuestion),
    ("four", backlit.BadQuestion),
    (4, [5.0, 6.0]),
    ("six", backlit.BadQuestion),
]


def test_many_questions_are_answered_in_order_and_a_bad_one_harms_no_other(fake: Fake):
    with backlit.connect(fake.address) as server:
        assert told(list(server.model("m").explain_many(MANY))) == EXPECTED


async def test_many_questions_may_come_from_an_asynchronous_source(fake: Fake):
    async def items():
        for item in MANY:
            yield item

    async with backlit.aio.connect(fake.address) as server:
        model = await server.model("m")
        assert told([result async for result in model.explain_many(items())]) == EXPECTED
        assert told([result async for result in model.explain_many(MANY)]) == EXPECTED


def test_a_failing_source_of_questions_raises_its_own_error_after_the_answers(fake: Fake):
    def items():
        yield f32([1, 0])
        raise RuntimeError("my disk broke")

    with backlit.connect(fake.address) as server:
        results = server.model("m").explain_many(items())
        assert told([next(results)]) == [(0, [1.0])]
        with pytest.raises(RuntimeError, match="my disk broke"):
            next(results)
