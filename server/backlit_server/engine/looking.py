"""What one method finds in some images, whose forward pass is there: maps of targets, or of all classes."""

import functools
import math
import time
from collections.abc import Iterator

import numpy as np

from backlit_proto.errors import NotExplainable
from backlit_server.engine.answers import Looked, Passes
from backlit_server.engine.asking import asked_looks
from backlit_server.engine.backbones import Backbone
from backlit_server.engine.both_ways import came_back
from backlit_server.engine.causes import Ran, causes
from backlit_server.engine.combining import Combination, combined
from backlit_server.engine.inputs import images_in
from backlit_server.engine.joining import Run
from backlit_server.engine.measuring import Bench, measured
from backlit_server.engine.models import OpenModel
from backlit_server.engine.parting import Some, parted
from backlit_server.engine.plans import Plan, parts
from backlit_server.engine.questions import Question, Wording
from backlit_server.engine.stacks import Stack, class_head, product, stacked
from backlit_server.engine.target_kinds import rows, rows_of_images
from backlit_server.engine.targets import Row
from backlit_server.engine.through_head import through_head
from backlit_server.engine.views import View, views
from backlit_server.graph import Cut, PictureRecipe
from backlit_server.graph.both_ways import CHOSEN

Tensors = dict[str, np.ndarray]


def found(
    question: Question, plan: Plan, run: Run, prepared: PictureRecipe | None, until: float
) -> Iterator[Looked | Stack | None]:
    """What a method of the question finds, until a time; None between passes, so that others can have their turn."""
    if question.every_class:
        return _stacks(question, plan, run, until)
    if not plan.wording.measures:
        return _looks(question, plan, run, until)
    bench = Bench(plan.wording, run.model, run.feeds, run.frame, prepared, _again, until)
    mapped = (time.monotonic() + until) / 2  # the measures are left half of the time
    return measured(functools.partial(_looks, question, plan, run, mapped), bench)


def _looks(question: Question, plan: Plan, run: Run, until: float) -> Iterator[Looked | None]:
    """The maps of all targets of these images."""
    if plan.wording in run.waiting:
        return iter(run.waiting.pop(plan.wording))
    made = _forward(question, plan, run)
    asked = _asked(question, plan, views(made, run.model.anatomy.scores, run.frame, plan.wording.boxes))
    if plan.both_ways and CHOSEN in made:
        back = came_back(plan.both_ways, plan.wording, Ran(run.model, plan.parts.backbones[0].cut, made), asked)
        if back:
            return iter([back])
    if len(plan.sharing) > 1:
        return _shared(plan, run, made, asked)
    return _seen(plan.wording, run.model, plan.parts, made, asked, until)


def _stacks(question: Question, plan: Plan, run: Run, until: float) -> Iterator[Stack | None]:
    """The maps of all classes of these images: in one run an image where the head is linear, else by a seed a class."""
    model, made, backbone = run.model, _forward(question, plan, run), plan.parts.backbones[0]
    images = views(made, model.anatomy.scores, run.frame, plan.wording.boxes)
    head = class_head(plan.wording, model, backbone) if plan.parts.trivial else None
    if head is not None:
        return product(head, plan.wording, Ran(model, backbone.cut, made), images)
    looks = _seen(plan.wording, model, plan.parts, made, _asked(question, plan, images), until)
    return stacked(looks, model.anatomy.scores, plan.wording)


def _forward(question: Question, plan: Plan, run: Run) -> Tensors:
    """All tensors of the forward pass of these images."""
    session, _ = plan.forward(question.targets)
    made, anatomy = run.forward(session), run.model.anatomy
    scores = anatomy.scores
    count, there = images_in(run.feeds, anatomy.inputs), made[scores.name]
    if not there.ndim or len(there) != count:
        raise NotExplainable(
            f"the scores {scores.name!r} of {count} images have the shape {there.shape}, whose first axis does not "
            "count images; export the model with a batch axis in its output"
        )
    return made


def _asked(question: Question, plan: Plan, images: Iterator[View]) -> list[Row]:
    return (rows if plan.wording.row.needs_seed else rows_of_images)(question.targets, images)


def _again(wording: Wording, model: OpenModel, feeds: Tensors, row: Row) -> Iterator[Looked | None]:
    """The looks of a question for other inputs, those of one image, or by another model."""
    there = parts(model, wording)
    return _seen(wording, model, there, feeds | there.backbones[0].session.run(feeds), [row], math.inf)


def _shared(plan: Plan, run: Run, made: Tensors, asked: list[Row]) -> Iterator[Looked]:
    """The maps of the first of several methods behind one head; those of the others wait for their turn."""
    _, *others = plan.sharing
    for cut, some, chosen in parted(plan.parts.backbones[0], asked):
        for own, *rest in through_head(plan.sharing, run.model, cut, _of(cut, run.model, made, some), chosen):
            for wording, looked in zip(others, rest, strict=True):
                run.waiting.setdefault(wording, []).append(looked)
            yield own


def _seen(
    wording: Wording, model: OpenModel, parts: Combination, made: Tensors, asked: list[Row], until: float
) -> Iterator[Looked | None]:
    """The maps of these rows, whose images' tensors `made` are."""

    def look(backbone: Backbone, made: Tensors, until: float) -> Iterator[Looked | None]:
        return _look(wording, model, backbone, made, asked, until)

    if parts.trivial:
        return look(parts.backbones[0], made, until)
    return combined(model, parts, made, look, until)


def _look(
    wording: Wording, model: OpenModel, backbone: Backbone, made: Tensors, asked: list[Row], until: float
) -> Iterator[Looked | None]:
    """The maps of these rows at one layer, whose images' tensors `made` are."""
    row = wording.row
    if row.many_passes:
        yield from _many_passes(wording, model, backbone, made, asked, until)
    elif row.needs_seed:
        for cut, some, chosen in parted(backbone, asked):
            for (looked,) in through_head((wording,), model, cut, _of(cut, model, made, some), chosen):
                yield looked
    else:
        yield from _forward_only(wording, model, backbone, made, asked)


def _of(cut: Cut, model: OpenModel, made: Tensors, some: Some) -> Tensors:
    """The scores, and what crosses a cut, of some of the images."""
    return {name: made[name][some] for name in (model.anatomy.scores.name, *cut.given)}


def _many_passes(
    wording: Wording, model: OpenModel, backbone: Backbone, made: Tensors, asked: list[Row], until: float
) -> Iterator[Looked | None]:
    """One image, and all its targets of one cut in the same passes."""
    parts = parted(backbone, asked) if backbone.cut else [(None, ..., asked)]
    for cut, _, some in parts:
        yield from asked_looks(wording, model, cut, made, some, until)


def _forward_only(
    wording: Wording, model: OpenModel, backbone: Backbone, made: Tensors, asked: list[Row]
) -> Iterator[Looked]:
    """One answer an image, whatever its targets: the map does not depend on them."""
    row = wording.row
    layer = backbone.cut.layer if backbone.cut else ""
    tensors = {"scores": made[model.anatomy.scores.name]}
    if layer:
        tensors["features"] = model.values(layer, made[layer], len(tensors["scores"]))
    with np.errstate(all="ignore"):  # the status says what overflows
        heatmaps = row.formula(*(tensors[name] for name in row.needs), **wording.parameters)
    first = {r.image: r for r in reversed(asked)}
    rows = [first[image] for image in range(len(heatmaps))]
    why = causes(Ran(model, backbone.cut, made), row, rows, heatmaps)
    yield Looked(rows, heatmaps, np.zeros(len(rows)), layer, backbone.session.digest, Passes(forward=1), causes=why)
