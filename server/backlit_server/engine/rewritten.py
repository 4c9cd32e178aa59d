"""A model as it was rewritten, and what opens sessions of graphs that are made from it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

from backlit_server.engine.runtime import Opener, Session
from backlit_server.graph import Anatomy, with_outputs


@dataclass(frozen=True, eq=False)
class Rewritten:
    """The whole model in the form that graph/ reads, not to be changed; its anatomy; and what opens graphs of it.

    `folder` is where weights outside the model lie, `converted` what becomes of graphs that only go forward.
    """

    graph: onnx.ModelProto
    anatomy: Anatomy
    opener: Opener
    folder: Path | None
    converted: Callable[[onnx.ModelProto], onnx.ModelProto]

    def open(self, graph: onnx.ModelProto) -> Session:
        """A session of a graph that was made from this model."""
        return self.opener.open(graph, self.folder)

    def forward(self, graph: onnx.ModelProto) -> Session:
        """A session of a graph that goes forward up to a layer."""
        return self.open(self.converted(graph))

    def light(self, graph: onnx.ModelProto) -> onnx.ModelProto:
        """The graph as it is to be kept."""
        return self.opener.light(graph)

    @functools.cached_property
    def plain(self) -> Session:
        """The forward pass alone."""
        return self.forward(with_outputs(self.graph, [self.anatomy.scores.name]))
