"""ExplanationService over a real connection, errors as they travel, and who gets in."""

import asyncio

import grpc
import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import (
    BacklitError,
    BadQuestion,
    InternalError,
    UnknownModel,
    WorkerLost,
)
from backlit_server.execution import Execution
from backlit_server.methods import METHODS
from backlit_server.methods.presets import PRESETS
from backlit_server.methods.profiles import PROFILES
from stand_ins import (
    DIGEST,
    SECONDS,
    FakeDevice,
    House,
    collected,
    question,
    refusal,
    until,
    upload,
)


@pytest.fixture
async def ready(house: House) -> House:
    preprocessing = pb.Preprocessing(preset="caffe")
    await upload(house, name="demo", class_names=["cat", "dog", "Egyptian cat"], preprocessing=preprocessing)
    return house


async def test_a_question_reaches_the_worker_with_digest_class_and_preprocessing(ready):
    asked = question(targets=[pb.Target(class_name="dog"), pb.Target(class_name="EGYPTIAN CAT"), pb.Target(top=2)])
    answers = await collected(ready.explanations.Explain(asked))
    (seen,) = ready.pool.asked
    assert seen.question.model == DIGEST
    assert [t.class_index for t in seen.question.targets] == [1, 2, 0]
    assert seen.question.targets[2].top == 2
    assert seen.question.preprocessing.preset == "caffe"
    assert [a.explanations[0].target.class_name for a in answers] == ["cat", "dog", "Egyptian cat"]


async def test_the_preprocessing_of_a_question_wins_over_the_models(ready):
    await collected(ready.explanations.Explain(question(preprocessing=pb.Preprocessing(preset="raw"))))
    assert ready.pool.asked[0].question.preprocessing.preset == "raw"


REFUSED_QUESTIONS: dict[str, tuple[pb.ExplainRequest, type[BacklitError], str]] = {
    "no model": (question(model=""), BadQuestion, "say which model"),
    "an unknown model": (question(model="dmo"), UnknownModel, "there are demo"),
    "an unknown class": (question(targets=[pb.Target(class_name="Egyptian cta")]), BadQuestion, "Egyptian cat"),
    "a dead worker": (question(method="lost"), WorkerLost, "the worker died"),
}


@pytest.mark.parametrize("case", REFUSED_QUESTIONS)
async def test_a_question_that_cannot_be_answered_is_refused_with_the_way_out(ready, case):
    request, error, words = REFUSED_QUESTIONS[case]
    found = await refusal(collected(ready.explanations.Explain(request)))
    assert type(found) is error
    assert words in found.message


async def test_two_classes_of_one_name_are_asked_by_index(house):
    await upload(house, class_names=["crane", "dog", "crane"])
    request = question(model=DIGEST, targets=[pb.Target(class_name="crane")])
    assert "0, 2" in (await refusal(collected(house.explanations.Explain(request)))).message


async def test_a_class_name_of_a_model_without_names_is_refused(house):
    await upload(house)
    request = question(model=DIGEST, targets=[pb.Target(class_name="cat")])
    assert "no class names" in (await refusal(collected(house.explanations.Explain(request)))).message


async def test_a_defect_is_told_in_full_only_to_the_log(ready, caplog):
    found = await refusal(collected(ready.explanations.Explain(question(method="defect"), metadata=[REQUEST])))
    assert isinstance(found, InternalError)
    assert "secret" not in found.message
    assert found.details == {"request": "my-id"}
    assert "secret" in caplog.text


async def test_a_refusal_however_long_fits_into_the_trailer(ready):
    found = await refusal(collected(ready.explanations.Explain(question(method="overlong"))))
    assert isinstance(found, BadQuestion)
    assert found.message.endswith(" ...")


REQUEST = ("x-request-id", "my-id")


@pytest.mark.parametrize(("given", "kept"), [("my-id", True), ("with space", False), ("x" * 200, False)])
async def test_a_request_id_comes_back_if_it_can_be_logged_and_a_new_one_otherwise(house, given, kept):
    call = house.models.List(pb.ListRequest(), metadata=[("x-request-id", given)])
    await call
    found = dict(await call.trailing_metadata())["x-request-id"]
    assert (found == given) is kept
    assert found


async def test_leaving_a_stream_early_stops_the_work(ready):
    call = ready.explanations.Explain(question(method="endless"))
    await anext(aiter(call))
    assert ready.pool.working == 1
    call.cancel()
    await until(lambda: ready.pool.working == 0)


async def test_a_deadline_stops_the_work(ready):
    call = ready.explanations.Explain(question(method="pausing"), timeout=0.5)
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await collected(call)
    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: ready.pool.working == 0)


async def test_a_caller_who_does_not_read_stops_the_worker_from_going_on(ready):
    """Flow control reaches through to the pool: a million heatmaps of 100 kB would not fit anywhere."""
    call = ready.explanations.Explain(question(method="endless"))
    answers = aiter(call)
    await anext(answers)
    before = -1
    async with asyncio.timeout(SECONDS):
        while ready.pool.answered != before:
            before = ready.pool.answered
            await asyncio.gather(*(ready.models.List(pb.ListRequest()) for _ in range(20)))
    assert ready.pool.answered < 1000
    call.cancel()
    await until(lambda: ready.pool.working == 0)


async def test_methods_are_listed_from_the_table_with_what_a_model_can_answer(ready):
    listed = await ready.explanations.ListMethods(pb.ListMethodsRequest(model="demo"))
    assert [m.name for m in listed.methods] == list(METHODS)
    assert all(m.summary for m in listed.methods)
    (cam,) = [m for m in listed.methods if m.name == "cam"]
    assert (cam.support.available, cam.support.why_not) == (False, "the head is not pooling + linear")
    nobody = await ready.explanations.ListMethods(pb.ListMethodsRequest())
    assert not any(m.HasField("support") for m in nobody.methods)


async def test_profiles_are_listed_with_what_they_do_otherwise(house):
    listed = await house.explanations.ListMethods(pb.ListMethodsRequest())
    rows = {p.name: p for p in listed.profiles}
    assert list(rows) == list(PROFILES)
    assert rows["paper"].layer == "default"
    assert not rows["paper"].deviations
    assert rows["tf-keras-vis"].steps == ["relu", "resize", "normalize"]
    assert rows["torchcam"].deviations["grad-cam++"].startswith("Grad-CAM++ whose denominator is lost")


async def test_presets_are_spelled_out(house):
    listed = await house.explanations.ListMethods(pb.ListMethodsRequest())
    assert [p.preset for p in listed.presets] == list(PRESETS)
    caffe = listed.presets[list(PRESETS).index("caffe")]
    assert (caffe.color, caffe.mean[0]) == (pb.Preprocessing.COLOR_BGR, PRESETS["caffe"].mean[0])


async def test_devices_are_listed_with_what_is_amiss(house):
    lost = FakeDevice("cuda:1", "CUDAExecutionProvider", ready=False, note="it is gone", execution=Execution(tf32=True))
    house.pool.devices.append(lost)
    listed = (await house.explanations.ListDevices(pb.ListDevicesRequest())).devices
    assert [(d.name, d.execution_provider, d.ready, d.note) for d in listed] == [
        ("cpu", "CPUExecutionProvider", True, ""),
        ("cuda:1", "CUDAExecutionProvider", False, "it is gone"),
    ]
    assert listed[0].execution == pb.Execution(precision=pb.PRECISION_SINGLE)
    assert listed[1].execution == pb.Execution(precision=pb.PRECISION_SINGLE, tf32=True, convolution_search="heuristic")
