"""The trial run of an uploaded file: it runs, and what it was rewritten to computes the same."""

import numpy as np

from backlit_proto.errors import BadModel, BadQuestion
from backlit_server.engine.files import ModelFile
from backlit_server.engine.models import OpenModel
from backlit_server.engine.runtime import Runtime
from backlit_server.engine.trial import ROUNDED_TOLERANCE, TOLERANCE, same, sample


def try_out(file: ModelFile, model: OpenModel, runtime: Runtime) -> np.ndarray | None:
    """The scores of one made-up image; None where its free sizes could not be guessed.

    BadModel when the uploaded file and its rewriting differ, or the file does not run at all. What is selected from
    values may differ where the values do by rounding.
    """
    inputs = sample(model.anatomy, 1, seed=0)
    try:
        theirs = runtime.open(file.model, file.folder).run(inputs)
        ours = model.forward(inputs)
    except BadQuestion as error:
        if any(n < 0 for spec in model.anatomy.inputs for n in spec.shape[1:]):
            return None
        raise BadModel(f"the model does not run on an input of its own shape: {error}") from error
    tolerance = ROUNDED_TOLERANCE if model.anatomy.arithmetic.quantised else TOLERANCE
    for name, array in theirs.items():
        if name not in model.anatomy.selected and not same(ours[name], array, tolerance):
            raise BadModel(f"rewritten for explaining, the model computes another {name!r} than the uploaded file")
    return ours[model.anatomy.scores.name]
