"""Questions that wait at a desk at the same time, and what it answers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from backlit_proto import backlit_pb2 as pb
from backlit_proto.tensors import to_array, to_tensor
from backlit_server.engine.engine import Engine
from backlit_server.workers.channel import Frame, Kind
from backlit_server.workers.messages import detach_question, heard
from backlit_server.workers.questions import Desk
from backlit_server.workers.terms import Terms

Asked = tuple[pb.Question, dict[str, np.ndarray]]


def answers(engine: Engine, asked: Sequence[Asked]) -> list[list[tuple[pb.Explanation, np.ndarray]] | Exception]:
    """What a desk answers to questions of different callers that wait at the same time, or what it refuses."""
    sent: list[Frame] = []

    def send(frame: Frame) -> None:
        sent.append(frame)
        if frame.kind is Kind.ANSWER:
            desk.post(Frame(Kind.ACK, frame.question))

    served: Any = engine  # pyright takes no cached property for the property of a protocol
    desk = Desk(served, send, batch=16)
    for number, (question, inputs) in enumerate(asked):
        request = pb.ExplainRequest(question=question, inputs={name: to_tensor(x) for name, x in inputs.items()})
        desk.post(Frame(Kind.EXPLAIN, number, *detach_question(request, Terms(f"caller {number}"))))
    desk.post(Frame(Kind.STOP))
    desk.run()
    return [_answer([frame for frame in sent if frame.question == number]) for number in range(len(asked))]


def _answer(frames: Sequence[Frame]) -> list[tuple[pb.Explanation, np.ndarray]] | Exception:
    told = [heard(frame) for frame in frames]
    refused = next((one.refusal for one in told if one.refusal), None)
    return refused or [(e, to_array(e.heatmap)) for one in told if one.answer for e in one.answer.explanations]


def question(digest: str, method: str = "grad-cam", classes: Sequence[int] = (), **said: Any) -> pb.Question:
    return pb.Question(model=digest, method=method, targets=[pb.Target(class_index=k) for k in classes], **said)
