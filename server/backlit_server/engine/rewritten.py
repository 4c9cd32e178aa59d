"""A model as it was rewritten, and what opens sessions of graphs that are made from it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import onnx

from backlit_server.engine.runtime import Session
from backlit_server.graph import Anatomy, with_outputs


@dataclass(frozen=True, eq=False)
class Rewritten:
    """The whole model in the form that graph/ reads, not to be changed; its anatomy; and `open`, for graphs of it."""

    graph: onnx.ModelProto
    anatomy: Anatomy
    open: Callable[[onnx.ModelProto], Session]

    @functools.cached_property
    def plain(self) -> Session:
        """The forward pass alone."""
        return self.open(with_outputs(self.graph, [self.anatomy.scores.name]))
