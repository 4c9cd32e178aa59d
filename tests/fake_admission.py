"""An examination that does what the model file says: the tests' stand-in for `python -m backlit_server.admission`."""

import json
import os
import signal
import sys
import time
from pathlib import Path

from backlit_proto import backlit_pb2 as pb


def main() -> int:
    """`card MODEL --result FILE` or `export MODEL --result FILE --layer L --method M`."""
    told = Path(sys.argv[2]).read_text()
    result = Path(sys.argv[sys.argv.index("--result") + 1])
    return BEHAVIOURS[told.split()[0]](result, told)


def succeed(result: Path, told: str) -> int:
    """The result holds what was asked."""
    options = " ".join(sys.argv[5:])
    result.write_bytes(pb.Card(producer=f"{sys.argv[1]} {options}".strip(), opset=21).SerializeToString())
    return 0


def introduce(result: Path, told: str) -> int:
    """The result tells session and group, in the words of ps."""
    told = f"sid {os.getsid(0)}, {'leads' if os.getpgid(0) == os.getpid() else 'is in'} a group"
    result.write_bytes(pb.Card(producer=told).SerializeToString())
    return 0


def refuse(result: Path, told: str) -> int:
    print(json.dumps({"reason": "BAD_MODEL", "message": "no model: it is empty", "details": {"size": 0}}))
    return 3


def babble(result: Path, told: str) -> int:
    """A refusal that cannot be read."""
    print("Traceback (most recent call last): /secret/path")
    return 3


def flood(result: Path, told: str) -> int:
    """More output than anybody wants, then a success."""
    os.write(1, bytes(10 << 20))
    os.write(2, b"\x1b[2J line\n" * (1 << 20))
    return succeed(result, told)


def hang(result: Path, told: str) -> int:
    """Tells its number and that of a process of its own, then hangs."""
    child = os.fork()
    if child:
        Path(told.split()[1]).write_text(f"{os.getpid()} {child}")
    while True:
        time.sleep(60)


def swell(result: Path, told: str) -> int:
    """What Linux does to a child where memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def crash(result: Path, told: str) -> int:
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def meet(result: Path, told: str) -> int:
    """Writes down when it began and ended, in the order in which that happened."""
    diary = os.open(told.split()[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(diary, b"+")
    time.sleep(0.1)
    os.write(diary, b"-")
    return succeed(result, told)


def weigh(result: Path, told: str) -> int:
    """Which layer it was asked for, and values."""
    result.with_suffix(".values").write_bytes(b"the values")
    result.write_bytes(pb.Weights(node=" ".join(sys.argv[5:])).SerializeToString())
    return 0


BEHAVIOURS = {
    "succeed": succeed,
    "introduce": introduce,
    "refuse": refuse,
    "babble": babble,
    "flood": flood,
    "hang": hang,
    "swell": swell,
    "crash": crash,
    "meet": meet,
    "weigh": weigh,
    "fail": lambda result, told: 1,
    "nothing": lambda result, told: 0,
    "garbage": lambda result, told: result.write_bytes(b"\xff" * 9) and 0,
    "half": lambda result, told: result.write_bytes(b"half") and 1,
}

if __name__ == "__main__":
    sys.exit(main())
