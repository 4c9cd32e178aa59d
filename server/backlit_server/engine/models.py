"""Models as a worker holds them: verified bytes, their anatomy, and sessions opened on first use."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from backlit_proto.errors import BadQuestion, CorruptModel, NotExplainable, UnknownModel
from backlit_server.engine.pictures import ImageInput
from backlit_server.engine.runtime import Runtime, Session
from backlit_server.engine.targets import Classes
from backlit_server.graph import Anatomy, Cut, canonical, cut, examine, exposed, linear_weights, method_graph
from backlit_server.methods import METHODS


@dataclass(frozen=True)
class OpenCut:
    """A model cut at one layer, its backbone ready to run."""

    cut: Cut
    axes: str
    backbone: Session


@dataclass(frozen=True)
class Head:
    """A method behind the head of a cut, ready to run, and the digest of the graphs that compute it."""

    session: Session
    graph_digest: str


class OpenModel:
    """One model: its anatomy and, by layer and method, its sessions."""

    def __init__(self, model: onnx.ModelProto, runtime: Runtime) -> None:
        self._runtime = runtime
        self._model = canonical(model)
        self._cuts: dict[str, OpenCut] = {}
        self._heads: dict[tuple[str, str], Head] = {}
        self.anatomy: Anatomy = examine(self._model)
        self.classes = Classes(binary=self.anatomy.scores.binary)

    def cut(self, layer: str) -> OpenCut:
        """The cut at a tensor or node by name, "" for the default layer."""
        layer = layer or self.anatomy.default_layer
        if not layer:
            raise NotExplainable(f"this model has no layer to look at: {self.anatomy.default_layer_reason}")
        if layer not in self._cuts:
            made = cut(self._model, layer, self.anatomy.scores.name)
            self._cuts[layer] = OpenCut(made, self.anatomy.axes_of(made.layer), self._runtime.open(made.backbone))
        return self._cuts[layer]
