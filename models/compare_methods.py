"""What `make measures` writes: every method on EfficientNet-Lite0 over a folder of photographs, as docs/measures.md.

The table, and one prediction put to the test: on a head of pooling and one linear layer the paper's Grad-CAM++ weighs a
map by relu(w) / (2 + w F), so that it must lie near LayerCAM (relu(w)); torchcam loses a denominator and weighs by
relu(w)^3, which was expected to cost it.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from backlit.cli import main as backlit
from backlit.comparing import expanded
from backlit.comparison import Mean, mean
from demo import DEMO, built_model, shown

PAGE = Path(__file__).parents[1] / "docs" / "measures.md"
OUT = DEMO / "measures"
METHODS = (
    "cam,grad-cam,hires-cam,xgrad-cam,grad-cam++,grad-cam++:profile=torchcam,layer-cam,grad-cam-elementwise,"
    "shapley-cam,finer-cam,eigen-cam,eigen-grad-cam,kpca-cam,fem,smooth-grad-cam++,ablation-cam,recipro-cam,"
    "score-cam:most=64,full-grad,saliency,gradient-x-input,guided-backprop,deconvnet,guided-grad-cam,lrp,deep-lift,"
    "smooth-grad,square-grad,var-grad,integrated-gradients,expected-gradients:samples=100,occlusion,rise:masks=500,"
    "sidu,sise,ada-sise,lime:samples=200,kernel-shap:samples=200,random-cam,random-cam:seed=1,random-cam:seed=2"
)
MEASURES = (
    "average-drop,increase-in-confidence,average-drop:normalisation=min-max,insertion,deletion,"
    "road:shares=[0.2,0.5,0.8],sparseness,forward-passes,seconds"
)
DROP = "average-drop"
PAPER, OTHERS, NEAR, FLOOR = "grad-cam++", "grad-cam++:profile=torchcam", "layer-cam", "random-cam"
INTRODUCTION = """\
# Methods, measured

`make measures PICTURES=folder` makes this page: `backlit compare` for every method, the top class of each photograph,
on EfficientNet-Lite0. `random-cam` is the floor: maps with random weights. Arrows say which way is better. A number
compares with another one only where everything in the list below the table is the same; `backlit methods` tells what
each measure is, and by whom. Seconds are those of the machine: here one thread, beside another one that was busy.
"""
PREDICTION = """\
## Grad-CAM++ beside LayerCAM

On a head of pooling and one linear layer the paper's Grad-CAM++ (equation 19) weighs a map by relu(w) / (2 + w F) and
LayerCAM by relu(w). torchcam's Grad-CAM++ loses a division in a copy, which leaves relu(w)^3. It was predicted that the
first lies near LayerCAM and the other does not, because torchcam's README tells an average drop of 0.53 for Grad-CAM++
beside 0.17 for LayerCAM on ResNet-18. Average drop less that of LayerCAM, over the same photographs; near is within a
tenth of the way to the floor:

{apart}
"""
NEARNESS = 0.1


def main() -> None:
    """Asks, measures, writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+", help="photographs, or folders of them")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the page goes; default: docs/measures.md")
    parser.add_argument("--methods", default=METHODS, help="as `backlit compare` takes them; default: all in METHODS")
    parser.add_argument("--measures", default=MEASURES, help="likewise; average-drop has to be among them")
    args = parser.parse_args()
    DEMO.mkdir(exist_ok=True)
    table = compared(expanded(args.pictures), args.methods, args.measures)
    drops = by_picture(json.loads((OUT / "comparison.json").read_text("utf-8"))["values"])
    args.page.write_text("\n".join([INTRODUCTION, table, prediction(drops)]), "utf-8")
    print(f"  -> {shown(args.page)}")


def compared(pictures: Sequence[Path], methods: str, measures: str) -> str:
    """The table of `backlit compare`."""
    words = [str(built_model()), *map(str, pictures), "--preset", "efficientnet-lite", "--out", str(OUT)]
    if backlit(["compare", *words, "--methods", methods, "--measures", measures]):
        sys.exit(1)
    return (OUT / "comparison.md").read_text("utf-8")


def by_picture(values: list[dict]) -> dict[str, dict[str, float]]:
    """The average drop by method and picture."""
    found: dict[str, dict[str, float]] = {}
    for row in values:
        if row["measure"] == DROP:
            found.setdefault(row["method"], {})[row["picture"]] = row["value"]
    return found


def prediction(drops: Mapping[str, Mapping[str, float]]) -> str:
    """How far each Grad-CAM++ lies from LayerCAM in average drop, picture by picture, beside the floor."""
    if not {PAPER, OTHERS, NEAR, FLOOR}.issubset(drops):
        return ""
    apart = {name: mean([drops[name][p] - drop for p, drop in drops[NEAR].items()]) for name in (PAPER, OTHERS, FLOOR)}
    lines = [
        f"- {name}: {told.mean:+.4f} ± {told.error:.2g}, {_verdict(told, apart[FLOOR])}" for name, told in apart.items()
    ]
    return PREDICTION.format(apart="\n".join(lines))


def _verdict(told: Mean, floor: Mean) -> str:
    return "near" if abs(told.mean) < NEARNESS * abs(floor.mean) else "far"


if __name__ == "__main__":
    main()
