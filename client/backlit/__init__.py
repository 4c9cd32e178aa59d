"""backlit shows what any ONNX image model looked at. This is the client; `backlit_server` is the heavy house.

import backlit

with backlit.connect("localhost:50051") as server:
    model = server.upload("model.onnx", name="demo")
    print(model.card)
    for explanation in model.explain("cat.jpg", target="top5"):
        print(explanation.name, explanation.score, explanation.heatmap.shape)
"""

from backlit import aio
from backlit.answers import DetectedBox, Explanation, Partial
from backlit.card import Card
from backlit.catalogue import Measure, Method, Profile
from backlit.contrasts import Contrast, Counterfactual, LogOdds, Probability
from backlit.devices import Device, Drift, Execution
from backlit.kinds import Box, Class, Detection, Element, Mask, Similar, Sum, Target
from backlit.measures import Measurement
from backlit.metrics import Metric
from backlit.model import Model
from backlit.mosaics import mosaic
from backlit.preprocessing import Preprocessing
from backlit.provenance import Provenance
from backlit.regions import Region, boxes, iou, segment
from backlit.server import Server, connect
from backlit.weights import WeightedLayer, Weights
from backlit_proto.errors import (
    BacklitError,
    BadModel,
    BadQuestion,
    BadUpload,
    Busy,
    CorruptModel,
    DeadlineExceeded,
    InternalError,
    NotAuthenticated,
    NotDifferentiable,
    NotExplainable,
    NotForThisModel,
    Overloaded,
    ServerUnavailable,
    UnknownModel,
    WorkerLost,
    WrongOffset,
)

__all__ = [
    "BacklitError",
    "BadModel",
    "BadQuestion",
    "BadUpload",
    "Box",
    "Busy",
    "Card",
    "Class",
    "Contrast",
    "CorruptModel",
    "Counterfactual",
    "DeadlineExceeded",
    "DetectedBox",
    "Detection",
    "Device",
    "Drift",
    "Element",
    "Execution",
    "Explanation",
    "InternalError",
    "LogOdds",
    "Mask",
    "Measure",
    "Measurement",
    "Method",
    "Metric",
    "Model",
    "NotAuthenticated",
    "NotDifferentiable",
    "NotExplainable",
    "NotForThisModel",
    "Overloaded",
    "Partial",
    "Preprocessing",
    "Probability",
    "Profile",
    "Provenance",
    "Region",
    "Server",
    "ServerUnavailable",
    "Similar",
    "Sum",
    "Target",
    "UnknownModel",
    "WeightedLayer",
    "Weights",
    "WorkerLost",
    "WrongOffset",
    "aio",
    "boxes",
    "connect",
    "iou",
    "mosaic",
    "segment",
]
