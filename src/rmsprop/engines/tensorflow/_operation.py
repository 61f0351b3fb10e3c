"""One operation for TensorFlow's graphs whose kernel is a function of ours: addresses in, addresses out.

The operation is defined, and its kernel for the CPU registered, through TensorFlow's C interface for that purpose
(`tensorflow/c/ops.h`, `tensorflow/c/kernels.h`). It takes any tensors and gives any tensors. Which function computes
them is said by the number of a `Call`, its attribute. So a graph that holds it runs in this process only; it cannot be
exported or compiled by XLA.

The kernel never writes to its inputs, which others may hold. Its outputs are TensorFlow's to allocate, as for any
operation.
"""

import ctypes
import itertools
import secrets
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy
import tensorflow as tf
from numpy.typing import NDArray

from rmsprop.compilers import _tensors
from rmsprop.engines._modes import exact

_NAME: Final = "RmspropCall"

_Integers = NDArray[numpy.int64]

#: What a call does: it is told by its `inputs` and `lengths` where to read, by its `outputs` where to write.
Work = Callable[["Call"], None]

_pointer, _text = ctypes.c_void_p, ctypes.c_char_p
_CREATE = ctypes.CFUNCTYPE(_pointer, _pointer)
_COMPUTE = ctypes.CFUNCTYPE(None, _pointer, _pointer)

#: Codes of TF_Status.
_CODES: Final[dict[type[BaseException], int]] = {ValueError: 3, TypeError: 3, MemoryError: 8}
_INTERNAL: Final = 13

_calls: "weakref.WeakValueDictionary[int, Call]" = weakref.WeakValueDictionary()
# Not from 1: a graph that another process exported must not find a call of this one.
_numbers = itertools.count(secrets.randbits(62))


class Result(NamedTuple):
    """Type and shape of an output."""

    dtype: Any
    shape: tuple[int, ...]


class Call:
    """What one such operation computes.

    Args:
        inputs: the bytes of each of its inputs, -1 if there may be any number, and what it is, for error texts.
        results: its outputs.
        work: computes them.

    Attributes:
        inputs: where the inputs are, while it works.
        lengths: their bytes.
        outputs: where the outputs are to be.
    """

    def __init__(self, inputs: Sequence[tuple[int, str]], results: Sequence[Result], work: Work) -> None:
        self._results, self._work = results, work
        sizes = [prod(result.shape) * result.dtype.size for result in results]
        self._sizes = numpy.array(sizes, numpy.int64)
        self._dtypes = numpy.array([result.dtype.as_datatype_enum for result in results], numpy.int32)
        self._ranks = numpy.array([len(result.shape) for result in results], numpy.int32)
        self._shapes = numpy.zeros((len(results), max([1, *self._ranks])), numpy.int64)
        for row, result in zip(self._shapes, results, strict=True):
            row[: len(result.shape)] = result.shape
        self._expected = numpy.array([size for size, _ in inputs], numpy.int64)
        self._names = [name for _, name in inputs]
        self.inputs = numpy.zeros(len(inputs), numpy.int64)
        self.lengths = numpy.zeros(len(inputs), numpy.int64)
        self.outputs = numpy.zeros(len(results), numpy.int64)
        self._out = numpy.zeros(1, numpy.int64)
        # The same graph may run on two threads at once.
        self._lock = threading.Lock()
        self._number = next(_numbers)
        _calls[self._number] = self

    def __call__(self, inputs: Sequence[Any]) -> Any:
        """Add the operation to the graph that is being traced, and give it."""
        register()
        value = tf.compat.v1.AttrValue
        types = {"Tin": [one.dtype for one in inputs], "Tout": [result.dtype for result in self._results]}
        attributes = {
            name: value(list=value.ListValue(type=[dtype.as_datatype_enum for dtype in dtypes]))
            for name, dtypes in types.items()
        }
        graph = tf.compat.v1.get_default_graph()
        operation = graph.create_op(
            _NAME, list(inputs), types["Tout"], attrs={"number": value(i=self._number), **attributes}, name="rmsprop"
        )
        for output, result in zip(operation.outputs, self._results, strict=True):
            output.set_shape(result.shape)
        self._live_with(graph)
        return operation

    def _live_with(self, graph: Any) -> None:
        """Be there as long as the graph, or one that it is a part of, can run."""
        while hasattr(graph, "outer_graph"):
            if not hasattr(graph, "_rmsprop_calls"):
                graph._rmsprop_calls = []
            graph._rmsprop_calls.append(self)
            graph = graph.outer_graph

    def run(self, context: int) -> None:
        """Compute the outputs from the inputs: the kernel."""
        with self._lock:
            status = _status()
            wrong = _tensors.read_inputs(context, status, self.inputs, self.lengths, self._expected, self._out)
            if wrong >= 0:
                raise ValueError(
                    f"{self._names[wrong]} has {self.lengths[wrong]} bytes, not {self._expected[wrong]}: "
                    "it is of another shape than its variable was while this was traced"
                )
            outputs = self.outputs, self._dtypes, self._shapes, self._ranks, self._sizes
            if not _tensors.allocate_outputs(context, status, *outputs):
                raise MemoryError(f"there is no memory for {self._sizes.sum() / 1e6:.3g} MB of new values")
            with exact():  # TensorFlow's threads flush subnormal numbers, also those that a kernel is told
                self._work(self)


