"""What callers see of a model's self-check: in every answer, and instead of one where the gradients are wrong."""

import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import NotDifferentiable
from stand_ins import House, collected, question, refusal, upload

AGREES = pb.Comparison(verdict=pb.Comparison.VERDICT_AGREES, error=1e-7, doubt=1e-9, gradient=3.25, difference=3.25)
DIFFERS = pb.Comparison(verdict=pb.Comparison.VERDICT_DIFFERS, error=0.5, doubt=1e-3, gradient=2.5, difference=1.25)
NOT_CHECKED = pb.Comparison(verdict=pb.Comparison.VERDICT_NOT_CHECKED, explanation="not checked: quantised")


async def stored(house: House, head: pb.Comparison, network: pb.Comparison) -> pb.SelfCheck:
    """A model whose examination found this."""
    house.admission.card = pb.Card(self_check=pb.SelfCheck(head=head, network=network))
    return (await upload(house, name="demo")).model.card.self_check


async def test_every_answer_tells_how_far_its_gradients_can_be_trusted(house):
    checked = await stored(house, AGREES, NOT_CHECKED)
    answers = await collected(house.explanations.Explain(question()))
    assert [answer.provenance.self_check for answer in answers] == [checked] * 3


@pytest.mark.parametrize(("head", "network"), [(DIFFERS, AGREES), (AGREES, DIFFERS)], ids=["head", "network"])
async def test_wrong_gradients_are_refused_with_both_numbers(house, head, network):
    await stored(house, head, network)
    for call in (
        collected(house.explanations.Explain(question(method="grad-cam"))),
        collected(house.models.Export(pb.ExportRequest(model="demo"))),
    ):
        found = await refusal(call)
        assert type(found) is NotDifferentiable
        assert "the gradient says 2.5 and finite differences 1.25" in found.message
        assert (found.details["gradient"], found.details["difference"]) == ("2.5", "1.25")
    assert not house.pool.asked
    assert not house.admission.exported


async def test_methods_without_gradients_are_answered_all_the_same(house):
    await stored(house, DIFFERS, DIFFERS)
    assert len(await collected(house.explanations.Explain(question(method="cam")))) == 3


async def test_what_was_not_checked_is_answered(house):
    await stored(house, NOT_CHECKED, NOT_CHECKED)
    assert len(await collected(house.explanations.Explain(question()))) == 3


async def test_models_of_versions_that_did_not_check_are_answered(house):
    await upload(house, name="demo")
    (answer, *_) = await collected(house.explanations.Explain(question()))
    assert not answer.provenance.HasField("self_check")
