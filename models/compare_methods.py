"""What `make measures` writes: every method on EfficientNet-Lite0 over a folder of photographs, as docs/measures.md.

The table, and one prediction: on a head of pooling and one linear layer the paper's Grad-CAM++ weighs a map by
relu(w) / (2 + w F), so that it must lie near LayerCAM (relu(w)); torchcam loses a denominator and weighs by relu(w)^3.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from backlit.cli import main as backlit
from backlit.comparison import mean
from demo import DEMO, built_model, shown

PAGE = Path(__file__).parents[1] / "docs" / "measures.md"
OUT = DEMO / "measures"
METHODS = """
cam grad-cam hires-cam xgrad-cam grad-cam++ grad-cam++:profile=torchcam layer-cam grad-cam-elementwise shapley-cam
finer-cam eigen-cam eigen-grad-cam kpca-cam fem smooth-grad-cam++ ablation-cam recipro-cam score-cam:most=64 full-grad
saliency gradient-x-input guided-backprop deconvnet smooth-grad square-grad var-grad integrated-gradients lrp deep-lift
occlusion rise:masks=500 random-cam
""".split()
MEASURES = """
average-drop increase-in-confidence average-drop:keep=0.15:fill=black:normalisation=min-max insertion deletion
road:shares=[0.1,0.3,0.5,0.7,0.9] sparseness forward-passes seconds
""".split()
DROP = "average-drop"
PAPER, OTHERS, NEAR, FLOOR = "grad-cam++", "grad-cam++:profile=torchcam", "layer-cam", "random-cam"
INTRODUCTION = """\
# Methods, measured

`make measures PICTURES=folder` makes this page: `backlit compare` for every method, the top class of each photograph,
on EfficientNet-Lite0. `random-cam` is the floor: a map with random weights. Arrows say which way is better. A number
compares with another one only where everything in the list below the table is the same; `backlit methods` tells what
each measure is, and by whom.
"""


def main() -> None:
    """Asks, measures, writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+", help="photographs, or folders of them")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the page goes; default: docs/measures.md")
    parser.add_argument("--methods", nargs="+", default=METHODS, help="as `backlit compare` takes them")
    args = parser.parse_args()
    DEMO.mkdir(exist_ok=True)
    words = [str(built_model()), *map(str, args.pictures), "--preset", "efficientnet-lite", "--out", str(OUT)]
    asked = ["--methods", ",".join(args.methods), "--measures", ",".join(MEASURES)]
    if backlit(["compare", *words, *asked]):
        sys.exit(1)
    drops = by_picture(json.loads((OUT / "comparison.json").read_text("utf-8"))["values"])
    table = (OUT / "comparison.md").read_text("utf-8")
    args.page.write_text("\n".join([INTRODUCTION, table, prediction(drops)]), "utf-8")
    print(f"  -> {shown(args.page)}")


def by_picture(values: list[dict]) -> dict[str, dict[str, float]]:
    """The average drop by method and picture."""
    found: dict[str, dict[str, float]] = {}
    for row in values:
        if row["measure"] == DROP:
            found.setdefault(row["method"], {})[row["picture"]] = row["value"]
    return found


def prediction(drops: Mapping[str, Mapping[str, float]]) -> str:
    """How far each Grad-CAM++ lies from LayerCAM in average drop, picture by picture, beside the floor."""
    lines = ["## Grad-CAM++ beside LayerCAM", "", "Average drop less that of LayerCAM, over the same photographs:", ""]
    for name in (PAPER, OTHERS, FLOOR):
        if name in drops and NEAR in drops:
            apart = mean([drops[name][picture] - drop for picture, drop in drops[NEAR].items()])
            lines.append(f"- {name}: {apart.mean:+.4f} ± {apart.error:.2g}")
    explained = (
        "",
        "On a head of pooling and one linear layer the paper's Grad-CAM++ (equation 19) weighs a map by relu(w) / (2 + "
        "w F), LayerCAM by relu(w): the two must lie near each other. torchcam's division is lost in a copy, which "
        "leaves relu(w)^3; its README's 0.53 for Grad-CAM++ on ResNet-18, beside 0.17 for LayerCAM, comes of that.",
        "",
    )
    return "\n".join([*lines, *explained])


if __name__ == "__main__":
    main()
