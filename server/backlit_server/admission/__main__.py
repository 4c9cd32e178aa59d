"""The child that opens a file: `python -m backlit_server.admission ACTION MODEL --result FILE`.

Whatever the file does to onnx or ONNX Runtime, it does to this process. A refusal is exit status 3 and
one JSON object on standard output; anything else that is not 0 is a crash.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before onnxruntime is imported
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads and those of ONNX Runtime wait on each other

from backlit_proto import backlit_pb2 as pb
from backlit_proto.errors import BacklitError, Overloaded
from backlit_proto.parts import WEIGHTS
from backlit_server.admission.card import card_of
from backlit_server.admission.launcher import VALUES
from backlit_server.admission.reading import list_weights, read_weights
from backlit_server.admission.report import report
from backlit_server.admission.selfcheck import self_check
from backlit_server.admission.trial import try_out
from backlit_server.admission.written import write
from backlit_server.engine.files import ModelFile, read
from backlit_server.engine.opening import open_model
from backlit_server.engine.runtime import Runtime
from backlit_server.methods import DEFAULT_METHOD, bind
from backlit_server.parent import bound_memory, die_with_parent, end_first, give_way

REFUSED = 3
BEFORE_ALL = 1000  # thousandths of all memory: end_first()
THREADS = 1  # a second would spin on the processor beside questions


def main() -> int:
    """Does what the command line says; the exit status."""
    die_with_parent()
    give_way()  # to questions, for which somebody waits
    end_first(BEFORE_ALL)
    bound = bound_memory()
    parser = argparse.ArgumentParser(prog="backlit_server.admission", description=__doc__)
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("model", type=Path)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--layer", default="")
    parser.add_argument("--method", default=DEFAULT_METHOD)
    parser.add_argument("--weights", default=WEIGHTS, help="name of the second file, where there has to be one")
    parser.add_argument(
        "--pictures", type=_preprocessing, help="what pictures go through: Preprocessing, as hex digits"
    )
    arguments = parser.parse_args()
    try:
        ACTIONS[arguments.action](arguments)
    except MemoryError:
        most = f"{bound >> 20} MB, three quarters of all memory"
        return refused(Overloaded(f"examining the model takes more than {most}: a smaller or quantised one may pass"))
    except BacklitError as error:
        return refused(error)
    return 0


def refused(error: BacklitError) -> int:
    """Tells the front of a refusal; the exit status."""
    print(json.dumps({"reason": error.reason(), "message": error.message, "details": error.details}))
    return REFUSED


def card(arguments: argparse.Namespace) -> None:
    """Writes the card, after a trial run and a look at the gradients."""
    file = read(arguments.model)
    runtime = Runtime("cpu", THREADS)
    model = open_model(file.model, runtime, file.folder)
    scores = try_out(file, model, runtime)
    arguments.result.write_bytes(card_of(file.model, model, scores, self_check(model)).SerializeToString())


def doctor(arguments: argparse.Namespace) -> None:
    """Writes what there is to say about the file, as JSON; one that cannot be explained is no refusal here."""
    arguments.result.write_text(json.dumps(report(arguments.model, Runtime("cpu", THREADS))))


def export(arguments: argparse.Namespace) -> None:
    """Writes the model with its features, its seed and the heatmap of a method."""
    file = read(arguments.model)
    model = open_model(file.model, Runtime("cpu", THREADS), file.folder)
    explained = model.explained(arguments.method, arguments.layer, bind(arguments.method, {}))
    if arguments.pictures is not None:
        explained = model.taking_pictures(explained, arguments.pictures)
    write(ModelFile(explained, file.folder), arguments.result, arguments.weights)


def _preprocessing(told: str) -> pb.Preprocessing:
    return pb.Preprocessing.FromString(bytes.fromhex(told))


def list_of_weights(arguments: argparse.Namespace) -> None:
    """Writes which layers have weights."""
    arguments.result.write_bytes(list_weights(read(arguments.model)).SerializeToString())


def weights_of_one(arguments: argparse.Namespace) -> None:
    """Writes what the weights of a layer are, and their values beside it."""
    about, values = read_weights(read(arguments.model), arguments.layer, Runtime("cpu", THREADS))
    arguments.result.with_suffix(VALUES).write_bytes(values.data)
    arguments.result.write_bytes(about.SerializeToString())


ACTIONS: dict[str, Callable[[argparse.Namespace], None]] = {
    "card": card,
    "doctor": doctor,
    "export": export,
    "list-weights": list_of_weights,
    "weights": weights_of_one,
}


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # the interpreter's own way out waits for the runtime's threads
