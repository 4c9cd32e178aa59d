"""A tensor on a tape that behaves like a numpy array: the same formula runs on arrays and is appended to a graph.

(features * grads.mean((2, 3), keepdims=True)).sum(1)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from onnx import TensorProto, helper

from backlit_proto.errors import NotDifferentiable
from backlit_server.graph.recording.averaging import averaged
from backlit_server.graph.recording.contraction import contracted
from backlit_server.graph.recording.indexing import indexed
from backlit_server.graph.recording.kinds import Kind
from backlit_server.graph.recording.repetition import elementwise, reduced, taken_out
from backlit_server.graph.recording.spoken import UFUNCS, WIDTHS
from backlit_server.graph.recording.tape import Tape

Array = Any  # in rules and formulas: a Sym or a numpy array, the same lines serve both, which numpy's stubs cannot say
FLOATS = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE})
HALVES = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})


@dataclass(frozen=True, eq=False)
class Sym(NDArrayOperatorsMixin):
    """A tensor by name; what is done with it is recorded on its tape."""

    tape: Tape
    name: str

    @property
    def kind(self) -> Kind:
        if self.name not in self.tape.kinds:
            raise NotDifferentiable(f"the type of {self.name!r} is not known")
        return self.tape.kinds[self.name]

    @property
    def dtype(self) -> int:
        """The element type, as ONNX numbers it."""
        return self.kind.dtype

    @property
    def shape(self) -> tuple[int | str, ...]:
        """The dimensions: numbers where they are known, else names; equal names are equal dimensions."""
        if self.kind.shape is None:
            raise NotDifferentiable(f"the number of dimensions of {self.name!r} is not known")
        return self.kind.shape

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def value(self) -> np.ndarray | None:
        """The numbers, where they are the same in every run."""
        return self.tape.value(self.name)

    @property
    def constant(self) -> bool:
        """Whether it is the same in every run."""
        return self.tape.constant_here(self.name)

    @property
    def dims(self) -> "Sym":
        """The shape as a tensor of integers: a constant where it is known."""
        fixed = self.kind.fixed
        return self.op("Shape") if fixed is None else self.lift(list(fixed))

    def size_of(self, axes: int | Sequence[int]) -> "int | Sym":
        """How many elements lie along these axes: a number where it is known, else a scalar tensor of integers."""
        axes = [axes] if isinstance(axes, int) else list(axes)
        shape = self.kind.shape
        sizes = [None if shape is None else shape[axis] for axis in axes]
        known = [size for size in sizes if isinstance(size, int)]
        if len(known) == len(sizes):
            return int(np.prod(known))
        return self.dims.op("Gather", axes).prod()

    def op(self, op_type: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Any operator with this tensor as its first input: x.op("Conv", w, strides=[2, 2]).

        Plain numbers take this tensor's type, lists are 64 bit integers, None is an absent input. Returns one
        tensor, or a tuple where more than one output is asked for.
        """
        names = [self.name, *("" if value is None else self.lift(value).name for value in inputs)]
        while not names[-1]:
            names.pop()
        made = tuple(Sym(self.tape, name) for name in self.tape.emit(op_type, names, outputs, **attributes))
        return made if outputs > 1 else made[0]

    def lift(self, value: Any) -> "Sym":
        """A number, list or array as a tensor on this tape."""
        if isinstance(value, Sym):
            return value
        if isinstance(value, list):
            value = np.array(value, np.int64)
        elif not isinstance(value, np.ndarray | np.generic):
            value = np.array(value, helper.tensor_dtype_to_np_dtype(_scalar_type(value, self.dtype)))
        return Sym(self.tape, self.tape.constant(np.asarray(value)))

    def declared(self, shape: tuple[int | str, ...] | None) -> "Sym":
        """This tensor, whose shape is known to be this one although nothing in the graph says so."""
        if shape is not None:
            self.tape.kinds[self.name] = Kind(self.dtype, shape)
        return self

    def astype(self, dtype: Any) -> "Sym":
        to = dtype if isinstance(dtype, int) else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self if to == self.dtype else elementwise([self], lambda x: x.op("Cast", to=to))

    def reshape(self, *shape: Any) -> "Sym":
        """As numpy's; a tensor of integers is a shape too."""
        wanted = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        known = wanted.value if isinstance(wanted, Sym) else wanted
        if known is None:
            return self.op("Reshape", wanted, allowzero=1)
        target = [int(d) for d in known]
        return self.op("Reshape", target, allowzero=1 if 0 in target else None)

    def shaped_as(self, other: "Sym") -> "Sym":
        """The same elements in the shape of another tensor, which has as many."""
        shape = other.kind.shape
        if shape is None:
            return self.op("Reshape", other.dims, allowzero=1)
        if self.kind.shape == shape:
            return self
        unknown = [k for k, d in enumerate(shape) if not isinstance(d, int)]
        if len(unknown) > 1 or (unknown and 0 in shape):
            return self.op("Reshape", other.dims, allowzero=1).declared(shape)
        return self.reshape([d if isinstance(d, int) else -1 for d in shape]).declared(shape)

    def transpose(self, *axes: Any) -> "Sym":
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return self.op("Transpose", perm=list(order) if order else None)

    def swapaxes(self, a: int, b: int) -> "Sym":
        order = list(range(self.rank))
        order[a], order[b] = order[b], order[a]
        return self.transpose(order)

    def sum(self, axis: Any = None, keepdims: bool = False) -> "Sym":
        counted = self.astype(TensorProto.INT64) if self.dtype == TensorProto.BOOL else self
        product = None if keepdims else contracted(counted, _axes(axis))
        if keepdims and (factors := taken_out(counted, _axes(axis))):
            return factors[0]._reduce("ReduceSum", axis, keepdims) * factors[1]
        return counted._reduce("ReduceSum", axis, keepdims) if product is None else product

    def mean(self, axis: Any = None, keepdims: bool = False) -> "Sym":
        product = averaged(self, _axes(axis))
        if product is None:
            return self._reduce("ReduceMean", axis, keepdims)
        return product.op("Unsqueeze", _axes(axis)) if keepdims else product

    def max(self, axis: Any = None, keepdims: bool = False) -> "Sym":
        return self._reduce("ReduceMax", axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> "Sym":
        return self._reduce("ReduceMin", axis, keepdims)

    def prod(self, axis: Any = None, keepdims: bool = False) -> "Sym":
        return self._reduce("ReduceProd", axis, keepdims)

    def clip(self, min: Any = None, max: Any = None) -> "Sym":  # noqa: A002  (numpy's names)
        return elementwise([self], lambda x: x.op("Clip", min, max))

    def zeros(self) -> "Sym":
        """As many zeros, in the same shape and type."""
        return zeros(self.dims, self.dtype).declared(self.kind.shape)

    def _reduce(self, op_type: str, axis: Any, keepdims: bool) -> "Sym":
        axes = _axes(axis)
        named = {"keepdims": int(keepdims), "noop_with_empty_axes": int(axes is not None)}
        return reduced(self, op_type, axes, lambda x: x.op(op_type, axes, **named))

    def __getitem__(self, index: Any) -> "Sym":
        return indexed(self, index)

    def __bool__(self) -> bool:
        raise TypeError(f"{self.name!r} has no value while the graph is being built; use numpy.where")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **_: Any) -> Any:
        if ufunc is np.not_equal:
            return ~(np.equal(*inputs))
        if method != "__call__" or ufunc not in UFUNCS:
            return NotImplemented
        first, *rest = together(*inputs)
        values = [x.value if x.tape.small(x.name) else None for x in (first, *rest)]
        if any(value is None for value in values):
            return elementwise([first, *rest], lambda x, *others: x.op(UFUNCS[ufunc], *others))
        return first.lift(_computed(ufunc, values))

    def __array_function__(self, function: Any, _types: Any, inputs: Any, named: Any) -> Any:
        return FUNCTIONS[function](*inputs, **named) if function in FUNCTIONS else NotImplemented


