"""ModelService over a real connection: uploads, lists, changes, exports, deletes."""

import asyncio
import hashlib

import pytest

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import (
    BacklitError,
    BadModel,
    BadQuestion,
    BadUpload,
    Busy,
    CorruptModel,
    DeadlineExceeded,
    Overloaded,
    UnknownModel,
    WrongOffset,
)
from backlit_server.methods import METHODS
from backlit_server.settings import MB
from stand_ins import (
    BYTES,
    CARD,
    DIGEST,
    SECONDS,
    WEIGHTS,
    collected,
    open_house,
    patient_upload,
    refusal,
    until,
    upload,
    upload_parts,
)


async def test_an_uploaded_model_is_answered_with_its_card_and_can_be_looked_up(house):
    answer = await upload(house, name="demo", class_names=["a", "b", "c"], preprocessing=pb.Preprocessing(preset="raw"))
    model = answer.model
    assert (answer.known, model.digest, model.name, model.size) == (False, DIGEST, "demo", len(BYTES))
    assert model.card.execution_provider == "CPUExecutionProvider"
    assert list(model.class_names) == ["a", "b", "c"]
    assert model.preprocessing.preset == "raw"
    for reference in ("demo", DIGEST, DIGEST[:8]):
        assert (await house.models.Get(pb.GetRequest(model=reference))).model == model


async def test_known_bytes_need_no_chunks_and_no_examination(house):
    await upload(house)
    header = upload_parts(BYTES, name="second", class_names=["x", "y", "z"])[:1]
    answer = await house.models.Upload(iter(header), timeout=SECONDS)
    assert (answer.known, answer.model.name, list(answer.model.class_names)) == (True, "second", ["x", "y", "z"])
    assert len(house.admission.examined) == 1


async def test_a_model_whose_card_knows_other_methods_is_examined_anew_and_keeps_its_name(house):
    house.admission.card = pb.Card(methods=[pb.MethodSupport(method="of yore", available=True)])
    await upload(house, name="old")
    house.admission.card = CARD
    answer = await house.models.Upload(iter(upload_parts(BYTES)[:1]), timeout=SECONDS)
    assert (answer.known, answer.model.name) == (True, "old")
    assert [row.method for row in answer.model.card.methods] == list(METHODS)
    assert len(house.admission.examined) == 2


async def test_a_refused_model_leaves_nothing_behind(house, tmp_path):
    error = await refusal(upload(house, b"bad"))
    assert isinstance(error, BadModel)
    assert not [path for folder in ("models", "uploads") for path in (tmp_path / folder).iterdir()]
    assert not (await house.models.List(pb.ListRequest())).models


async def test_a_client_that_leaves_can_go_on_where_the_server_stands(house):
    call = house.models.Upload()
    for part in upload_parts(BYTES)[:3]:
        await call.write(part)
    request = pb.GetUploadRequest(digest=DIGEST)

    async def committed() -> pb.GetUploadResponse:
        return await house.models.GetUpload(request)

    async with asyncio.timeout(SECONDS):
        while (await committed()).committed < 2 * MB:
            await asyncio.sleep(0.005)
    call.cancel()
    answer = await patient_upload(house, offset=2 * MB)
    assert (answer.known, answer.model.digest) == (False, DIGEST)
    assert (await committed()) == pb.GetUploadResponse(complete=True)


async def test_a_corrupt_stored_model_is_healed_by_an_upload(house, tmp_path):
    await upload(house)
    stored = tmp_path / "models" / DIGEST / "model.onnx"
    stored.write_bytes(BYTES[:-1] + b"!")
    error = await refusal(collected(house.models.Export(pb.ExportRequest(model=DIGEST))))
    assert isinstance(error, CorruptModel)
    assert not (await house.models.GetUpload(pb.GetUploadRequest(digest=DIGEST))).complete
    assert not (await upload(house)).known
    assert stored.read_bytes() == BYTES


async def test_two_uploads_of_one_model_at_once_are_one_upload_and_one_refusal(house):
    house.admission.pause = asyncio.Event()
    first = asyncio.create_task(upload(house))
    await until(lambda: house.admission.examined)
    assert isinstance(await refusal(upload(house)), Busy)
    house.admission.pause.set()
    assert (await first).model.digest == DIGEST


CHUNK = pb.UploadRequest(chunk=b"x")
REFUSED_UPLOADS: dict[str, tuple[list[pb.UploadRequest], type[BacklitError], str]] = {
    "nothing": ([], BadUpload, "begins with its header"),
    "a chunk first": ([CHUNK], BadUpload, "begins with its header"),
    "two headers": (upload_parts(b"abc")[:1] * 2, BadUpload, "chunks only"),
    "an empty part": ([*upload_parts(b"abc")[:1], pb.UploadRequest()], BadUpload, "chunks only"),
    "no digest": (upload_parts(b"abc", digest=""), BadUpload, "not a SHA-256"),
    "a path": (upload_parts(b"abc", digest="../../../../etc/passwd"), BadUpload, "not a SHA-256"),
    "a wrong digest": (upload_parts(b"abc", digest=DIGEST), BadUpload, "as declared"),
    "no size": (upload_parts(b"abc", size=0), BadUpload, "no size"),
    "a size too small": (upload_parts(b"abc", size=2), BadUpload, "more bytes than the 2 declared"),
    "a truncated upload": (upload_parts(b"abc", size=4), BadUpload, "after 3 of 4 bytes"),
    "a wrong offset": (upload_parts(b"abc", offset=1), WrongOffset, "go on there, not at 1"),
    "too large": (upload_parts(b"abc", size=2 * MB), Overloaded, "2.0 MB; this server takes 1 MB"),
    "a bad name": (upload_parts(b"abc", name="a/b"), BadQuestion, "cannot be a name"),
    "an unknown preset": (upload_parts(b"abc", preprocessing=pb.Preprocessing(preset="?")), BadQuestion, "imagenet"),
    "a std of 0": (upload_parts(b"abc", preprocessing=pb.Preprocessing(std=[0])), BadQuestion, "std of 0"),
    "a NaN": (upload_parts(b"abc", preprocessing=pb.Preprocessing(mean=[float("nan")])), BadQuestion, "not finite"),
    "class names of another model": (
        upload_parts(b"abc", class_names=["a"]),
        BadQuestion,
        "3 classes and 1 class names",
    ),
}


