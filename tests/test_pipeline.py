"""Items of a stream are worked on ahead of their turn, but only so far as a caller may leave their results unread."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_server.service.pipeline import in_order
from backlit_server.workers.credit import ANSWERS, BYTES
from waiting import until

RESULTS = 9  # of each item


@pytest.mark.parametrize(("size", "ahead"), [(10, ANSWERS), (BYTES // 2, 2), (4 * BYTES, 1)])
async def test_work_on_an_item_pauses_while_its_results_wait(size, ahead):
    made = Counter[str]()

    async def items() -> AsyncIterator[str]:
        for item in "abc":
            yield item

    async def work(item: str) -> AsyncGenerator[pb.Picture, None]:
        for _ in range(RESULTS):
            made[item] += 1
            yield pb.Picture(file=item.encode() * size)

    async with aclosing(in_order(items(), work, 4)) as results:
        found = [await anext(results)]
        await until(lambda: made == {"a": 1 + ahead + 1, "b": ahead + 1, "c": ahead + 1})
        found += [result async for result in results]
    assert [result.file[:1] for result in found] == [item for item in (b"a", b"b", b"c") for _ in range(RESULTS)]
