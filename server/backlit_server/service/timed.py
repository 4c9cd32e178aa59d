"""Admission with a clock beside it."""

from dataclasses import dataclass
from pathlib import Path

from backlit_proto import backlit_pb2 as pb
from backlit_server.service.metrics import Metrics
from backlit_server.service.neighbours import Admission
from backlit_server.settings import Settings

SECONDS = "backlit_admission_seconds"


@dataclass(frozen=True)
class TimedAdmission:
    """Does as the admission inside it, and counts how long each kind of work takes."""

    admission: Admission
    metrics: Metrics

    async def examine(self, model: Path, settings: Settings) -> pb.Card:
        with self.metrics.timed(SECONDS, "examine"):
            return await self.admission.examine(model, settings)

    async def export(self, model: Path, out: Path, asked: pb.ExportRequest, settings: Settings) -> None:
        with self.metrics.timed(SECONDS, "export"):
            await self.admission.export(model, out, asked, settings)

    async def list_weights(self, model: Path, settings: Settings) -> pb.ListWeightsResponse:
        with self.metrics.timed(SECONDS, "list-weights"):
            return await self.admission.list_weights(model, settings)

    async def weights(self, model: Path, out: Path, layer: str, settings: Settings) -> pb.Weights:
        with self.metrics.timed(SECONDS, "weights"):
            return await self.admission.weights(model, out, layer, settings)
