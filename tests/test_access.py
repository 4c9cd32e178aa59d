"""Who gets in: the token that callers send."""

import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import (
    NotAuthenticated,
)
from stand_ins import (
    collected,
    open_house,
    refusal,
)


@pytest.mark.parametrize(
    ("sent", "admitted"),
    [(None, False), ("Bearer right", True), ("bearer right", True), ("Bearer wrong", False), ("right", False),
     ("Basic right", False), ("Bearer ", False)],
)  # fmt: skip
async def test_only_who_sends_the_token_gets_in(tmp_path, sent, admitted):
    token = tmp_path / "token"
    token.write_text("right\n")
    async with open_house(tmp_path / "store", token_file=token) as house:
        metadata = [("authorization", sent)] if sent is not None else []
        calls = [
            house.models.List(pb.ListRequest(), metadata=metadata),
            collected(house.explanations.ExplainMany(iter(()), metadata=metadata)),
        ]
        for call in calls:
            if admitted:
                await call
            else:
                assert isinstance(await refusal(call), NotAuthenticated)


async def test_a_changed_token_counts_at_once_and_a_lost_one_lets_nobody_in(tmp_path):
    token = tmp_path / "token"
    token.write_text("first")
    async with open_house(tmp_path / "store", token_file=token) as house:

        def listed(sent: str):
            return house.models.List(pb.ListRequest(), metadata=[("authorization", f"Bearer {sent}")])

        await listed("first")
        token.write_text("second!")
        assert isinstance(await refusal(listed("first")), NotAuthenticated)
        await listed("second!")
        token.unlink()
        assert isinstance(await refusal(listed("second!")), NotAuthenticated)