@_CREATE
def _create(construction: int) -> int:
    number = ctypes.c_int64()
    _functions()["TF_OpKernelConstruction_GetAttrInt64"](construction, b"number", ctypes.byref(number), _status())
    return number.value


@_COMPUTE
def _compute(number: int, context: int) -> None:
    try:
        call = _calls.get(number)
        if call is None:
            raise RuntimeError(
                "a graph holds an operation of an rmsprop optimizer that is not, or no longer, in this process: "
                "trace steps that are exported with native=False"
            )
        call.run(context)
    except BaseException as error:
        _fail(context, error)


def _fail(context: int, error: BaseException) -> None:
    """Let TensorFlow raise an error of its own where the graph is run."""
    functions = _functions()
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), _INTERNAL)
    text = str(error) if code != _INTERNAL else f"{type(error).__name__}: {error}"
    status = functions["TF_NewStatus"]()
    functions["TF_SetStatus"](status, code, text.encode())
    functions["TF_OpKernelContext_Failure"](context, status)
    functions["TF_DeleteStatus"](status)


@cache
def problem() -> str | None:
    """Say why the operation cannot be had here; None if it can."""
    try:
        _functions()
        _tensors.bind_library(_library())
    except (OSError, AttributeError) as error:
        return f"TensorFlow's C interface for kernels is not to be found: {error}"
    return None


@cache
def register() -> None:
    """Make the operation known to TensorFlow."""
    functions, status = _functions(), _status()
    definition = functions["TF_NewOpDefinitionBuilder"](_NAME.encode())
    for attribute in ("number: int", "Tin: list(type) >= 0", "Tout: list(type) >= 0"):
        functions["TF_OpDefinitionBuilderAddAttr"](definition, attribute.encode())
    functions["TF_OpDefinitionBuilderAddInput"](definition, b"inputs: Tin")
    functions["TF_OpDefinitionBuilderAddOutput"](definition, b"outputs: Tout")
    # Otherwise a graph might leave it out, do it once for two, or compute it in advance.
    functions["TF_OpDefinitionBuilderSetIsStateful"](definition, True)
    functions["TF_RegisterOpDefinition"](definition, status)
    _check(status)
    kernel = functions["TF_NewKernelBuilder"](_NAME.encode(), b"CPU", _create, _compute, None)
    functions["TF_RegisterKernelBuilder"](_NAME.encode(), kernel, status)
    _check(status)


def _check(status: int) -> None:
    functions = _functions()
    if functions["TF_GetCode"](status):
        raise RuntimeError(f"TensorFlow does not take our operation: {functions['TF_Message'](status).decode()}")


_per_thread = threading.local()


def _status() -> int:
    """Give this thread's TF_Status."""
    if not hasattr(_per_thread, "status"):
        _per_thread.status = _functions()["TF_NewStatus"]()
        # A thread of TensorFlow's that is new to Python becomes known, and forgotten, at every call, which takes longer
        # than what a small call does. One more entry, that is never left, keeps it known.
        ctypes.pythonapi.PyGILState_Ensure()
    status: int = _per_thread.status
    return status


@cache
def _library() -> ctypes.CDLL:
    folder = Path(tf.sysconfig.get_lib())
    found = sorted(folder.glob("libtensorflow_framework*"))
    if not found:
        raise OSError(f"there is no libtensorflow_framework in {folder}")
    return ctypes.CDLL(str(found[0]))


@cache
def _functions() -> dict[str, Any]:
    signatures: dict[str, tuple[Any, ...]] = {
        "TF_NewStatus": (_pointer,),
        "TF_DeleteStatus": (None, _pointer),
        "TF_SetStatus": (None, _pointer, ctypes.c_int, _text),
        "TF_GetCode": (ctypes.c_int, _pointer),
        "TF_Message": (_text, _pointer),
        "TF_NewOpDefinitionBuilder": (_pointer, _text),
        "TF_OpDefinitionBuilderAddAttr": (None, _pointer, _text),
        "TF_OpDefinitionBuilderAddInput": (None, _pointer, _text),
        "TF_OpDefinitionBuilderAddOutput": (None, _pointer, _text),
        "TF_OpDefinitionBuilderSetIsStateful": (None, _pointer, ctypes.c_bool),
        "TF_RegisterOpDefinition": (None, _pointer, _pointer),
        "TF_NewKernelBuilder": (_pointer, _text, _text, _CREATE, _COMPUTE, _pointer),
        "TF_RegisterKernelBuilder": (None, _text, _pointer, _pointer),
        "TF_OpKernelConstruction_GetAttrInt64": (None, _pointer, _text, ctypes.POINTER(ctypes.c_int64), _pointer),
        "TF_OpKernelContext_Failure": (None, _pointer, _pointer),
    }
    found = {}
    for name, (result, *arguments) in signatures.items():
        found[name] = getattr(_library(), name)
        found[name].restype, found[name].argtypes = result, arguments
    return found
