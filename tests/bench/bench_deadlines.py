"""How soon a worker is free again when a caller has left or a deadline has passed; quick questions beside slow ones.

Freed: what a question takes that is asked at that moment, less what it takes of an idle server. Beside: the latency of
one caller's Grad-CAM while another's RISE goes on.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import grpc
import numpy as np

import backlit
from backlit_proto import backlit_pb2 as pb
from backlit_proto import backlit_pb2_grpc as services
from backlit_proto.tensors import to_tensor
from bench_explain import models
from bench_load import CALLER
from pairs import ANEW, Side
from real_server import real_server
from sides import images

RUNNING = 0.5  # seconds after which work that was asked for is in full swing
ENDLESS = 10_000_000  # masks
MANY = 48  # images of one question
QUANTILES = (50, 99)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=9, help="how often each kind of work is ended")
    parser.add_argument("--latencies", type=int, default=100, help="quick questions beside a slow one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, real_server(store := Path(folder), *ANEW) as address:
        made = models(store)
        with backlit.connect(address) as server, grpc.insecure_channel(address) as channel:
            uploaded = [server.upload(model, name=model.stem) for model in made]
            stub = services.ExplanationServiceStub(channel)
            print("free again, milliseconds after                    its caller left  its deadline")
            for model in uploaded:
                print_freed(model, stub, f"RISE of {model.name}", rise(model), arguments.times)
            print_freed(
                uploaded[1], stub, f"{MANY} images at once, {uploaded[1].name}", batch(uploaded[1]), arguments.times
            )
            print("quick questions, milliseconds        alone: p50     p99   beside RISE: p50     p99")
            for model in uploaded:
                print_beside(model, stub, address, arguments.latencies)


def rise(model: backlit.Model) -> pb.ExplainRequest:
    """A question that takes for ever."""
    question = pb.Question(model=model.digest, method="rise", targets=[pb.Target(class_index=0)])
    question.parameters.update({"masks": ENDLESS})
    return pb.ExplainRequest(question=question, inputs={"": to_tensor(images(1))})


def batch(model: backlit.Model) -> pb.ExplainRequest:
    """A question of many images, which go in several runs."""
    return pb.ExplainRequest(question=pb.Question(model=model.digest), inputs={"": to_tensor(images(MANY))})


def print_freed(
    model: backlit.Model, stub: services.ExplanationServiceStub, name: str, request: pb.ExplainRequest, times: int
) -> None:
    x = images(1)
    idle = statistics.median(seconds(lambda: model.explain(x)) for _ in range(times))
    found = [[1e3 * (freed(end, stub, request, model, x) - idle) for _ in range(times)] for end in (left, late)]
    print(f"{name:48}" + "".join(f"{statistics.median(each):14.1f}" for each in found), flush=True)


def freed(end: Callable, stub: services.ExplanationServiceStub, request: pb.ExplainRequest, model, x) -> float:
    """Seconds that a question takes which is asked when the work in progress has been ended."""
    end(stub, request)
    return seconds(lambda: model.explain(x))


def left(stub: services.ExplanationServiceStub, request: pb.ExplainRequest) -> None:
    call = stub.Explain(request)
    time.sleep(RUNNING)
    call.cancel()


def late(stub: services.ExplanationServiceStub, request: pb.ExplainRequest) -> None:
    with suppress(grpc.RpcError):
        for _ in stub.Explain(request, timeout=RUNNING):
            pass


def print_beside(model: backlit.Model, stub: services.ExplanationServiceStub, address: str, count: int) -> None:
    with Side(CALLER, address, model.name) as caller:
        caller.run(5)
        alone = caller.run(count)
        with going_on(stub, rise(model)):
            beside = caller.run(count)
    figures = [*(1e3 * np.percentile(alone, QUANTILES)), *(1e3 * np.percentile(beside, QUANTILES))]
    print(f"{model.name:40}{figures[0]:11.1f}{figures[1]:8.1f}{figures[2]:19.1f}{figures[3]:8.1f}", flush=True)


@contextmanager
def going_on(stub: services.ExplanationServiceStub, request: pb.ExplainRequest) -> Iterator[None]:
    call = stub.Explain(request)
    time.sleep(RUNNING)
    yield
    call.cancel()


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
