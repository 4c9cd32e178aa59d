"""What the server counts, beside what was asked of it; the port that shows it, and the messages that tell it."""

import asyncio
import logging
import re
import socket
import threading
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import NotAuthenticated
from backlit_server.service.figures import FIGURES
from backlit_server.service.metrics import COUNTERS, GAUGES, HISTOGRAMS, MOST_MODELS, Metrics
from backlit_server.settings import BadSettings
from processes import free_port
from stand_ins import BYTES, DIGEST, SECONDS, House, collected, open_house, question, refusal, upload

METRICS = COUNTERS | GAUGES | HISTOGRAMS | FIGURES
COUNTER, GAUGE, HISTOGRAM = pb.Metric.KIND_COUNTER, pb.Metric.KIND_GAUGE, pb.Metric.KIND_HISTOGRAM


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
async def house(tmp_path: Path, port: int) -> AsyncIterator[House]:
    async with open_house(tmp_path, metrics_port=port) as opened:
        yield opened


def fetched(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SECONDS) as answer:
        return answer.read().decode()


async def samples(port: int) -> dict[tuple[str, ...], float]:
    """What the port shows: by (name, values of the labels in the order of their names)."""
    families = text_string_to_metric_families(await asyncio.to_thread(fetched, port))
    return {(s.name, *(s.labels[n] for n in sorted(s.labels))): s.value for family in families for s in family.samples}


