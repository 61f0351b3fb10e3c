"""One operation for TensorFlow's graphs whose kernel is a function of ours: addresses in, addresses out.

The operation and its CPU kernel are registered through TensorFlow's C interface (`tensorflow/c/ops.h`,
`tensorflow/c/kernels.h`). The operation has any inputs and any outputs. Its attribute, the number of a `Call`, says
which function computes the outputs. So a graph that holds the operation runs in this process only; it cannot be
exported or compiled by XLA.

The kernel never writes to its inputs, which others may hold. TensorFlow allocates the outputs.
"""

import atexit
import contextlib
import ctypes
import itertools
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any, Final, final

import numpy
import tensorflow as tf
from tensorflow.python.eager.context import async_wait
from tensorflow.python.framework import op_def_registry
from tensorflow.python.framework.kernels import get_registered_kernels_for_op

from rmsprop._core.arrays import address
from rmsprop._core.fallback import Refused
from rmsprop._core.modes import exact
from rmsprop._tensorflow import interface, tensors
from rmsprop._tensorflow.tables import Operand, Table, fits

_NAME: Final = "RmspropCall"

#: Computes the outputs of a call: reads at its `inputs`, of `lengths` bytes each, and writes at its `outputs`.
Work = Callable[["Call"], object]

#: Codes of TF_Status.
_CODES: Final[dict[type[BaseException], int]] = {ValueError: 3, TypeError: 3, MemoryError: 8}
_INTERNAL: Final = 13

_calls: "weakref.WeakValueDictionary[int, Call]" = weakref.WeakValueDictionary()
#: One object for each kernel that runs.
_running: set[object] = set()

#: Seconds for which the end of the interpreter waits for kernels.
LONGEST_WAIT: Final = 60

# TensorFlow ends the process if one name is registered twice.
_registering: Final = threading.Lock()

# Not from 1: a graph that another process exported must not find a call of this one.
_numbers = itertools.count(secrets.randbits(62))


@final
class Call:
    """The function of one operation.

    Args:
        inputs: type and shape of each input.
        results: type and shape of each output.
        work: computes the outputs.

    Attributes:
        inputs: addresses of the inputs, valid while `work` runs.
        lengths: bytes of the inputs.
        outputs: addresses of the outputs.
    """

    def __init__(self, inputs: Sequence[Operand], results: Sequence[Operand], work: Work) -> None:
        self._inputs, self._results, self._work = Table(inputs), Table(results), work
        self.inputs, self.lengths, self.outputs = self._inputs.addresses, self._inputs.lengths, self._results.addresses
        self._found = numpy.zeros(2 + tensors.AXES, numpy.int64)
        # The same graph may run on two threads at once.
        self._lock = threading.Lock()
        self._number = next(_numbers)
        _calls[self._number] = self

    def __call__(self, inputs: Sequence[Any]) -> Any:
        """Add the operation to the graph that is being traced, and return it; eagerly, compute its outputs at once."""
        if tf.executing_eagerly():
            return self._run_eagerly(inputs)
        value = tf.compat.v1.AttrValue
        types = {"Tin": [one.dtype for one in inputs], "Tout": [result.dtype for result in self._results.tensors]}
        attributes = {
            name: value(list=value.ListValue(type=[dtype.as_datatype_enum for dtype in dtypes]))
            for name, dtypes in types.items()
        }
        graph = tf.compat.v1.get_default_graph()
        operation = graph.create_op(
            _NAME, list(inputs), types["Tout"], attrs={"number": value(i=self._number), **attributes}, name="rmsprop"
        )
        for output, result in zip(operation.outputs, self._results.tensors, strict=True):
            output.set_shape(result.shape)
        self._stay_alive_with(graph)
        return operation

    def _run_eagerly(self, inputs: Sequence[Any]) -> Any:
        """Compute the outputs on this thread, and return an object that has them as `outputs`, as an operation has."""
        arrays = [numpy.asarray(one._numpy_internal()) for one in inputs]
        for place, (array, wanted) in enumerate(zip(arrays, self._inputs.tensors, strict=True)):
            if array.dtype != wanted.dtype.as_numpy_dtype or not fits(array.shape, wanted.shape):
                raise _invalid(self._inputs.error(place, array.dtype, array.shape))
            self.inputs[place], self.lengths[place] = address(array), array.nbytes
        outputs = [_empty(one) for one in self._results.tensors]
        self.outputs[:] = [address(one._numpy_internal()) for one in outputs]
        try:
            with exact():
                self._work(self)
        except ValueError as error:
            raise _invalid(error) from error
        pairs = zip(outputs, self._results.tensors, strict=True)
        return SimpleNamespace(outputs=[one if wanted.shape else tf.reshape(one, ()) for one, wanted in pairs])

    def _stay_alive_with(self, graph: Any) -> None:
        """Keep this call alive as long as the graph, or one that holds it, can run."""
        while hasattr(graph, "outer_graph"):
            self._attach_to(graph)
            graph = graph.outer_graph
        with tf.init_scope():
            # A session runs the outermost graph. Functions of eager code stand in a graph that is never dropped.
            if not tf.executing_eagerly():
                self._attach_to(graph)

    def _attach_to(self, graph: Any) -> None:
        if not hasattr(graph, "_rmsprop_calls"):
            graph._rmsprop_calls = []
        graph._rmsprop_calls.append(self)

    def run(self, context: int) -> None:
        """Compute the outputs from the inputs of a TF_OpKernelContext: the kernel."""
        with self._lock:
            self._read(context)
            self._allocate(context)
            with exact():  # TensorFlow's threads flush subnormal numbers, also scalars of a step
                self._work(self)

    def _read(self, context: int) -> None:
        table, found = self._inputs, self._found
        wrong = tensors.read_inputs(
            context, interface.status(), table.addresses, table.lengths, table.dtypes, table.shapes, table.ranks, found
        )
        if wrong == tensors.OTHER_NUMBER:
            raise ValueError(f"a step was traced with {table.ranks.size} tensors, and is run with {found[0]}")
        if wrong >= 0:
            raise table.error(wrong, int(found[0]), found[2 : 2 + found[1]].tolist())

    def _allocate(self, context: int) -> None:
        table = self._results
        wrong = tensors.allocate_outputs(
            context, interface.status(), table.addresses, table.dtypes, table.shapes, table.ranks, table.sizes
        )
        if wrong >= 0:
            raise MemoryError(f"there is no memory for {table.sizes.sum() / 1e6:.3g} MB of new values")


