"""What passes: of each model at hand the default layer, methods and self-check; the yardstick operator by operator.

Needs the folder of shared models (BACKLIT_SHARED, or `shared` beside the checkout), and says so where there is none.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from backlit.doctor import examined
from backlit.tables import plain
from backlit_proto.errors import BacklitError

SHARED = Path(os.environ.get("BACKLIT_SHARED", Path(__file__).parents[3] / "shared"))
TITLES = ("model", "default layer", "methods", "head error", "network error", "Grad-CAM / forward, multiply-adds")
CANDIDATE = "backlit_server.graph:differentiate"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, help="where the yardstick keeps its references, a minute's work")
    arguments = parser.parse_args()
    if not (SHARED / "models").is_dir():
        print(f"no models in {SHARED}: set BACKLIT_SHARED to the folder that holds them")
        return
    print(plain(TITLES, [row(file) for file in sorted((SHARED / "models").glob("*.onnx"))]))
    with tempfile.TemporaryDirectory() as folder:
        print(yardstick(Path(folder), arguments.cache or Path(folder) / "references"))


def row(file: Path) -> tuple[str, ...]:
    """What the doctor says of a model, in short."""
    try:
        report = examined(file)
    except BacklitError as error:
        return (file.stem, error.message, "", "", "", "")
    if "card" not in report:
        return (file.stem, report["refusal"]["message"][:60], "", "", "", "")
    card, share = report["card"], report["costs"].get("grad_cam_over_forward")
    methods = card["methods"]
    return (
        file.stem,
        card.get("default_layer") or "none",
        f"{sum(m.get('available', False) for m in methods)} of {len(methods)}",
        *(error_of(card["self_check"][part]) for part in ("head", "network")),
        f"{share:.3f}" if share else "",
    )


def error_of(comparison: dict[str, Any]) -> str:
    words = {"VERDICT_AGREES": "", "VERDICT_DIFFERS": " WRONG"}
    if comparison["verdict"] not in words:
        return "not checked"
    return f"{comparison.get('error', 0):.1e}{words[comparison['verdict']]}"


def yardstick(folder: Path, cache: Path) -> str:
    """Cases passed of all, by operator; those with a case that is not passed say what became of it."""
    script, result = SHARED / "gradcheck" / "gradcheck.py", folder / "result"
    command = [sys.executable, script, CANDIDATE, "--cache", cache, "--quiet", "--json", result]
    done = subprocess.run(command, capture_output=True, text=True)
    if not result.is_file():
        raise RuntimeError(f"the yardstick ended with status {done.returncode}: {done.stderr[-500:]}")
    found = json.loads(result.read_text())
    rows = [(op, str(counts.get("PASS", 0)), str(counts["all"]), rest(counts)) for op, counts in found["ops"].items()]
    total = ("all", str(found["total"].get("PASS", 0)), str(found["cases"]), rest(found["total"]))
    return plain(("operator", "passed", "cases", ""), [*sorted(rows), total])


def rest(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {status.lower()}" for status, count in counts.items() if status not in ("PASS", "all"))


if __name__ == "__main__":
    main()