async def shown(port: int, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name, by the values of their labels."""
    return {key[1:]: value for key, value in (await samples(port)).items() if key[0] == name}


async def test_each_question_is_counted_once_under_its_model_its_method_and_how_it_ended(house, port):
    await upload(house, name="demo")
    for _ in range(3):
        await collected(house.explanations.Explain(question(method="grad-cam")))
    await refusal(collected(house.explanations.Explain(question(model="nobody"))))
    await refusal(collected(house.explanations.Explain(question(method="overlong"))))
    await refusal(collected(house.explanations.Explain(question(method="defect"))))
    await collected(house.explanations.Explain(question(methods=["cam", "fem"])))
    assert await shown(port, "backlit_questions_total") == {
        ("grad-cam", "demo", "OK"): 3,
        ("unknown", "unknown", "UNKNOWN_MODEL"): 1,
        ("unknown", "demo", "BAD_QUESTION"): 1,
        ("unknown", "demo", "INTERNAL_ERROR"): 1,
        ("several", "demo", "OK"): 1,
    }
    assert await shown(port, "backlit_question_seconds_count") == {("grad-cam", "demo"): 3, ("several", "demo"): 1}
    assert await shown(port, "backlit_calls_total") == {
        ("OK", "Upload"): 1,
        ("OK", "Explain"): 4,
        ("UNKNOWN_MODEL", "Explain"): 1,
        ("BAD_QUESTION", "Explain"): 1,
        ("INTERNAL_ERROR", "Explain"): 1,
    }


async def test_the_items_of_one_stream_are_questions_of_their_own(house, port):
    await upload(house, name="demo")
    methods = ("grad-cam", "lost", "cam", "cam")
    asked = [pb.ExplainManyRequest(item=name, request=question(method=name)) for name in methods]
    await collected(house.explanations.ExplainMany(iter(asked), timeout=SECONDS))
    assert await shown(port, "backlit_questions_total") == {
        ("grad-cam", "demo", "OK"): 1,
        ("unknown", "demo", "WORKER_LOST"): 1,
        ("cam", "demo", "OK"): 2,
    }
    assert (await shown(port, "backlit_calls_total"))["OK", "ExplainMany"] == 1


async def test_what_is_in_flight_is_seen_while_it_is_and_a_caller_who_leaves_cancels(house, port):
    await upload(house, name="demo")
    call = house.explanations.Explain(question(method="endless"))
    await anext(aiter(call))
    found = await samples(port)
    assert (found["backlit_questions_in_flight",], found["backlit_calls_in_flight", "Explain"]) == (1, 1)
    call.cancel()
    async with asyncio.timeout(SECONDS):
        while ("backlit_calls_total", "CANCELLED", "Explain") not in found:
            found = await samples(port)
    assert (found["backlit_questions_in_flight",], found["backlit_calls_in_flight", "Explain"]) == (0, 0)
    assert found["backlit_questions_total", "unknown", "demo", "CANCELLED"] == 1
    assert found["backlit_calls_total", "CANCELLED", "Explain"] == 1


async def test_messages_are_weighed_as_they_travel(house, port):
    await upload(house, name="demo")
    asked = question(method="grad-cam")
    answers = await collected(house.explanations.Explain(asked))
    assert (await shown(port, "backlit_received_bytes_total"))["Explain",] == asked.ByteSize()
    assert (await shown(port, "backlit_sent_bytes_total"))["Explain",] == sum(answer.ByteSize() for answer in answers)


async def test_a_model_is_counted_under_the_name_it_has_and_else_under_the_beginning_of_its_digest(house, port):
    await upload(house)
    await collected(house.explanations.Explain(question(model=DIGEST, method="cam")))
    await house.models.Update(pb.UpdateRequest(model=DIGEST, name="new"))
    await collected(house.explanations.Explain(question(model=DIGEST, method="cam")))
    found = await shown(port, "backlit_questions_total")
    assert found == {("cam", DIGEST[:12], "OK"): 1, ("cam", "new", "OK"): 1}
    await house.models.Delete(pb.DeleteRequest(model="new"))
    assert list(await shown(port, "backlit_questions_total")) == [("cam", DIGEST[:12], "OK")]


def test_more_models_than_have_series_of_their_own_are_counted_together_until_one_is_deleted():
    metrics = Metrics()
    own = [metrics.model(f"model-{i}", DIGEST) for i in range(MOST_MODELS)]
    assert own == [f"model-{i}" for i in range(MOST_MODELS)]
    assert [metrics.model(name, DIGEST) for name in ("one-more", "model-3")] == ["other", "model-3"]
    metrics.forget("model-3", DIGEST)
    assert metrics.model("one-more", DIGEST) == "one-more"


async def test_the_store_the_worker_and_admission_are_told(house, port):
    await upload(house, name="demo")
    found = await samples(port)
    assert found["backlit_admission_seconds_count", "examine"] == 1
    assert found["backlit_store_models",] == 1
    assert found["backlit_store_bytes",] > len(BYTES)
    assert found["backlit_worker_ready", "cpu", "CPUExecutionProvider"] == 1
    assert found["backlit_worker_starts_total", "cpu"] == 1


async def test_the_messages_tell_what_the_port_shows(house, port):
    await upload(house, name="demo")
    await collected(house.explanations.Explain(question(method="grad-cam")))
    told = {metric.name: metric for metric in (await house.metrics.GetMetrics(pb.GetMetricsRequest())).metrics}
    assert METRICS.keys() <= told.keys()
    kinds = {COUNTER: COUNTERS, GAUGE: GAUGES, HISTOGRAM: HISTOGRAMS}
    assert all(told[name].kind == kind for kind, rows in kinds.items() for name in rows)
    (counted,) = told["backlit_questions_total"].samples
    assert (dict(counted.labels), counted.value) == ({"model": "demo", "method": "grad-cam", "outcome": "OK"}, 1)
    (took,) = told["backlit_question_seconds"].samples
    buckets = await shown(port, "backlit_question_seconds_bucket")
    assert [(b.bound, b.count) for b in took.buckets] == [(float(key[0]), n) for key, n in buckets.items()]
    assert took.value == (await shown(port, "backlit_question_seconds_sum"))["grad-cam", "demo"]


async def test_whoever_watches_fills_no_log(house, caplog):
    with caplog.at_level(logging.INFO):
        await house.metrics.GetMetrics(pb.GetMetricsRequest())
        await house.models.List(pb.ListRequest())
    assert [r.getMessage() for r in caplog.records if r.name == "backlit_server.service.calls"] == ["List OK"]


async def test_the_metrics_want_the_token_on_the_port_of_the_questions(tmp_path):
    (tmp_path / "token").write_text("secret")
    async with open_house(tmp_path / "store", token_file=tmp_path / "token") as house:
        found = await refusal(house.metrics.GetMetrics(pb.GetMetricsRequest()))
        assert isinstance(found, NotAuthenticated)


def reachable(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


async def test_the_port_is_open_as_long_as_the_server_and_only_where_it_was_asked_for(tmp_path, port):
    async with open_house(tmp_path, metrics_port=port):
        assert reachable(port)
    assert not reachable(port)
    before = set(threading.enumerate())
    async with open_house(tmp_path) as house:
        await house.models.List(pb.ListRequest())
        assert not [thread for thread in set(threading.enumerate()) - before if "serve_forever" in thread.name]


async def test_a_port_that_is_taken_is_no_setting_to_start_with(tmp_path, port):
    with socket.create_server(("127.0.0.1", port)), pytest.raises(BadSettings, match=f"127.0.0.1:{port}.*metrics-port"):
        async with open_house(tmp_path, metrics_port=port):
            pass


def test_the_documentation_lists_what_there_is():
    page = (Path(__file__).parents[1] / "docs" / "monitoring.md").read_text("utf-8")
    lines = [f"| `{name}` | {', '.join(row.labels)} | {row.told} |" for name, row in sorted(METRICS.items())]
    assert [line for line in page.splitlines() if line.startswith("| `")] == lines


def test_names_follow_the_conventions_of_prometheus():
    assert all(re.fullmatch(r"backlit_[a-z]+(_[a-z]+)*", name) for name in METRICS)
    assert all(name.endswith("_total") for name in COUNTERS)
    assert not any(name.endswith("_total") for name in GAUGES | HISTOGRAMS)
    assert all(row.told.endswith(".") for row in METRICS.values())
