"""The server as whoever runs it sees it: start, stop, health. A real process, real connections."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from backlit_proto import backlit_pb2 as pb
from backlit_proto import backlit_pb2_grpc as services
from backlit_server.settings import MB
from processes import (
    MODEL,
    SERVICES,
    Health,
    free_port,
    health,
    health_stub,
    list_models,
    models,
    reflection_stub,
    run,
    server,
)
from stand_ins import SECONDS, question, upload_parts


def test_the_front_process_imports_neither_onnx_nor_onnxruntime_nor_pillow():
    script = """
        import sys
        from backlit_server.__main__ import main
        main()
        assert "grpc" in sys.modules and "backlit_server.workers.pool" in sys.modules
        print(sorted({"onnx", "onnxruntime", "onnx_graphsurgeon", "PIL"} & set(sys.modules)))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), "--show-config"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_show_config_prints_and_ends():
    done = run("--show-config", "--port", "1234", BACKLIT_LOG_FORMAT="json")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^port +1234 +flag$", done.stdout, re.MULTILINE)
    assert re.search(r"^log_format +json +environment$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("flags", [["--port", "x"], ["--no-such-flag"], ["--host", "0.0.0.0", "--port", "0"]])
def test_settings_that_do_not_fit_end_in_one_line_and_status_2(flags, tmp_path):
    done = run(*flags, "--store", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("backlit-server: ")


def test_a_port_that_is_taken_ends_in_one_line_and_status_2(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = run("--port", str(port), "--store", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"backlit-server: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_a_store_that_cannot_be_written_ends_in_one_line_and_status_2(tmp_path):
    (tmp_path / "file").touch()
    done = run("--port", "0", "--store", str(tmp_path / "file" / "store"))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "cannot keep models in" in done.stderr


def test_one_line_says_where_it_listens_and_telemetry_is_off_for_its_children(tmp_path):
    with server(tmp_path) as started:
        assert re.fullmatch(r"127\.0\.0\.1:\d+", started.address())
        started.process.send_signal(signal.SIGTERM)
        assert started.process.stdout
        assert started.process.stdout.read() == ""
        assert started.stopped() == 0
        assert "telemetry off: 1" in started.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_lets_calls_in_flight_finish_and_new_ones_in_no_more(tmp_path, number):
    with server(tmp_path) as started:
        address = started.address()
        async with grpc.aio.insecure_channel(address) as channel:
            await models(channel).Upload(iter(upload_parts(MODEL, name="demo")), timeout=SECONDS)
            watch = health_stub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS)
            states = aiter(watch)
            assert (await anext(states)).status == Health.SERVING
            call = services.ExplanationServiceStub(channel).Explain(question(method="gated"), timeout=SECONDS)
            answers = aiter(call)
            await anext(answers)
            started.process.send_signal(number)
            assert (await anext(states)).status == Health.NOT_SERVING
            async with grpc.aio.insecure_channel(address) as another:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await list_models(another)
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
            started.open("go")
            assert len([answer async for answer in answers]) == 2
        assert started.stopped() == 0


async def test_calls_that_outlast_the_grace_are_cut_off(tmp_path):
    with server(tmp_path, "--grace-seconds", "1") as started:
        async with grpc.aio.insecure_channel(started.address()) as channel:
            await models(channel).Upload(iter(upload_parts(MODEL, name="demo")), timeout=SECONDS)
            answers = aiter(services.ExplanationServiceStub(channel).Explain(question(method="gated")))
            await anext(answers)
            started.process.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.aio.AioRpcError):
                await anext(answers)
        assert started.stopped() == 0


async def test_kill_9_in_the_middle_of_an_upload_loses_nothing_that_had_arrived(tmp_path):
    data = os.urandom(3 * MB + 5)
    parts = upload_parts(data, name="big")
    asked = pb.GetUploadRequest(digest=parts[0].header.digest)
    with server(tmp_path) as started:
        async with grpc.aio.insecure_channel(started.address()) as channel:
            call = models(channel).Upload()
            for part in parts[:3]:
                await call.write(part)
            async with asyncio.timeout(SECONDS):
                while (await models(channel).GetUpload(asked)).committed < 2 * MB:
                    await asyncio.sleep(0.01)
            started.process.kill()
            with pytest.raises(grpc.aio.AioRpcError) as lost:
                await call
            assert lost.value.code() == grpc.StatusCode.UNAVAILABLE
    with server(tmp_path) as started:
        async with grpc.aio.insecure_channel(started.address()) as channel:
            assert (await models(channel).GetUpload(asked)).committed == 2 * MB
            rest = upload_parts(data, name="big", offset=2 * MB)
            answer = await models(channel).Upload(iter(rest), timeout=SECONDS)
            assert (answer.known, answer.model.size) == (False, len(data))
            assert (await list_models(channel)).models[0].name == "big"


@pytest.mark.parametrize("said", ["", "something\n"])
def test_a_private_server_stops_when_its_input_ends(tmp_path, said):
    with server(tmp_path, "--private") as started:
        started.address()
        assert started.process.stdin
        started.process.stdin.write(said)
        started.process.stdin.close()
        assert started.stopped() == 0


def test_a_stop_during_the_start_is_a_stop(tmp_path):
    port = free_port()
    with server(tmp_path, "--port", str(port), ready=False) as started:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(SECONDS)
        started.process.send_signal(signal.SIGTERM)
        assert started.stopped() == 0


# -------------------------------------------------------------------- health


async def test_health_is_not_serving_until_the_workers_are_ready_and_calls_wait_outside(tmp_path):
    port = free_port()
    with server(tmp_path, "--port", str(port), ready=False) as started:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert [await health(channel, name) for name in SERVICES] == [Health.NOT_SERVING] * 3
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await list_models(channel)
            assert (refused.value.code(), refused.value.details()) == (
                grpc.StatusCode.UNAVAILABLE,
                "the server is starting; try again in a moment",
            )
            watchers = [
                aiter(health_stub(channel).Watch(health_pb2.HealthCheckRequest(service=name))) for name in SERVICES
            ]
            assert [(await anext(w)).status for w in watchers] == [Health.NOT_SERVING] * 3
            started.open("ready")
            started.address()
            assert [(await anext(w)).status for w in watchers] == [Health.SERVING] * 3
            assert [await health(channel, name) for name in SERVICES] == [Health.SERVING] * 3
            await list_models(channel)


async def test_health_of_an_unknown_service_is_not_found_and_of_a_guarded_server_free(tmp_path):
    token = tmp_path / "token"
    token.write_text("secret")
    with server(tmp_path, "--token-file", str(token)) as started:
        async with grpc.aio.insecure_channel(started.address()) as channel:
            await health(channel)
            with pytest.raises(grpc.aio.AioRpcError) as unknown:
                await health(channel, "other.Service")
            assert unknown.value.code() == grpc.StatusCode.NOT_FOUND
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await list_models(channel)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("flags", [[], ["--reflection"]])
def test_reflection_is_off_unless_asked_for(tmp_path, flags):
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    # The synchronous stack: grpc.aio calls a stream that was refused while it wrote an internal error.
    with server(tmp_path, *flags) as started, grpc.insecure_channel(started.address()) as channel:
        call = reflection_stub(channel).ServerReflectionInfo(iter([request]))
        if flags:
            (answer,) = list(call)
            listed = {service.name for service in answer.list_services_response.service}
            assert {*SERVICES[1:], "grpc.health.v1.Health"} <= listed
        else:
            with pytest.raises(grpc.RpcError) as refused:
                list(call)
            assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