def _axes(axis: Any) -> list[int] | None:
    return None if axis is None else [axis] if isinstance(axis, int) else list(axis)


def together(*values: Any) -> list[Sym]:
    """Tensors and numbers as tensors of one type: the widest among them."""
    tensors = [v for v in values if isinstance(v, Sym)]
    widest = max((t.dtype for t in tensors), key=WIDTHS.index)
    plain = [_scalar_type(v, widest) for v in values if not isinstance(v, Sym)]
    dtype = max([widest, *plain], key=WIDTHS.index)
    return [tensors[0].lift(v).astype(dtype) for v in values]


def where(condition: Sym, yes: Any, no: Any) -> Sym:
    """Elements of `yes` where the condition holds, of `no` elsewhere."""
    chosen = together(*(v for v in (yes, no) if isinstance(v, Sym)))
    dtype = chosen[0].dtype
    lifted = [chosen[0].lift(v).astype(dtype) for v in (yes, no)]
    return condition.op("Where", *lifted)


def zeros(dims: Sym, dtype: int) -> Sym:
    """Zeros of a shape that is a tensor."""
    return dims.op("ConstantOfShape", value=helper.make_tensor("zero", dtype, [1], [0]))


def concatenate(parts: Sequence[Any], axis: int = 0) -> Sym:
    first, *rest = together(*parts)
    return first.op("Concat", *rest, axis=axis)


FUNCTIONS: dict[Any, Callable[..., Sym]] = {np.where: where, np.concatenate: concatenate}


def _scalar_type(value: Any, beside: int) -> int:
    """The type of a plain number beside a tensor: the tensor's own, unless it could not hold the number."""
    if isinstance(value, np.ndarray | np.generic):
        return helper.np_dtype_to_tensor_dtype(value.dtype)
    if isinstance(value, float) and beside not in FLOATS:
        return TensorProto.FLOAT
    return TensorProto.INT64 if beside == TensorProto.BOOL and not isinstance(value, bool) else beside


def _computed(ufunc: Any, values: list[Any]) -> np.ndarray:
    with np.errstate(all="ignore"):
        result = np.asarray(ufunc(*values))
    return result if result.dtype == bool else result.astype(values[0].dtype)
