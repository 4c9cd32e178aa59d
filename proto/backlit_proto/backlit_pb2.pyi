import datetime

from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DataType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATA_TYPE_UNSPECIFIED: _ClassVar[DataType]
    DATA_TYPE_BOOL: _ClassVar[DataType]
    DATA_TYPE_UINT8: _ClassVar[DataType]
    DATA_TYPE_INT8: _ClassVar[DataType]
    DATA_TYPE_UINT16: _ClassVar[DataType]
    DATA_TYPE_INT16: _ClassVar[DataType]
    DATA_TYPE_UINT32: _ClassVar[DataType]
    DATA_TYPE_INT32: _ClassVar[DataType]
    DATA_TYPE_UINT64: _ClassVar[DataType]
    DATA_TYPE_INT64: _ClassVar[DataType]
    DATA_TYPE_FLOAT16: _ClassVar[DataType]
    DATA_TYPE_BFLOAT16: _ClassVar[DataType]
    DATA_TYPE_FLOAT32: _ClassVar[DataType]
    DATA_TYPE_FLOAT64: _ClassVar[DataType]

class Layout(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LAYOUT_UNSPECIFIED: _ClassVar[Layout]
    LAYOUT_NCHW: _ClassVar[Layout]
    LAYOUT_NHWC: _ClassVar[Layout]

class Task(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_UNSPECIFIED: _ClassVar[Task]
    TASK_CLASSIFICATION: _ClassVar[Task]
    TASK_DETECTION: _ClassVar[Task]
    TASK_SEGMENTATION: _ClassVar[Task]
    TASK_REGRESSION: _ClassVar[Task]
    TASK_EMBEDDING: _ClassVar[Task]
    TASK_OTHER: _ClassVar[Task]

class HeadKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HEAD_KIND_UNSPECIFIED: _ClassVar[HeadKind]
    HEAD_KIND_POOLING_LINEAR: _ClassVar[HeadKind]
    HEAD_KIND_CONVOLUTION_POOLING: _ClassVar[HeadKind]
    HEAD_KIND_FLATTEN_DENSE: _ClassVar[HeadKind]
    HEAD_KIND_OTHER: _ClassVar[HeadKind]

class HeatmapStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HEATMAP_STATUS_UNSPECIFIED: _ClassVar[HeatmapStatus]
    HEATMAP_STATUS_OK: _ClassVar[HeatmapStatus]
    HEATMAP_STATUS_ALL_NONPOSITIVE: _ClassVar[HeatmapStatus]
    HEATMAP_STATUS_CONSTANT: _ClassVar[HeatmapStatus]
    HEATMAP_STATUS_GUARDED: _ClassVar[HeatmapStatus]
    HEATMAP_STATUS_NOT_FINITE: _ClassVar[HeatmapStatus]
    HEATMAP_STATUS_PARTIAL: _ClassVar[HeatmapStatus]
    HEATMAP_STATUS_SATURATED: _ClassVar[HeatmapStatus]
    HEATMAP_STATUS_DEAD_LAYER: _ClassVar[HeatmapStatus]
    HEATMAP_STATUS_DIMMED: _ClassVar[HeatmapStatus]

class Precision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRECISION_UNSPECIFIED: _ClassVar[Precision]
    PRECISION_SINGLE: _ClassVar[Precision]
    PRECISION_HALF: _ClassVar[Precision]
DATA_TYPE_UNSPECIFIED: DataType
DATA_TYPE_BOOL: DataType
DATA_TYPE_UINT8: DataType
DATA_TYPE_INT8: DataType
DATA_TYPE_UINT16: DataType
DATA_TYPE_INT16: DataType
DATA_TYPE_UINT32: DataType
DATA_TYPE_INT32: DataType
DATA_TYPE_UINT64: DataType
DATA_TYPE_INT64: DataType
DATA_TYPE_FLOAT16: DataType
DATA_TYPE_BFLOAT16: DataType
DATA_TYPE_FLOAT32: DataType
DATA_TYPE_FLOAT64: DataType
LAYOUT_UNSPECIFIED: Layout
LAYOUT_NCHW: Layout
LAYOUT_NHWC: Layout
TASK_UNSPECIFIED: Task
TASK_CLASSIFICATION: Task
TASK_DETECTION: Task
TASK_SEGMENTATION: Task
TASK_REGRESSION: Task
TASK_EMBEDDING: Task
TASK_OTHER: Task
HEAD_KIND_UNSPECIFIED: HeadKind
HEAD_KIND_POOLING_LINEAR: HeadKind
HEAD_KIND_CONVOLUTION_POOLING: HeadKind
HEAD_KIND_FLATTEN_DENSE: HeadKind
HEAD_KIND_OTHER: HeadKind
HEATMAP_STATUS_UNSPECIFIED: HeatmapStatus
HEATMAP_STATUS_OK: HeatmapStatus
HEATMAP_STATUS_ALL_NONPOSITIVE: HeatmapStatus
HEATMAP_STATUS_CONSTANT: HeatmapStatus
HEATMAP_STATUS_GUARDED: HeatmapStatus
HEATMAP_STATUS_NOT_FINITE: HeatmapStatus
HEATMAP_STATUS_PARTIAL: HeatmapStatus
HEATMAP_STATUS_SATURATED: HeatmapStatus
HEATMAP_STATUS_DEAD_LAYER: HeatmapStatus
HEATMAP_STATUS_DIMMED: HeatmapStatus
PRECISION_UNSPECIFIED: Precision
PRECISION_SINGLE: Precision
PRECISION_HALF: Precision

class Tensor(_message.Message):
    __slots__ = ("data_type", "shape", "data")
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    data_type: DataType
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, data_type: _Optional[_Union[DataType, str]] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class TensorSpec(_message.Message):
    __slots__ = ("name", "data_type", "shape", "dim_names")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DIM_NAMES_FIELD_NUMBER: _ClassVar[int]
    name: str
    data_type: DataType
    shape: _containers.RepeatedScalarFieldContainer[int]
    dim_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., data_type: _Optional[_Union[DataType, str]] = ..., shape: _Optional[_Iterable[int]] = ..., dim_names: _Optional[_Iterable[str]] = ...) -> None: ...

class File(_message.Message):
    __slots__ = ("name", "size", "digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    size: int
    digest: str
    def __init__(self, name: _Optional[str] = ..., size: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("digest", "name", "size", "uploaded", "card", "preprocessing", "class_names", "files")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    UPLOADED_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    PREPROCESSING_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAMES_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    digest: str
    name: str
    size: int
    uploaded: _timestamp_pb2.Timestamp
    card: Card
    preprocessing: Preprocessing
    class_names: _containers.RepeatedScalarFieldContainer[str]
    files: _containers.RepeatedCompositeFieldContainer[File]
    def __init__(self, digest: _Optional[str] = ..., name: _Optional[str] = ..., size: _Optional[int] = ..., uploaded: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., card: _Optional[_Union[Card, _Mapping]] = ..., preprocessing: _Optional[_Union[Preprocessing, _Mapping]] = ..., class_names: _Optional[_Iterable[str]] = ..., files: _Optional[_Iterable[_Union[File, _Mapping]]] = ...) -> None: ...

class Card(_message.Message):
    __slots__ = ("inputs", "outputs", "scores", "layers", "default_layer", "default_layer_reason", "head", "methods", "batch", "opset", "ir_version", "producer", "parameters", "notes", "execution_provider", "self_check", "score_candidates", "arithmetic")
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_LAYER_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_LAYER_REASON_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    OPSET_FIELD_NUMBER: _ClassVar[int]
    IR_VERSION_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    SELF_CHECK_FIELD_NUMBER: _ClassVar[int]
    SCORE_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    ARITHMETIC_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedCompositeFieldContainer[Input]
    outputs: _containers.RepeatedCompositeFieldContainer[TensorSpec]
    scores: Scores
    layers: _containers.RepeatedCompositeFieldContainer[Layer]
    default_layer: str
    default_layer_reason: str
    head: Head
    methods: _containers.RepeatedCompositeFieldContainer[MethodSupport]
    batch: Batch
    opset: int
    ir_version: int
    producer: str
    parameters: int
    notes: _containers.RepeatedScalarFieldContainer[str]
    execution_provider: str
    self_check: SelfCheck
    score_candidates: _containers.RepeatedCompositeFieldContainer[Scores]
    arithmetic: Arithmetic
    def __init__(self, inputs: _Optional[_Iterable[_Union[Input, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[TensorSpec, _Mapping]]] = ..., scores: _Optional[_Union[Scores, _Mapping]] = ..., layers: _Optional[_Iterable[_Union[Layer, _Mapping]]] = ..., default_layer: _Optional[str] = ..., default_layer_reason: _Optional[str] = ..., head: _Optional[_Union[Head, _Mapping]] = ..., methods: _Optional[_Iterable[_Union[MethodSupport, _Mapping]]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., opset: _Optional[int] = ..., ir_version: _Optional[int] = ..., producer: _Optional[str] = ..., parameters: _Optional[int] = ..., notes: _Optional[_Iterable[str]] = ..., execution_provider: _Optional[str] = ..., self_check: _Optional[_Union[SelfCheck, _Mapping]] = ..., score_candidates: _Optional[_Iterable[_Union[Scores, _Mapping]]] = ..., arithmetic: _Optional[_Union[Arithmetic, _Mapping]] = ...) -> None: ...

class Arithmetic(_message.Message):
    __slots__ = ("quantised", "rewritten")
    QUANTISED_FIELD_NUMBER: _ClassVar[int]
    REWRITTEN_FIELD_NUMBER: _ClassVar[int]
    quantised: bool
    rewritten: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, quantised: _Optional[bool] = ..., rewritten: _Optional[_Iterable[str]] = ...) -> None: ...

class SelfCheck(_message.Message):
    __slots__ = ("head", "network")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    head: Comparison
    network: Comparison
    def __init__(self, head: _Optional[_Union[Comparison, _Mapping]] = ..., network: _Optional[_Union[Comparison, _Mapping]] = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ("verdict", "error", "doubt", "gradient", "difference", "explanation")
    class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VERDICT_UNSPECIFIED: _ClassVar[Comparison.Verdict]
        VERDICT_AGREES: _ClassVar[Comparison.Verdict]
        VERDICT_DIFFERS: _ClassVar[Comparison.Verdict]
        VERDICT_NOT_CHECKED: _ClassVar[Comparison.Verdict]
    VERDICT_UNSPECIFIED: Comparison.Verdict
    VERDICT_AGREES: Comparison.Verdict
    VERDICT_DIFFERS: Comparison.Verdict
    VERDICT_NOT_CHECKED: Comparison.Verdict
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DOUBT_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    verdict: Comparison.Verdict
    error: float
    doubt: float
    gradient: float
    difference: float
    explanation: str
    def __init__(self, verdict: _Optional[_Union[Comparison.Verdict, str]] = ..., error: _Optional[float] = ..., doubt: _Optional[float] = ..., gradient: _Optional[float] = ..., difference: _Optional[float] = ..., explanation: _Optional[str] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("tensor", "layout")
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    tensor: TensorSpec
    layout: Layout
    def __init__(self, tensor: _Optional[_Union[TensorSpec, _Mapping]] = ..., layout: _Optional[_Union[Layout, str]] = ...) -> None: ...

class Scores(_message.Message):
    __slots__ = ("tensor", "output", "activation", "explanation", "task", "task_reason", "axes", "boxes")
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    TASK_REASON_FIELD_NUMBER: _ClassVar[int]
    AXES_FIELD_NUMBER: _ClassVar[int]
    BOXES_FIELD_NUMBER: _ClassVar[int]
    tensor: TensorSpec
    output: str
    activation: str
    explanation: str
    task: Task
    task_reason: str
    axes: str
    boxes: str
    def __init__(self, tensor: _Optional[_Union[TensorSpec, _Mapping]] = ..., output: _Optional[str] = ..., activation: _Optional[str] = ..., explanation: _Optional[str] = ..., task: _Optional[_Union[Task, str]] = ..., task_reason: _Optional[str] = ..., axes: _Optional[str] = ..., boxes: _Optional[str] = ...) -> None: ...

class Layer(_message.Message):
    __slots__ = ("name", "node", "operator", "shape", "on_every_path", "axes", "height", "width")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    ON_EVERY_PATH_FIELD_NUMBER: _ClassVar[int]
    AXES_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    name: str
    node: str
    operator: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    on_every_path: bool
    axes: str
    height: int
    width: int
    def __init__(self, name: _Optional[str] = ..., node: _Optional[str] = ..., operator: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., on_every_path: _Optional[bool] = ..., axes: _Optional[str] = ..., height: _Optional[int] = ..., width: _Optional[int] = ...) -> None: ...

class Head(_message.Message):
    __slots__ = ("kind", "explanation", "operators", "operators_without_rule")
    KIND_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    OPERATORS_FIELD_NUMBER: _ClassVar[int]
    OPERATORS_WITHOUT_RULE_FIELD_NUMBER: _ClassVar[int]
    kind: HeadKind
    explanation: str
    operators: _containers.RepeatedScalarFieldContainer[str]
    operators_without_rule: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, kind: _Optional[_Union[HeadKind, str]] = ..., explanation: _Optional[str] = ..., operators: _Optional[_Iterable[str]] = ..., operators_without_rule: _Optional[_Iterable[str]] = ...) -> None: ...

class MethodSupport(_message.Message):
    __slots__ = ("method", "available", "why_not", "reason")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    WHY_NOT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    method: str
    available: bool
    why_not: str
    reason: str
    def __init__(self, method: _Optional[str] = ..., available: _Optional[bool] = ..., why_not: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("dynamic", "explanation")
    DYNAMIC_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    dynamic: bool
    explanation: str
    def __init__(self, dynamic: _Optional[bool] = ..., explanation: _Optional[str] = ...) -> None: ...

class Preprocessing(_message.Message):
    __slots__ = ("preset", "mean", "std", "color", "fit", "height", "width", "crop", "interpolation", "computed_by")
    class Color(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        COLOR_UNSPECIFIED: _ClassVar[Preprocessing.Color]
        COLOR_RGB: _ClassVar[Preprocessing.Color]
        COLOR_BGR: _ClassVar[Preprocessing.Color]
        COLOR_GREY: _ClassVar[Preprocessing.Color]
    COLOR_UNSPECIFIED: Preprocessing.Color
    COLOR_RGB: Preprocessing.Color
    COLOR_BGR: Preprocessing.Color
    COLOR_GREY: Preprocessing.Color
    class Fit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FIT_UNSPECIFIED: _ClassVar[Preprocessing.Fit]
        FIT_CROP: _ClassVar[Preprocessing.Fit]
        FIT_STRETCH: _ClassVar[Preprocessing.Fit]
        FIT_PAD: _ClassVar[Preprocessing.Fit]
    FIT_UNSPECIFIED: Preprocessing.Fit
    FIT_CROP: Preprocessing.Fit
    FIT_STRETCH: Preprocessing.Fit
    FIT_PAD: Preprocessing.Fit
    class Interpolation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        INTERPOLATION_UNSPECIFIED: _ClassVar[Preprocessing.Interpolation]
        INTERPOLATION_BILINEAR: _ClassVar[Preprocessing.Interpolation]
        INTERPOLATION_BICUBIC: _ClassVar[Preprocessing.Interpolation]
        INTERPOLATION_NEAREST: _ClassVar[Preprocessing.Interpolation]
    INTERPOLATION_UNSPECIFIED: Preprocessing.Interpolation
    INTERPOLATION_BILINEAR: Preprocessing.Interpolation
    INTERPOLATION_BICUBIC: Preprocessing.Interpolation
    INTERPOLATION_NEAREST: Preprocessing.Interpolation
    class ComputedBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        COMPUTED_BY_UNSPECIFIED: _ClassVar[Preprocessing.ComputedBy]
        COMPUTED_BY_PILLOW: _ClassVar[Preprocessing.ComputedBy]
        COMPUTED_BY_GRAPH: _ClassVar[Preprocessing.ComputedBy]
    COMPUTED_BY_UNSPECIFIED: Preprocessing.ComputedBy
    COMPUTED_BY_PILLOW: Preprocessing.ComputedBy
    COMPUTED_BY_GRAPH: Preprocessing.ComputedBy
    PRESET_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    STD_FIELD_NUMBER: _ClassVar[int]
    COLOR_FIELD_NUMBER: _ClassVar[int]
    FIT_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    CROP_FIELD_NUMBER: _ClassVar[int]
    INTERPOLATION_FIELD_NUMBER: _ClassVar[int]
    COMPUTED_BY_FIELD_NUMBER: _ClassVar[int]
    preset: str
    mean: _containers.RepeatedScalarFieldContainer[float]
    std: _containers.RepeatedScalarFieldContainer[float]
    color: Preprocessing.Color
    fit: Preprocessing.Fit
    height: int
    width: int
    crop: float
    interpolation: Preprocessing.Interpolation
    computed_by: Preprocessing.ComputedBy
    def __init__(self, preset: _Optional[str] = ..., mean: _Optional[_Iterable[float]] = ..., std: _Optional[_Iterable[float]] = ..., color: _Optional[_Union[Preprocessing.Color, str]] = ..., fit: _Optional[_Union[Preprocessing.Fit, str]] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., crop: _Optional[float] = ..., interpolation: _Optional[_Union[Preprocessing.Interpolation, str]] = ..., computed_by: _Optional[_Union[Preprocessing.ComputedBy, str]] = ...) -> None: ...

class GetUploadRequest(_message.Message):
    __slots__ = ("digest",)
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    digest: str
    def __init__(self, digest: _Optional[str] = ...) -> None: ...

class GetUploadResponse(_message.Message):
    __slots__ = ("committed", "complete")
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    committed: int
    complete: bool
    def __init__(self, committed: _Optional[int] = ..., complete: _Optional[bool] = ...) -> None: ...

class UploadRequest(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: UploadHeader
    chunk: bytes
    def __init__(self, header: _Optional[_Union[UploadHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class UploadHeader(_message.Message):
    __slots__ = ("digest", "size", "offset", "name", "preprocessing", "class_names", "files")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PREPROCESSING_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAMES_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    digest: str
    size: int
    offset: int
    name: str
    preprocessing: Preprocessing
    class_names: _containers.RepeatedScalarFieldContainer[str]
    files: _containers.RepeatedCompositeFieldContainer[File]
    def __init__(self, digest: _Optional[str] = ..., size: _Optional[int] = ..., offset: _Optional[int] = ..., name: _Optional[str] = ..., preprocessing: _Optional[_Union[Preprocessing, _Mapping]] = ..., class_names: _Optional[_Iterable[str]] = ..., files: _Optional[_Iterable[_Union[File, _Mapping]]] = ...) -> None: ...

class UploadResponse(_message.Message):
    __slots__ = ("model", "known")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    model: Model
    known: bool
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ..., known: _Optional[bool] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateRequest(_message.Message):
    __slots__ = ("model", "name", "preprocessing", "class_names")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PREPROCESSING_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAMES_FIELD_NUMBER: _ClassVar[int]
    model: str
    name: str
    preprocessing: Preprocessing
    class_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[str] = ..., name: _Optional[str] = ..., preprocessing: _Optional[_Union[Preprocessing, _Mapping]] = ..., class_names: _Optional[_Iterable[str]] = ...) -> None: ...

class UpdateResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExportRequest(_message.Message):
    __slots__ = ("model", "layer", "method", "weights_name", "pictures")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_NAME_FIELD_NUMBER: _ClassVar[int]
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    model: str
    layer: str
    method: str
    weights_name: str
    pictures: Preprocessing
    def __init__(self, model: _Optional[str] = ..., layer: _Optional[str] = ..., method: _Optional[str] = ..., weights_name: _Optional[str] = ..., pictures: _Optional[_Union[Preprocessing, _Mapping]] = ...) -> None: ...

class ExportResponse(_message.Message):
    __slots__ = ("chunk", "size", "digest", "files")
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    size: int
    digest: str
    files: _containers.RepeatedCompositeFieldContainer[File]
    def __init__(self, chunk: _Optional[bytes] = ..., size: _Optional[int] = ..., digest: _Optional[str] = ..., files: _Optional[_Iterable[_Union[File, _Mapping]]] = ...) -> None: ...

class Weights(_message.Message):
    __slots__ = ("tensor", "node", "operator", "axes")
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    AXES_FIELD_NUMBER: _ClassVar[int]
    tensor: TensorSpec
    node: str
    operator: str
    axes: str
    def __init__(self, tensor: _Optional[_Union[TensorSpec, _Mapping]] = ..., node: _Optional[str] = ..., operator: _Optional[str] = ..., axes: _Optional[str] = ...) -> None: ...

class ListWeightsRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class ListWeightsResponse(_message.Message):
    __slots__ = ("weights",)
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    weights: _containers.RepeatedCompositeFieldContainer[Weights]
    def __init__(self, weights: _Optional[_Iterable[_Union[Weights, _Mapping]]] = ...) -> None: ...

class GetWeightsRequest(_message.Message):
    __slots__ = ("model", "layer")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    model: str
    layer: str
    def __init__(self, model: _Optional[str] = ..., layer: _Optional[str] = ...) -> None: ...

class GetWeightsResponse(_message.Message):
    __slots__ = ("weights", "chunk")
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    weights: Weights
    chunk: bytes
    def __init__(self, weights: _Optional[_Union[Weights, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("question", "inputs", "pictures")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Tensor
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    question: Question
    inputs: _containers.MessageMap[str, Tensor]
    pictures: _containers.RepeatedCompositeFieldContainer[Picture]
    def __init__(self, question: _Optional[_Union[Question, _Mapping]] = ..., inputs: _Optional[_Mapping[str, Tensor]] = ..., pictures: _Optional[_Iterable[_Union[Picture, _Mapping]]] = ...) -> None: ...

class Picture(_message.Message):
    __slots__ = ("file", "pixels")
    FILE_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    file: bytes
    pixels: Tensor
    def __init__(self, file: _Optional[bytes] = ..., pixels: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class Question(_message.Message):
    __slots__ = ("model", "method", "parameters", "targets", "layer", "profile", "rendering", "preprocessing", "scores", "box_convention", "time_limit", "layers", "fusion", "smoothing", "measures", "scale", "methods", "arrays", "priority", "precision")
    class Fusion(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FUSION_UNSPECIFIED: _ClassVar[Question.Fusion]
        FUSION_MEAN: _ClassVar[Question.Fusion]
        FUSION_MAX: _ClassVar[Question.Fusion]
        FUSION_PRODUCT: _ClassVar[Question.Fusion]
        FUSION_TANH_MAX: _ClassVar[Question.Fusion]
    FUSION_UNSPECIFIED: Question.Fusion
    FUSION_MEAN: Question.Fusion
    FUSION_MAX: Question.Fusion
    FUSION_PRODUCT: Question.Fusion
    FUSION_TANH_MAX: Question.Fusion
    class Smoothing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SMOOTHING_UNSPECIFIED: _ClassVar[Question.Smoothing]
        SMOOTHING_EIGEN: _ClassVar[Question.Smoothing]
        SMOOTHING_AUGMENTATION: _ClassVar[Question.Smoothing]
    SMOOTHING_UNSPECIFIED: Question.Smoothing
    SMOOTHING_EIGEN: Question.Smoothing
    SMOOTHING_AUGMENTATION: Question.Smoothing
    class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PRIORITY_UNSPECIFIED: _ClassVar[Question.Priority]
        PRIORITY_INTERACTIVE: _ClassVar[Question.Priority]
        PRIORITY_AUDIT: _ClassVar[Question.Priority]
    PRIORITY_UNSPECIFIED: Question.Priority
    PRIORITY_INTERACTIVE: Question.Priority
    PRIORITY_AUDIT: Question.Priority
    class Scale(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SCALE_UNSPECIFIED: _ClassVar[Question.Scale]
        SCALE_SCORE: _ClassVar[Question.Scale]
        SCALE_PROBABILITY: _ClassVar[Question.Scale]
        SCALE_LOG_ODDS: _ClassVar[Question.Scale]
    SCALE_UNSPECIFIED: Question.Scale
    SCALE_SCORE: Question.Scale
    SCALE_PROBABILITY: Question.Scale
    SCALE_LOG_ODDS: Question.Scale
    class ArraysEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Tensor
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    RENDERING_FIELD_NUMBER: _ClassVar[int]
    PREPROCESSING_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    BOX_CONVENTION_FIELD_NUMBER: _ClassVar[int]
    TIME_LIMIT_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    FUSION_FIELD_NUMBER: _ClassVar[int]
    SMOOTHING_FIELD_NUMBER: _ClassVar[int]
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    ARRAYS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    model: str
    method: str
    parameters: _struct_pb2.Struct
    targets: _containers.RepeatedCompositeFieldContainer[Target]
    layer: str
    profile: str
    rendering: Rendering
    preprocessing: Preprocessing
    scores: str
    box_convention: BoxConvention
    time_limit: float
    layers: _containers.RepeatedScalarFieldContainer[str]
    fusion: Question.Fusion
    smoothing: _containers.RepeatedScalarFieldContainer[Question.Smoothing]
    measures: _containers.RepeatedCompositeFieldContainer[MeasureRequest]
    scale: Question.Scale
    methods: _containers.RepeatedScalarFieldContainer[str]
    arrays: _containers.MessageMap[str, Tensor]
    priority: Question.Priority
    precision: Precision
    def __init__(self, model: _Optional[str] = ..., method: _Optional[str] = ..., parameters: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., targets: _Optional[_Iterable[_Union[Target, _Mapping]]] = ..., layer: _Optional[str] = ..., profile: _Optional[str] = ..., rendering: _Optional[_Union[Rendering, _Mapping]] = ..., preprocessing: _Optional[_Union[Preprocessing, _Mapping]] = ..., scores: _Optional[str] = ..., box_convention: _Optional[_Union[BoxConvention, _Mapping]] = ..., time_limit: _Optional[float] = ..., layers: _Optional[_Iterable[str]] = ..., fusion: _Optional[_Union[Question.Fusion, str]] = ..., smoothing: _Optional[_Iterable[_Union[Question.Smoothing, str]]] = ..., measures: _Optional[_Iterable[_Union[MeasureRequest, _Mapping]]] = ..., scale: _Optional[_Union[Question.Scale, str]] = ..., methods: _Optional[_Iterable[str]] = ..., arrays: _Optional[_Mapping[str, Tensor]] = ..., priority: _Optional[_Union[Question.Priority, str]] = ..., precision: _Optional[_Union[Precision, str]] = ...) -> None: ...

class MeasureRequest(_message.Message):
    __slots__ = ("name", "parameters")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    parameters: _struct_pb2.Struct
    def __init__(self, name: _Optional[str] = ..., parameters: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Target(_message.Message):
    __slots__ = ("class_index", "class_name", "top", "seed", "element", "box", "detection", "mask", "similarity", "combination", "contrast", "counterfactual", "all")
    CLASS_INDEX_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    DETECTION_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    COMBINATION_FIELD_NUMBER: _ClassVar[int]
    CONTRAST_FIELD_NUMBER: _ClassVar[int]
    COUNTERFACTUAL_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    class_index: int
    class_name: str
    top: int
    seed: Tensor
    element: Element
    box: BoxTarget
    detection: int
    mask: MaskTarget
    similarity: SimilarityTarget
    combination: Combination
    contrast: Contrast
    counterfactual: Target
    all: bool
    def __init__(self, class_index: _Optional[int] = ..., class_name: _Optional[str] = ..., top: _Optional[int] = ..., seed: _Optional[_Union[Tensor, _Mapping]] = ..., element: _Optional[_Union[Element, _Mapping]] = ..., box: _Optional[_Union[BoxTarget, _Mapping]] = ..., detection: _Optional[int] = ..., mask: _Optional[_Union[MaskTarget, _Mapping]] = ..., similarity: _Optional[_Union[SimilarityTarget, _Mapping]] = ..., combination: _Optional[_Union[Combination, _Mapping]] = ..., contrast: _Optional[_Union[Contrast, _Mapping]] = ..., counterfactual: _Optional[_Union[Target, _Mapping]] = ..., all: _Optional[bool] = ...) -> None: ...

class Contrast(_message.Message):
    __slots__ = ("target", "foil")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    FOIL_FIELD_NUMBER: _ClassVar[int]
    target: Target
    foil: Target
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ..., foil: _Optional[_Union[Target, _Mapping]] = ...) -> None: ...

class Element(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, index: _Optional[_Iterable[int]] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("x_min", "y_min", "x_max", "y_max")
    X_MIN_FIELD_NUMBER: _ClassVar[int]
    Y_MIN_FIELD_NUMBER: _ClassVar[int]
    X_MAX_FIELD_NUMBER: _ClassVar[int]
    Y_MAX_FIELD_NUMBER: _ClassVar[int]
    x_min: float
    y_min: float
    x_max: float
    y_max: float
    def __init__(self, x_min: _Optional[float] = ..., y_min: _Optional[float] = ..., x_max: _Optional[float] = ..., y_max: _Optional[float] = ...) -> None: ...

class BoxTarget(_message.Message):
    __slots__ = ("box", "class_index", "class_name")
    BOX_FIELD_NUMBER: _ClassVar[int]
    CLASS_INDEX_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    box: Box
    class_index: int
    class_name: str
    def __init__(self, box: _Optional[_Union[Box, _Mapping]] = ..., class_index: _Optional[int] = ..., class_name: _Optional[str] = ...) -> None: ...

class MaskTarget(_message.Message):
    __slots__ = ("class_index", "class_name", "weights", "reduction")
    class Reduction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REDUCTION_UNSPECIFIED: _ClassVar[MaskTarget.Reduction]
        REDUCTION_MEAN: _ClassVar[MaskTarget.Reduction]
        REDUCTION_SUM: _ClassVar[MaskTarget.Reduction]
    REDUCTION_UNSPECIFIED: MaskTarget.Reduction
    REDUCTION_MEAN: MaskTarget.Reduction
    REDUCTION_SUM: MaskTarget.Reduction
    CLASS_INDEX_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    REDUCTION_FIELD_NUMBER: _ClassVar[int]
    class_index: int
    class_name: str
    weights: Tensor
    reduction: MaskTarget.Reduction
    def __init__(self, class_index: _Optional[int] = ..., class_name: _Optional[str] = ..., weights: _Optional[_Union[Tensor, _Mapping]] = ..., reduction: _Optional[_Union[MaskTarget.Reduction, str]] = ...) -> None: ...

class SimilarityTarget(_message.Message):
    __slots__ = ("reference", "measure")
    class Measure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MEASURE_UNSPECIFIED: _ClassVar[SimilarityTarget.Measure]
        MEASURE_COSINE: _ClassVar[SimilarityTarget.Measure]
        MEASURE_DOT: _ClassVar[SimilarityTarget.Measure]
    MEASURE_UNSPECIFIED: SimilarityTarget.Measure
    MEASURE_COSINE: SimilarityTarget.Measure
    MEASURE_DOT: SimilarityTarget.Measure
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    reference: Tensor
    measure: SimilarityTarget.Measure
    def __init__(self, reference: _Optional[_Union[Tensor, _Mapping]] = ..., measure: _Optional[_Union[SimilarityTarget.Measure, str]] = ...) -> None: ...

class Combination(_message.Message):
    __slots__ = ("terms",)
    class Term(_message.Message):
        __slots__ = ("target", "weight")
        TARGET_FIELD_NUMBER: _ClassVar[int]
        WEIGHT_FIELD_NUMBER: _ClassVar[int]
        target: Target
        weight: float
        def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ..., weight: _Optional[float] = ...) -> None: ...
    TERMS_FIELD_NUMBER: _ClassVar[int]
    terms: _containers.RepeatedCompositeFieldContainer[Combination.Term]
    def __init__(self, terms: _Optional[_Iterable[_Union[Combination.Term, _Mapping]]] = ...) -> None: ...

class BoxConvention(_message.Message):
    __slots__ = ("format", "units")
    class Format(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FORMAT_UNSPECIFIED: _ClassVar[BoxConvention.Format]
        FORMAT_XYXY: _ClassVar[BoxConvention.Format]
        FORMAT_YXYX: _ClassVar[BoxConvention.Format]
        FORMAT_CXCYWH: _ClassVar[BoxConvention.Format]
        FORMAT_XYWH: _ClassVar[BoxConvention.Format]
    FORMAT_UNSPECIFIED: BoxConvention.Format
    FORMAT_XYXY: BoxConvention.Format
    FORMAT_YXYX: BoxConvention.Format
    FORMAT_CXCYWH: BoxConvention.Format
    FORMAT_XYWH: BoxConvention.Format
    class Units(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNITS_UNSPECIFIED: _ClassVar[BoxConvention.Units]
        UNITS_PIXELS: _ClassVar[BoxConvention.Units]
        UNITS_NORMALIZED: _ClassVar[BoxConvention.Units]
    UNITS_UNSPECIFIED: BoxConvention.Units
    UNITS_PIXELS: BoxConvention.Units
    UNITS_NORMALIZED: BoxConvention.Units
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    format: BoxConvention.Format
    units: BoxConvention.Units
    def __init__(self, format: _Optional[_Union[BoxConvention.Format, str]] = ..., units: _Optional[_Union[BoxConvention.Units, str]] = ...) -> None: ...

class Rendering(_message.Message):
    __slots__ = ("size", "height", "width", "relu", "normalize", "data_type", "each_channel", "value_range")
    class Size(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SIZE_UNSPECIFIED: _ClassVar[Rendering.Size]
        SIZE_LAYER: _ClassVar[Rendering.Size]
        SIZE_INPUT: _ClassVar[Rendering.Size]
        SIZE_EXPLICIT: _ClassVar[Rendering.Size]
    SIZE_UNSPECIFIED: Rendering.Size
    SIZE_LAYER: Rendering.Size
    SIZE_INPUT: Rendering.Size
    SIZE_EXPLICIT: Rendering.Size
    class Range(_message.Message):
        __slots__ = ("low", "high")
        LOW_FIELD_NUMBER: _ClassVar[int]
        HIGH_FIELD_NUMBER: _ClassVar[int]
        low: float
        high: float
        def __init__(self, low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...
    SIZE_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    RELU_FIELD_NUMBER: _ClassVar[int]
    NORMALIZE_FIELD_NUMBER: _ClassVar[int]
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    EACH_CHANNEL_FIELD_NUMBER: _ClassVar[int]
    VALUE_RANGE_FIELD_NUMBER: _ClassVar[int]
    size: Rendering.Size
    height: int
    width: int
    relu: bool
    normalize: bool
    data_type: DataType
    each_channel: bool
    value_range: Rendering.Range
    def __init__(self, size: _Optional[_Union[Rendering.Size, str]] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., relu: _Optional[bool] = ..., normalize: _Optional[bool] = ..., data_type: _Optional[_Union[DataType, str]] = ..., each_channel: _Optional[bool] = ..., value_range: _Optional[_Union[Rendering.Range, _Mapping]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("explanations", "progress", "provenance", "last")
    EXPLANATIONS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    explanations: _containers.RepeatedCompositeFieldContainer[Explanation]
    progress: float
    provenance: Provenance
    last: bool
    def __init__(self, explanations: _Optional[_Iterable[_Union[Explanation, _Mapping]]] = ..., progress: _Optional[float] = ..., provenance: _Optional[_Union[Provenance, _Mapping]] = ..., last: _Optional[bool] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("heatmap", "image", "target", "layer", "method", "status", "note", "facts", "layers", "measurements", "classes")
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    HEATMAP_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    MEASUREMENTS_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    heatmap: Tensor
    image: int
    target: ResolvedTarget
    layer: str
    method: str
    status: HeatmapStatus
    note: str
    facts: _containers.ScalarMap[str, float]
    layers: _containers.RepeatedScalarFieldContainer[str]
    measurements: _containers.RepeatedCompositeFieldContainer[Measurement]
    classes: Classes
    def __init__(self, heatmap: _Optional[_Union[Tensor, _Mapping]] = ..., image: _Optional[int] = ..., target: _Optional[_Union[ResolvedTarget, _Mapping]] = ..., layer: _Optional[str] = ..., method: _Optional[str] = ..., status: _Optional[_Union[HeatmapStatus, str]] = ..., note: _Optional[str] = ..., facts: _Optional[_Mapping[str, float]] = ..., layers: _Optional[_Iterable[str]] = ..., measurements: _Optional[_Iterable[_Union[Measurement, _Mapping]]] = ..., classes: _Optional[_Union[Classes, _Mapping]] = ...) -> None: ...

class Classes(_message.Message):
    __slots__ = ("first", "scores", "outputs", "statuses", "notes", "names", "facts")
    class NotesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: str
        def __init__(self, key: _Optional[int] = ..., value: _Optional[str] = ...) -> None: ...
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Tensor
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...
    FIRST_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    first: int
    scores: Tensor
    outputs: Tensor
    statuses: Tensor
    notes: _containers.ScalarMap[int, str]
    names: _containers.RepeatedScalarFieldContainer[str]
    facts: _containers.MessageMap[str, Tensor]
    def __init__(self, first: _Optional[int] = ..., scores: _Optional[_Union[Tensor, _Mapping]] = ..., outputs: _Optional[_Union[Tensor, _Mapping]] = ..., statuses: _Optional[_Union[Tensor, _Mapping]] = ..., notes: _Optional[_Mapping[int, str]] = ..., names: _Optional[_Iterable[str]] = ..., facts: _Optional[_Mapping[str, Tensor]] = ...) -> None: ...

class Measurement(_message.Message):
    __slots__ = ("name", "value", "facts", "curve", "parameters", "target_choice", "unfinished")
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    CURVE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    TARGET_CHOICE_FIELD_NUMBER: _ClassVar[int]
    UNFINISHED_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    facts: _containers.ScalarMap[str, float]
    curve: _containers.RepeatedScalarFieldContainer[float]
    parameters: _struct_pb2.Struct
    target_choice: str
    unfinished: bool
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., facts: _Optional[_Mapping[str, float]] = ..., curve: _Optional[_Iterable[float]] = ..., parameters: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., target_choice: _Optional[str] = ..., unfinished: _Optional[bool] = ...) -> None: ...

class ResolvedTarget(_message.Message):
    __slots__ = ("class_index", "class_name", "score", "output", "scores", "description", "detection", "scale")
    CLASS_INDEX_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DETECTION_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    class_index: int
    class_name: str
    score: float
    output: float
    scores: str
    description: str
    detection: Detection
    scale: Question.Scale
    def __init__(self, class_index: _Optional[int] = ..., class_name: _Optional[str] = ..., score: _Optional[float] = ..., output: _Optional[float] = ..., scores: _Optional[str] = ..., description: _Optional[str] = ..., detection: _Optional[_Union[Detection, _Mapping]] = ..., scale: _Optional[_Union[Question.Scale, str]] = ...) -> None: ...

class Detection(_message.Message):
    __slots__ = ("anchor", "box", "iou", "convention", "convention_assumed")
    ANCHOR_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    IOU_FIELD_NUMBER: _ClassVar[int]
    CONVENTION_FIELD_NUMBER: _ClassVar[int]
    CONVENTION_ASSUMED_FIELD_NUMBER: _ClassVar[int]
    anchor: int
    box: Box
    iou: float
    convention: BoxConvention
    convention_assumed: bool
    def __init__(self, anchor: _Optional[int] = ..., box: _Optional[_Union[Box, _Mapping]] = ..., iou: _Optional[float] = ..., convention: _Optional[_Union[BoxConvention, _Mapping]] = ..., convention_assumed: _Optional[bool] = ...) -> None: ...

class Provenance(_message.Message):
    __slots__ = ("model_digest", "graph_digest", "execution_provider", "versions", "parameters", "profile", "steps", "forward_passes", "preprocessing", "preprocessing_assumed", "self_check", "arithmetic", "backward_passes", "head_passes", "forward_pass_reused", "device", "execution")
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    FORWARD_PASSES_FIELD_NUMBER: _ClassVar[int]
    PREPROCESSING_FIELD_NUMBER: _ClassVar[int]
    PREPROCESSING_ASSUMED_FIELD_NUMBER: _ClassVar[int]
    SELF_CHECK_FIELD_NUMBER: _ClassVar[int]
    ARITHMETIC_FIELD_NUMBER: _ClassVar[int]
    BACKWARD_PASSES_FIELD_NUMBER: _ClassVar[int]
    HEAD_PASSES_FIELD_NUMBER: _ClassVar[int]
    FORWARD_PASS_REUSED_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    model_digest: str
    graph_digest: str
    execution_provider: str
    versions: _containers.ScalarMap[str, str]
    parameters: _struct_pb2.Struct
    profile: str
    steps: _containers.RepeatedScalarFieldContainer[str]
    forward_passes: float
    preprocessing: Preprocessing
    preprocessing_assumed: bool
    self_check: SelfCheck
    arithmetic: Arithmetic
    backward_passes: float
    head_passes: float
    forward_pass_reused: bool
    device: str
    execution: Execution
    def __init__(self, model_digest: _Optional[str] = ..., graph_digest: _Optional[str] = ..., execution_provider: _Optional[str] = ..., versions: _Optional[_Mapping[str, str]] = ..., parameters: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., profile: _Optional[str] = ..., steps: _Optional[_Iterable[str]] = ..., forward_passes: _Optional[float] = ..., preprocessing: _Optional[_Union[Preprocessing, _Mapping]] = ..., preprocessing_assumed: _Optional[bool] = ..., self_check: _Optional[_Union[SelfCheck, _Mapping]] = ..., arithmetic: _Optional[_Union[Arithmetic, _Mapping]] = ..., backward_passes: _Optional[float] = ..., head_passes: _Optional[float] = ..., forward_pass_reused: _Optional[bool] = ..., device: _Optional[str] = ..., execution: _Optional[_Union[Execution, _Mapping]] = ...) -> None: ...

class ExplainManyRequest(_message.Message):
    __slots__ = ("item", "request")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    item: str
    request: ExplainRequest
    def __init__(self, item: _Optional[str] = ..., request: _Optional[_Union[ExplainRequest, _Mapping]] = ...) -> None: ...

class ExplainManyResponse(_message.Message):
    __slots__ = ("item", "response", "status")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    item: str
    response: ExplainResponse
    status: Status
    def __init__(self, item: _Optional[str] = ..., response: _Optional[_Union[ExplainResponse, _Mapping]] = ..., status: _Optional[_Union[Status, _Mapping]] = ...) -> None: ...

class ListDevicesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListDevicesResponse(_message.Message):
    __slots__ = ("devices",)
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    def __init__(self, devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("name", "execution_provider", "ready", "note", "execution")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    execution_provider: str
    ready: bool
    note: str
    execution: Execution
    def __init__(self, name: _Optional[str] = ..., execution_provider: _Optional[str] = ..., ready: _Optional[bool] = ..., note: _Optional[str] = ..., execution: _Optional[_Union[Execution, _Mapping]] = ...) -> None: ...

class Execution(_message.Message):
    __slots__ = ("precision", "tf32", "deterministic", "convolution_search", "drift")
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    TF32_FIELD_NUMBER: _ClassVar[int]
    DETERMINISTIC_FIELD_NUMBER: _ClassVar[int]
    CONVOLUTION_SEARCH_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    precision: Precision
    tf32: bool
    deterministic: bool
    convolution_search: str
    drift: Drift
    def __init__(self, precision: _Optional[_Union[Precision, str]] = ..., tf32: _Optional[bool] = ..., deterministic: _Optional[bool] = ..., convolution_search: _Optional[str] = ..., drift: _Optional[_Union[Drift, _Mapping]] = ...) -> None: ...

class Drift(_message.Message):
    __slots__ = ("scores", "maps", "images")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    MAPS_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    scores: float
    maps: float
    images: int
    def __init__(self, scores: _Optional[float] = ..., maps: _Optional[float] = ..., images: _Optional[int] = ...) -> None: ...

class ListMethodsRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class ListMethodsResponse(_message.Message):
    __slots__ = ("methods", "presets", "measures", "profiles")
    METHODS_FIELD_NUMBER: _ClassVar[int]
    PRESETS_FIELD_NUMBER: _ClassVar[int]
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    methods: _containers.RepeatedCompositeFieldContainer[Method]
    presets: _containers.RepeatedCompositeFieldContainer[Preprocessing]
    measures: _containers.RepeatedCompositeFieldContainer[Measure]
    profiles: _containers.RepeatedCompositeFieldContainer[Profile]
    def __init__(self, methods: _Optional[_Iterable[_Union[Method, _Mapping]]] = ..., presets: _Optional[_Iterable[_Union[Preprocessing, _Mapping]]] = ..., measures: _Optional[_Iterable[_Union[Measure, _Mapping]]] = ..., profiles: _Optional[_Iterable[_Union[Profile, _Mapping]]] = ...) -> None: ...

class Profile(_message.Message):
    __slots__ = ("name", "summary", "layer", "explains", "steps", "deviations")
    class DeviationsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    EXPLAINS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    DEVIATIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    summary: str
    layer: str
    explains: str
    steps: _containers.RepeatedScalarFieldContainer[str]
    deviations: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., summary: _Optional[str] = ..., layer: _Optional[str] = ..., explains: _Optional[str] = ..., steps: _Optional[_Iterable[str]] = ..., deviations: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Measure(_message.Message):
    __slots__ = ("name", "summary", "documentation", "parameters", "better")
    class Better(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        BETTER_UNSPECIFIED: _ClassVar[Measure.Better]
        BETTER_HIGHER: _ClassVar[Measure.Better]
        BETTER_LOWER: _ClassVar[Measure.Better]
    BETTER_UNSPECIFIED: Measure.Better
    BETTER_HIGHER: Measure.Better
    BETTER_LOWER: Measure.Better
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTATION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    BETTER_FIELD_NUMBER: _ClassVar[int]
    name: str
    summary: str
    documentation: str
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    better: Measure.Better
    def __init__(self, name: _Optional[str] = ..., summary: _Optional[str] = ..., documentation: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., better: _Optional[_Union[Measure.Better, str]] = ...) -> None: ...

class Method(_message.Message):
    __slots__ = ("name", "summary", "documentation", "parameters", "needs_gradients", "support", "many_passes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTATION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    NEEDS_GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    SUPPORT_FIELD_NUMBER: _ClassVar[int]
    MANY_PASSES_FIELD_NUMBER: _ClassVar[int]
    name: str
    summary: str
    documentation: str
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    needs_gradients: bool
    support: MethodSupport
    many_passes: bool
    def __init__(self, name: _Optional[str] = ..., summary: _Optional[str] = ..., documentation: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., needs_gradients: _Optional[bool] = ..., support: _Optional[_Union[MethodSupport, _Mapping]] = ..., many_passes: _Optional[bool] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("name", "type", "default", "documentation")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTATION_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    default: _struct_pb2.Value
    documentation: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., default: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., documentation: _Optional[str] = ...) -> None: ...

class GetMetricsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetMetricsResponse(_message.Message):
    __slots__ = ("metrics",)
    METRICS_FIELD_NUMBER: _ClassVar[int]
    metrics: _containers.RepeatedCompositeFieldContainer[Metric]
    def __init__(self, metrics: _Optional[_Iterable[_Union[Metric, _Mapping]]] = ...) -> None: ...

class Metric(_message.Message):
    __slots__ = ("name", "help", "kind", "samples")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Metric.Kind]
        KIND_COUNTER: _ClassVar[Metric.Kind]
        KIND_GAUGE: _ClassVar[Metric.Kind]
        KIND_HISTOGRAM: _ClassVar[Metric.Kind]
    KIND_UNSPECIFIED: Metric.Kind
    KIND_COUNTER: Metric.Kind
    KIND_GAUGE: Metric.Kind
    KIND_HISTOGRAM: Metric.Kind
    NAME_FIELD_NUMBER: _ClassVar[int]
    HELP_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    name: str
    help: str
    kind: Metric.Kind
    samples: _containers.RepeatedCompositeFieldContainer[Sample]
    def __init__(self, name: _Optional[str] = ..., help: _Optional[str] = ..., kind: _Optional[_Union[Metric.Kind, str]] = ..., samples: _Optional[_Iterable[_Union[Sample, _Mapping]]] = ...) -> None: ...

class Sample(_message.Message):
    __slots__ = ("labels", "value", "buckets")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LABELS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.ScalarMap[str, str]
    value: float
    buckets: _containers.RepeatedCompositeFieldContainer[Bucket]
    def __init__(self, labels: _Optional[_Mapping[str, str]] = ..., value: _Optional[float] = ..., buckets: _Optional[_Iterable[_Union[Bucket, _Mapping]]] = ...) -> None: ...

class Bucket(_message.Message):
    __slots__ = ("bound", "count")
    BOUND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    bound: float
    count: int
    def __init__(self, bound: _Optional[float] = ..., count: _Optional[int] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("code", "message", "details")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    details: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., details: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...

class ErrorInfo(_message.Message):
    __slots__ = ("reason", "domain", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REASON_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    reason: str
    domain: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, reason: _Optional[str] = ..., domain: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RetryInfo(_message.Message):
    __slots__ = ("retry_delay",)
    RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
    retry_delay: _duration_pb2.Duration
    def __init__(self, retry_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
