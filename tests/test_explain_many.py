"""Many questions over one stream: each with its answers, or with why it has none."""

from collections.abc import Iterable

import grpc
import pytest

from backlit_proto import backlit_pb2 as pb
from stand_ins import (
    SECONDS,
    House,
    collected,
    question,
    until,
    upload,
)


@pytest.fixture
async def house(house: House) -> House:
    await upload(house, name="demo")
    return house


def items(*methods: str) -> list[pb.ExplainManyRequest]:
    return [pb.ExplainManyRequest(item=f"{i}", request=question(method=m)) for i, m in enumerate(methods)]


def told(responses: Iterable[pb.ExplainManyResponse]) -> list[tuple[str, int | str]]:
    return [(r.item, r.status.code if r.HasField("status") else "map") for r in responses]


async def test_many_questions_are_answered_in_order_and_a_bad_one_ends_only_itself(house):
    asked = items("grad-cam", "lost", "cam", "defect")
    asked[2].request.question.model = "nobody"
    asked += items("grad-cam")
    responses = await collected(house.explanations.ExplainMany(iter(asked), timeout=SECONDS))
    maps = [("0", "map")] * 3 + [("0", 0)]
    assert told(responses) == [*maps, ("1", 14), ("2", 5), ("3", 13), *maps]
    info = pb.ErrorInfo.FromString(responses[4].status.details[0].value)
    assert (info.reason, responses[4].status.message) == ("WORKER_LOST", "the worker died")


async def test_an_item_is_answered_while_the_stream_stays_open(house):
    call = house.explanations.ExplainMany(timeout=SECONDS)
    for item in items("grad-cam", "grad-cam"):
        await call.write(item)
        responses = [await call.read() for _ in range(4)]
        assert told(responses) == [(item.item, "map")] * 3 + [(item.item, 0)]
    await call.done_writing()
    assert not await call.read()
    assert await call.code() == grpc.StatusCode.OK


async def test_leaving_a_stream_of_many_questions_stops_all_their_work(house):
    call = house.explanations.ExplainMany(iter(items(*["endless"] * 10)))
    await anext(aiter(call))
    await until(lambda: house.pool.working > 1)
    assert house.pool.working <= 6
    call.cancel()
    await until(lambda: house.pool.working == 0)
