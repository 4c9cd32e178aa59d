"""The gRPC front door, over a real connection, with workers and admission stood in for by a few lines."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from backlit_proto import backlit_pb2 as pb
from backlit_proto import backlit_pb2_grpc as services
from backlit_proto.errors import (
    BacklitError,
    BadModel,
    BadQuestion,
    BadUpload,
    Busy,
    CorruptModel,
    DeadlineExceeded,
    InternalError,
    NotAuthenticated,
    Overloaded,
    UnknownModel,
    WorkerLost,
    WrongOffset,
    revive,
)
from backlit_server.methods import METHODS
from backlit_server.methods.presets import PRESETS
from backlit_server.service.server import listening, stopped
from backlit_server.settings import MB, Settings

SECONDS = 20  # before a test that waits for something gives up
BYTES = b"model bytes " * 300_000
DIGEST = hashlib.sha256(BYTES).hexdigest()
CARD = pb.Card(
    scores=pb.Scores(tensor=pb.TensorSpec(name="scores", shape=[-1, 3])),
    methods=[pb.MethodSupport(method="cam", available=False, why_not="the head is not pooling + linear")],
)


@dataclass(frozen=True)
class FakeDevice:
    name: str = "cpu"
    provider: str = "CPUExecutionProvider"
    ready: bool = True


@dataclass
class FakePool:
    """Answers by the name of the method: so many heatmaps, an error, or nothing for ever."""

    devices: list[FakeDevice] = field(default_factory=lambda: [FakeDevice()])
    asked: list[pb.ExplainRequest] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    working: int = 0
    answered: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None: ...
    async def stop(self, grace: float) -> None: ...

    def forget(self, digest: str) -> None:
        self.forgotten.append(digest)

    async def explain(self, request: pb.ExplainRequest) -> AsyncGenerator[pb.ExplainResponse, None]:
        self.asked.append(request)
        self.working += 1
        try:
            if request.question.method in FAILURES:
                raise FAILURES[request.question.method]
            for i in range(1_000_000 if request.question.method == "endless" else 3):
                target = pb.ResolvedTarget(class_index=i)
                heatmap = pb.Tensor(data=bytes(100_000))
                self.answered += 1
                yield pb.ExplainResponse(explanation=pb.Explanation(target=target, heatmap=heatmap), progress=1)
                if request.question.method == "pausing":
                    await self.released.wait()
        finally:
            self.working -= 1


FAILURES = {
    "lost": WorkerLost("the worker died", worker="0"),
    "defect": RuntimeError("secret path /var/lib/secret\n\x1b[31m"),
    "overlong": BadQuestion("é" * 10_000, **{f"detail{i}": "x" * 10_000 for i in range(100)}),
}


@dataclass
class FakeAdmission:
    """Accepts every file but those that say they are bad."""

    examined: list[Path] = field(default_factory=list)
    exported: list[tuple[str, str]] = field(default_factory=list)
    pause: asyncio.Event | None = None

    async def examine(self, model: Path, settings: Settings) -> pb.Card:
        self.examined.append(model)
        if self.pause:
            await self.pause.wait()
        if model.read_bytes().startswith(b"bad"):
            raise BadModel("this is not an ONNX file")
        return CARD

    async def export(self, model: Path, out: Path, layer: str, method: str, settings: Settings) -> None:
        self.exported.append((layer, method))
        out.write_bytes(b"exported " + model.read_bytes())


@dataclass
class House:
    """A server that answers, and a channel to it."""

    pool: FakePool
    admission: FakeAdmission
    channel: grpc.aio.Channel

    @property
    def models(self) -> services.ModelServiceStub:
        return services.ModelServiceStub(self.channel)

    @property
    def explanations(self) -> services.ExplanationServiceStub:
        return services.ExplanationServiceStub(self.channel)


@asynccontextmanager
async def open_house(store: Path, **told) -> AsyncIterator[House]:
    pool, admission = FakePool(), FakeAdmission()
    front = await listening(Settings(port=0, store=store, **told), pool, admission)
    front.calls.begin()
    async with grpc.aio.insecure_channel(front.address) as channel:
        yield House(pool, admission, channel)
    await stopped(front, 0)
    # The server's destructor wants a loop to run in: it must be gone before this test's loop is closed.
    del front
    await asyncio.sleep(0)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as opened:
        yield opened


def upload_parts(data: bytes, *, offset: int = 0, **header) -> list[pb.UploadRequest]:
    told = {"digest": hashlib.sha256(data).hexdigest(), "size": len(data), "offset": offset} | header
    chunks = [data[start : start + MB] for start in range(offset, len(data), MB)]
    return [
        pb.UploadRequest(header=pb.UploadHeader(**told)),
        *(pb.UploadRequest(chunk=chunk) for chunk in chunks),
    ]


async def upload(house: House, data: bytes = BYTES, **header) -> pb.UploadResponse:
    return await house.models.Upload(iter(upload_parts(data, **header)), timeout=SECONDS)


async def patient_upload(house: House, **header) -> pb.UploadResponse:
    """An upload that waits until the server has noticed that the one before was broken off."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                return await upload(house, **header)
            except grpc.aio.AioRpcError as error:
                if not isinstance(revived(error), Busy):
                    raise


