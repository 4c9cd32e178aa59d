"""METHODS, MEASURES, PRESETS and PROFILES as ListMethods tells them, and devices as ListDevices does."""

import inspect
import json
from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format, struct_pb2

from backlit_proto import backlit_pb2 as pb
from backlit_server.execution import Computed
from backlit_server.methods import METHODS
from backlit_server.methods.measures import MEASURES, Measure
from backlit_server.methods.method import Method, Parameter
from backlit_server.methods.parameters import type_name
from backlit_server.methods.presets import PRESETS, Preset
from backlit_server.methods.profiles import PROFILES, Profile
from backlit_server.service.neighbours import Device


def methods(support: dict[str, pb.MethodSupport]) -> list[pb.Method]:
    """Every method; `support` says by name whether the model that was named can answer."""
    return [_method(name, row, support.get(name)) for name, row in METHODS.items()]


def measures() -> list[pb.Measure]:
    return [_measure(name, row) for name, row in MEASURES.items()]


def presets() -> list[pb.Preprocessing]:
    return [_preset(name, row) for name, row in PRESETS.items()]


def profiles() -> list[pb.Profile]:
    return [_profile(name, row) for name, row in PROFILES.items()]


def devices(rows: Iterable[Device]) -> list[pb.Device]:
    return [
        pb.Device(
            name=row.name,
            execution_provider=row.provider,
            ready=row.ready,
            note=row.note,
            execution=Computed(row.name, row.provider, row.execution).message(),
        )
        for row in rows
    ]


def _method(name: str, row: Method, support: pb.MethodSupport | None) -> pb.Method:
    return pb.Method(
        name=name,
        summary=row.summary,
        documentation=row.documentation,
        parameters=[_parameter(p) for p in row.parameters],
        needs_gradients=row.needs_gradients,
        many_passes=row.many_passes,
        support=support,
    )


def _measure(name: str, row: Measure) -> pb.Measure:
    return pb.Measure(
        name=name,
        summary=row.summary,
        documentation=row.documentation,
        parameters=[_parameter(p) for p in row.parameters],
        better=f"BETTER_{row.better.upper()}",
    )


def _parameter(row: Parameter) -> pb.Parameter:
    default = None if row.default is inspect.Parameter.empty else _value(row.default)
    return pb.Parameter(name=row.name, type=type_name(row.type), default=default, documentation=row.documentation)


def _value(value: Any) -> struct_pb2.Value:
    return json_format.Parse(json.dumps(value), struct_pb2.Value())


def _preset(name: str, row: Preset) -> pb.Preprocessing:
    return pb.Preprocessing(
        preset=name,
        mean=row.mean,
        std=row.std,
        color=f"COLOR_{row.color}",
        fit=f"FIT_{row.fit}",
        crop=row.crop,
        interpolation=f"INTERPOLATION_{row.interpolation}",
    )


def _profile(name: str, row: Profile) -> pb.Profile:
    return pb.Profile(
        name=name,
        summary=row.summary,
        layer=row.layer,
        explains=row.explains or "scores",
        steps=row.rendering.steps,
        deviations={of: method.summary for of, method in row.methods.items()},
    )
