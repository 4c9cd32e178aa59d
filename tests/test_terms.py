"""On what terms questions reach the workers: for whom, how urgently, and until when."""

import math
import time

import grpc
import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto import backlit_pb2_grpc as services
from backlit_proto.errors import BadQuestion
from backlit_server.workers.terms import Priority
from stand_ins import SECONDS, House, collected, question, refusal, until, upload

AUDIT = pb.Question.PRIORITY_AUDIT
INTERACTIVE = pb.Question.PRIORITY_INTERACTIVE


@pytest.fixture
async def house(house: House) -> House:
    await upload(house, name="demo")
    return house


def asked(priority: pb.Question.Priority) -> pb.ExplainRequest:
    request = question()
    request.question.priority = priority
    return request


@pytest.mark.parametrize(
    ("priority", "seen"),
    [
        (pb.Question.PRIORITY_UNSPECIFIED, Priority.INTERACTIVE),
        (INTERACTIVE, Priority.INTERACTIVE),
        (AUDIT, Priority.AUDIT),
    ],
)
async def test_explain_is_interactive_unless_it_says_audit(house, priority, seen):
    await collected(house.explanations.Explain(asked(priority)))
    assert [terms.priority for terms in house.pool.terms] == [seen]
    assert house.pool.asked[0].question.priority == 0, "questions in the same words stay the same words"


async def test_explain_many_is_an_audit_unless_it_says_interactive(house):
    several = [asked(pb.Question.PRIORITY_UNSPECIFIED), asked(INTERACTIVE)]
    items = [pb.ExplainManyRequest(item=str(k), request=one) for k, one in enumerate(several)]
    await collected(house.explanations.ExplainMany(iter(items)))
    assert sorted(terms.priority for terms in house.pool.terms) == [Priority.INTERACTIVE, Priority.AUDIT]


async def test_a_priority_that_is_none_is_refused_with_those_that_are(house):
    wrong = asked(7)  # type: ignore[arg-type]  # there is no such priority
    error = await refusal(collected(house.explanations.Explain(wrong)))
    assert isinstance(error, BadQuestion)
    assert "no priority 7; there are 1, interactive, 2, audit" in error.message


async def test_the_deadline_travels_with_the_question(house):
    before = time.monotonic()
    await collected(house.explanations.Explain(question(), timeout=SECONDS))
    (terms,) = house.pool.terms
    assert before < terms.deadline < time.monotonic() + 2 * SECONDS, "gRPC rounds it up"
    await collected(house.explanations.Explain(question()))
    assert house.pool.terms[-1].deadline == math.inf


async def test_a_question_is_let_go_when_its_deadline_passes(house):
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await collected(house.explanations.Explain(question(method="endless"), timeout=0.3))
    assert ended.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: not house.pool.working)


async def test_each_connection_is_a_caller(house):
    await collected(house.explanations.Explain(question()))
    await collected(house.explanations.Explain(question()))
    alone = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(house.address, alone) as channel:
        await collected(services.ExplanationServiceStub(channel).Explain(question()))
    first, second, other = (terms.caller for terms in house.pool.terms)
    assert first == second != other