def _empty(result: Operand) -> Any:
    """Return a tensor of new memory; one axis in place of none, because NumPy would copy a tensor without axes."""
    return tf.raw_ops.Empty(shape=result.shape or (1,), dtype=result.dtype)


def _invalid(error: ValueError) -> Exception:
    """Return the error that TensorFlow raises in a graph."""
    found: Exception = tf.errors.InvalidArgumentError(None, None, str(error))
    return found


@interface.CREATE
def _create(construction: int) -> int:
    number = ctypes.c_int64()
    interface.functions()["TF_OpKernelConstruction_GetAttrInt64"](
        construction, b"number", ctypes.byref(number), interface.status()
    )
    return number.value


@interface.COMPUTE
def _compute(number: int, context: int) -> None:
    me = object()
    try:
        _running.add(me)
        call = _calls.get(number)
        if call is None:
            raise RuntimeError(
                "a graph holds an operation of an rmsprop optimizer that is not, or no longer, in this process: "
                "trace steps that are exported with native=False"
            )
        call.run(context)
    except BaseException as error:
        _fail(context, error)
    finally:
        _running.discard(me)


def _wait() -> None:
    """Wait for executors and for kernels that run: they return to the interpreter."""
    with contextlib.suppress(Exception):  # nobody is left to receive an error
        async_wait()
    begun, end = set(_running), time.monotonic() + LONGEST_WAIT
    while begun & set(_running) and time.monotonic() < end:
        time.sleep(0.001)


def _fail(context: int, error: BaseException) -> None:
    """Report an error, which TensorFlow raises where the graph is run."""
    functions = interface.functions()
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), _INTERNAL)
    text = str(error) if code != _INTERNAL else f"{type(error).__name__}: {error}"
    status = functions["TF_NewStatus"]()
    functions["TF_SetStatus"](status, code, text.encode())
    functions["TF_OpKernelContext_Failure"](context, status)
    functions["TF_DeleteStatus"](status)


def register() -> None:
    """Register operation and kernel with TensorFlow, each unless it is: an interrupt may have come in between.

    Raises:
        Refused: TensorFlow refuses the operation.
        OSError, AttributeError: the C interface, or one of its functions, is missing.
    """
    tensors.bind_library(interface.library())
    with _registering:
        if op_def_registry.get(_NAME) is None:
            _register_operation()
        if not get_registered_kernels_for_op(_NAME).kernel:
            _register_kernel()
        if op_def_registry.get(_NAME) is None or not get_registered_kernels_for_op(_NAME).kernel:
            raise Refused("TensorFlow does not find our operation")
        _wait_at_exit()


@cache
def _wait_at_exit() -> None:
    atexit.register(_wait)


def _register_operation() -> None:
    functions, status = interface.functions(), interface.status()
    definition = functions["TF_NewOpDefinitionBuilder"](_NAME.encode())
    for attribute in ("number: int", "Tin: list(type) >= 0", "Tout: list(type) >= 0"):
        functions["TF_OpDefinitionBuilderAddAttr"](definition, attribute.encode())
    functions["TF_OpDefinitionBuilderAddInput"](definition, b"inputs: Tin")
    functions["TF_OpDefinitionBuilderAddOutput"](definition, b"outputs: Tout")
    # A stateful operation is neither left out, nor shared by two uses, nor computed in advance.
    functions["TF_OpDefinitionBuilderSetIsStateful"](definition, True)
    functions["TF_RegisterOpDefinition"](definition, status)
    interface.check(status)


def _register_kernel() -> None:
    functions, status = interface.functions(), interface.status()
    kernel = functions["TF_NewKernelBuilder"](_NAME.encode(), b"CPU", _create, _compute, None)
    functions["TF_RegisterKernelBuilder"](_NAME.encode(), kernel, status)
    interface.check(status)