@pytest.mark.parametrize("case", REFUSED_UPLOADS)
async def test_an_upload_that_cannot_be_is_refused_and_shows_nothing(tmp_path, case):
    requests, error, words = REFUSED_UPLOADS[case]
    async with open_house(tmp_path, max_upload_mb=1) as house:
        found = await refusal(house.models.Upload(iter(requests), timeout=SECONDS))
        assert type(found) is error
        assert words in found.message
        assert not (await house.models.List(pb.ListRequest())).models


async def test_refusals_of_an_upload_tell_programs_where_to_go_on(house):
    first = await refusal(house.models.Upload(iter([*upload_parts(b"abcdef")[:1], CHUNK]), timeout=SECONDS))
    second = await refusal(upload(house, b"abcdef"))
    assert (type(first), first.details) == (BadUpload, {"committed": "1"})
    assert (type(second), second.details) == (WrongOffset, {"committed": "1"})


async def test_an_upload_that_pauses_too_long_is_ended_and_keeps_its_bytes(tmp_path):
    async with open_house(tmp_path, upload_idle_seconds=1) as house:
        call = house.models.Upload(timeout=SECONDS)
        for part in upload_parts(BYTES)[:2]:
            await call.write(part)
        assert isinstance(await refusal(call), DeadlineExceeded)
        assert (await house.models.GetUpload(pb.GetUploadRequest(digest=DIGEST))).committed == MB


# --------------------------------------------------- lists, changes, exports


async def test_models_are_listed_page_by_page(house):
    for data in (b"1", b"2", b"3"):
        await upload(house, data, class_names=["a", "b", "c"])
    first = await house.models.List(pb.ListRequest(page_size=2))
    rest = await house.models.List(pb.ListRequest(page_size=2, page_token=first.next_page_token))
    sizes = [(len(page.models), bool(page.next_page_token)) for page in (first, rest)]
    assert sizes == [(2, True), (1, False)]
    assert not any(model.class_names for model in (*first.models, *rest.models))
    assert first.models[0].digest == hashlib.sha256(b"3").hexdigest()


async def test_update_changes_what_is_set_and_leaves_the_rest(house):
    await upload(house, name="demo", class_names=["a", "b", "c"])
    update = pb.UpdateRequest(model="demo", preprocessing=pb.Preprocessing(preset="caffe"))
    changed = (await house.models.Update(update)).model
    assert (changed.name, changed.preprocessing.preset, len(changed.class_names)) == ("demo", "caffe", 3)
    nameless = (await house.models.Update(pb.UpdateRequest(model="demo", name=""))).model
    assert (nameless.name, nameless.preprocessing.preset) == ("", "caffe")
    bad = pb.UpdateRequest(model=DIGEST, class_names=["a"])
    assert isinstance(await refusal(house.models.Update(bad)), BadQuestion)


async def test_a_deleted_model_is_forgotten_by_the_workers_too(house):
    await upload(house, name="demo")
    await house.models.Delete(pb.DeleteRequest(model="demo"))
    assert house.pool.forgotten == [DIGEST]
    assert isinstance(await refusal(house.models.Get(pb.GetRequest(model="demo"))), UnknownModel)


async def test_an_export_comes_in_chunks_with_size_and_digest_and_leaves_no_file(house, tmp_path):
    await upload(house)
    request = pb.ExportRequest(model=DIGEST[:12], layer="features")
    responses = await collected(house.models.Export(request))
    data = b"".join(response.chunk for response in responses)
    assert data == b"exported " + BYTES
    assert (responses[0].size, responses[0].digest) == (len(data), hashlib.sha256(data).hexdigest())
    assert (len(responses), house.admission.exported) == (4, [("features", "grad-cam")])
    assert not list((tmp_path / "uploads").iterdir())


async def test_weights_come_in_chunks_behind_what_they_are_and_leave_no_file(house, tmp_path):
    await upload(house, name="demo")
    listed = await house.models.ListWeights(pb.ListWeightsRequest(model="demo"))
    assert list(listed.weights) == [WEIGHTS]
    first, *rest = await collected(house.models.GetWeights(pb.GetWeightsRequest(model="demo", layer="conv")))
    assert (first.weights, first.chunk) == (WEIGHTS, b"")
    assert b"".join(response.chunk for response in rest) == BYTES
    assert len(rest) == 4
    error = await refusal(collected(house.models.GetWeights(pb.GetWeightsRequest(model="demo", layer="pool"))))
    assert isinstance(error, BadQuestion)
    assert not list((tmp_path / "uploads").iterdir())
