"""The `explain` command: asks about each picture, draws, and tells what the model saw."""

import itertools
import json
import math
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from backlit.answers import DetectedBox, Explanation
from backlit.assumed import caution
from backlit.kinds import Target, common_scale
from backlit.model import Model
from backlit.preprocessing import Preprocessing
from backlit.progress import shown
from backlit.regions import Corners
from backlit.targets import ALL, TOP
from backlit_proto.errors import BadQuestion


def explain_pictures(model: Model, args: Namespace, preprocessing: Preprocessing | None) -> None:
    """Answers for every picture and method, drawn and told."""
    if ALL in (args.target or ()) and not (args.json and not args.out):
        raise BadQuestion("a picture of every class would be too many: ask for all with --json and without --out")
    draw = _no_picture if args.json and not args.out else _drawer(model, args.object)
    tell = _tell_json if args.json else _tell
    methods = args.method or ["grad-cam"]
    answers = _answers(model, args, methods, preprocessing)
    files = overlay_files(list(answers), methods, args.out or Path())
    for picture, explanations in answers.items():
        objects = _objects(picture, explanations, args.object, model.card.input_size) if args.object else []
        tell(picture, explanations, draw(picture, explanations, files[picture]), objects)
    caution([e.provenance for explanations in answers.values() for e in explanations])


def _answers(
    model: Model, args: Namespace, methods: Sequence[str], preprocessing: Preprocessing | None
) -> dict[Path, list[Explanation]]:
    """The explanations a picture, methods outer, targets inner."""
    question = {"size": args.size, "profile": args.profile, "preprocessing": preprocessing, "scores": args.scores}
    question |= {"boxes": args.boxes, "time_limit": args.time_limit, "smoothing": args.smoothing, "fuse": args.fuse}
    question |= {**_layers(args.layer or []), "precision": args.precision}
    found: dict[Path, list[Explanation]] = {picture: [] for picture in args.pictures}
    asked = [(picture, target) for picture in found for target in _apart(args.target)]
    with shown("explaining") as report:
        for done, (picture, target) in enumerate(asked):
            finals, each = 0, _expected(target)
            for partial in model.stream(picture, methods, target=target, **question, **dict(args.set or ())):
                found[picture] += [partial.explanation] if partial.final else []
                finals += partial.final
                ready = finals if partial.final else finals + partial.progress * each
                report(done + min(ready / (each * len(methods)), 1), len(asked))
    return found


def _layers(given: Sequence[str]) -> dict[str, object]:
    """One layer, or several whose maps become one."""
    return {"layers": given} if len(given) > 1 else {"layer": next(iter(given), None)}


def _apart(targets: Sequence[int | str | Target] | None) -> list[list[int | str | Target] | None]:
    """The targets of each question, in their order: one is about one scale, and about all classes or others."""
    if targets is None:
        return [None]
    return [
        list(some) for _, some in itertools.groupby(targets, lambda target: (common_scale([target]), target == ALL))
    ]


def _expected(targets: Sequence[int | str | Target] | None) -> int:
    tops = [TOP.fullmatch(str(target)) for target in targets or ["top1"]]
    return sum(int(top.group(1)) if top else 1 for top in tops)


def overlay_files(pictures: Sequence[Path], methods: Sequence[str], folder: Path) -> dict[Path, Path]:
    """Where each overlay goes; pictures of one name in different folders are numbered."""
    files, seen = {}, Counter()
    for picture in pictures:
        seen[picture.stem] += 1
        number = f"-{seen[picture.stem]}" if seen[picture.stem] > 1 else ""
        files[picture] = folder / f"{picture.stem}{number}-{'-'.join(methods)}.png"
    return files


def _objects(
    picture: Path, explanations: Sequence[Explanation], share: float | str, input_size: tuple[int, int] | None
) -> list[Corners | None]:
    """The box of the largest hot region of each map, in pixels of the picture."""
    from backlit.pictures import load

    height, width, _ = load(picture).shape
    return [e.box((height, width), share=share, input_size=input_size) for e in explanations]


def _drawer(model: Model, share: float | str | None) -> Callable[[Path, Sequence[Explanation], Path], Path | None]:
    """Draws overlays; a missing extra is told before any work is done."""
    from backlit import pictures

    def draw(picture: Path, explanations: Sequence[Explanation], file: Path) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        pictures.overlay(picture, explanations, input_size=model.card.input_size, share=share).savefig(file)
        return file

    return draw


def _no_picture(picture: Path, explanations: Sequence[Explanation], file: Path) -> None:
    return None


def _tell(
    picture: Path, explanations: Sequence[Explanation], file: Path | None, objects: Sequence[Corners | None]
) -> None:
    print(picture)
    width = max((len(e.method) for e in explanations), default=0)
    for e, box in itertools.zip_longest(explanations, objects):
        target = e.subject if e.target is None else f"{e.target:>4} {e.name}"
        probability = "" if math.isnan(e.output) else f"  output {e.output:.3f}"
        print(f"  {e.method:<{width}} {target:<28} score {e.score:.2f}{probability}  {e.status}")
        if e.target is not None and e.description:
            print(f"  {'':<{width}} {e.description}")
        if e.detection:
            print(f"  {'':<{width}} {', '.join(_about_box(e.detection))}")
        if objects:
            print(f"  {'':<{width}} {'object at ' + ', '.join(map(str, box)) if box else 'no object: nothing is hot'}")
        if about := _about_passes(e):
            print(f"  {'':<{width}} {about}")
        if e.note:
            print(f"  {'':<{width}} {e.note}")
    print(f"  -> {file}")


def _about_passes(e: Explanation) -> str:
    """What a method of many passes found out, and what it took."""
    facts = [f"{name} {value:.3g}" for name, value in e.facts.items()]
    made = e.provenance
    counts = {"forward": made.forward_passes, "backward": made.backward_passes, "head": made.head_passes}
    passes = [f"{count:.0f} {kind}" for kind, count in counts.items() if count]
    return ", ".join([*facts, f"passes: {', '.join(passes)}"]) if facts or made.forward_passes > 1 else ""


def _about_box(found: DetectedBox) -> Iterator[str]:
    yield f"anchor {found.anchor}"
    if found.corners:
        corners = ", ".join(f"{side:.0f}" for side in found.corners)
        fit = f", overlapping by {found.iou:.2f}" if found.iou else ""
        read = f", read as {found.convention}" + (" (as it looks; say it with --boxes)" if found.assumed else "")
        yield f"box {corners}{fit}{read}"


def _tell_json(
    picture: Path, explanations: Sequence[Explanation], file: Path | None, objects: Sequence[Corners | None]
) -> None:
    for explanation, box in itertools.zip_longest(explanations, objects):
        row = {"picture": str(picture), "file": file and str(file), **asdict(explanation)}
        row |= {"object": box} if objects else {}
        row["heatmap"] = explanation.heatmap.tolist()
        print(json.dumps(dict(_finite(row))))


def _finite(row: dict[str, object]) -> Iterator[tuple[str, object]]:
    """JSON has no NaN: a missing output is null."""
    for name, value in row.items():
        yield name, None if isinstance(value, float) and not math.isfinite(value) else value