def revived(error: grpc.aio.AioRpcError) -> BacklitError:
    """The error as a client sees it, its status checked against its reason."""
    trailer = dict(error.trailing_metadata() or ())
    details = trailer["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    status = pb.Status.FromString(details)
    info = pb.ErrorInfo()
    assert status.details[0].type_url == "type.googleapis.com/google.rpc.ErrorInfo"
    info.ParseFromString(status.details[0].value)
    assert info.domain == "backlit.v1"
    found = revive(info.reason, status.message, dict(info.metadata))
    assert (error.code().name, error.code().value[0], error.details()) == (found.code, status.code, found.message)
    return found


async def refusal(call) -> BacklitError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return revived(refused.value)


async def collected(call) -> list:
    return [response async for response in call]


async def until(condition) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


# ------------------------------------------------------------------ uploads


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


# ------------------------------------------------------------- explanations


def question(model: str = "demo", **told) -> pb.ExplainRequest:
    return pb.ExplainRequest(question=pb.Question(model=model, **told))


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
    assert [a.explanation.target.class_name for a in answers] == ["cat", "dog", "Egyptian cat"]


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


async def house_list(house: House) -> None:
    """Any other call: while it is served, the work on a stream that is read would go on."""
    await house.models.List(pb.ListRequest(), timeout=SECONDS)


async def test_a_caller_who_does_not_read_stops_the_worker_from_going_on(ready):
    """Flow control reaches through to the pool: a million heatmaps of 100 kB would not fit anywhere."""
    call = ready.explanations.Explain(question(method="endless"))
    answers = aiter(call)
    await anext(answers)
    before = -1
    async with asyncio.timeout(SECONDS):
        while ready.pool.answered != before:
            before = ready.pool.answered
            await asyncio.gather(*(house_list(ready) for _ in range(20)))
    assert ready.pool.answered < 1000
    call.cancel()
    await until(lambda: ready.pool.working == 0)


# -------------------------------------------------------------- ExplainMany


def items(*methods: str) -> list[pb.ExplainManyRequest]:
    return [pb.ExplainManyRequest(item=f"{i}", request=question(method=m)) for i, m in enumerate(methods)]


def told(responses: Iterable[pb.ExplainManyResponse]) -> list[tuple[str, int | str]]:
    return [(r.item, r.status.code if r.HasField("status") else "map") for r in responses]


async def test_many_questions_are_answered_in_order_and_a_bad_one_ends_only_itself(ready):
    asked = items("grad-cam", "lost", "cam", "defect")
    asked[2].request.question.model = "nobody"
    asked += items("grad-cam")
    responses = await collected(ready.explanations.ExplainMany(iter(asked), timeout=SECONDS))
    maps = [("0", "map")] * 3 + [("0", 0)]
    assert told(responses) == [*maps, ("1", 14), ("2", 5), ("3", 13), *maps]
    info = pb.ErrorInfo.FromString(responses[4].status.details[0].value)
    assert (info.reason, responses[4].status.message) == ("WORKER_LOST", "the worker died")


async def test_an_item_is_answered_while_the_stream_stays_open(ready):
    call = ready.explanations.ExplainMany(timeout=SECONDS)
    for item in items("grad-cam", "grad-cam"):
        await call.write(item)
        responses = [await call.read() for _ in range(4)]
        assert told(responses) == [(item.item, "map")] * 3 + [(item.item, 0)]
    await call.done_writing()
    assert not await call.read()
    assert await call.code() == grpc.StatusCode.OK


async def test_leaving_a_stream_of_many_questions_stops_all_their_work(ready):
    call = ready.explanations.ExplainMany(iter(items(*["endless"] * 10)))
    await anext(aiter(call))
    await until(lambda: ready.pool.working > 1)
    assert ready.pool.working <= 6
    call.cancel()
    await until(lambda: ready.pool.working == 0)


# ------------------------------------------------------------- ListMethods


async def test_methods_are_listed_from_the_table_with_what_a_model_can_answer(ready):
    listed = await ready.explanations.ListMethods(pb.ListMethodsRequest(model="demo"))
    assert [m.name for m in listed.methods] == list(METHODS)
    assert all(m.summary for m in listed.methods)
    (cam,) = [m for m in listed.methods if m.name == "cam"]
    assert (cam.support.available, cam.support.why_not) == (False, "the head is not pooling + linear")
    nobody = await ready.explanations.ListMethods(pb.ListMethodsRequest())
    assert not any(m.HasField("support") for m in nobody.methods)


async def test_presets_are_spelled_out(house):
    listed = await house.explanations.ListMethods(pb.ListMethodsRequest())
    assert [p.preset for p in listed.presets] == list(PRESETS)
    caffe = listed.presets[list(PRESETS).index("caffe")]
    assert (caffe.color, caffe.mean[0]) == (pb.Preprocessing.COLOR_BGR, PRESETS["caffe"].mean[0])


# ------------------------------------------------------------------- access


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
