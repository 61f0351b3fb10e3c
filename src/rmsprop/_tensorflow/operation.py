"""One operation for TensorFlow's graphs whose kernel is compiled: addresses in, addresses out.

The operation and its CPU kernel are registered through TensorFlow's C interface (`tensorflow/c/ops.h`,
`tensorflow/c/kernels.h`). The operation has any inputs and any outputs. Its attribute, a number, says which step of
`rmsprop._tensorflow.steps` computes the outputs. So a graph that holds the operation runs in this process only; it
cannot be exported or compiled by XLA.

The kernel is `rmsprop._tensorflow.entry.compute`. It calls no Python, and never writes to its inputs, which others may
hold. TensorFlow allocates the outputs.
"""

import ctypes
import threading
import weakref
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Final, final

import numpy
import tensorflow as tf
from tensorflow.python.framework import op_def_registry
from tensorflow.python.framework.kernels import get_registered_kernels_for_op

from rmsprop._core.arrays import address
from rmsprop._core.fallback import Refused
from rmsprop._tensorflow import interface, steps
from rmsprop._tensorflow.operands import Operand
from rmsprop._tensorflow.tables import EAGER, INVALID_ARGUMENT, OK, TEXT_BYTES

_NAME: Final = "RmspropCall"

# TensorFlow ends the process if one name is registered twice.
_registering: Final = threading.Lock()


@final
class Call:
    """A step as an operation. The step lives as long as this does, and as kernels that TensorFlow has made of it.

    Args:
        inputs: type and shape of each input.
        results: type and shape of each output.
        step: address of the words of the step.
    """

    def __init__(self, inputs: Sequence[Operand], results: Sequence[Operand], step: int) -> None:
        self._inputs, self._results = list(inputs), list(results)
        self._record, self._number = steps.process().add(step)
        # Not at the end of the process, when threads of TensorFlow may still step.
        weakref.finalize(self, steps.call, "release", self._record).atexit = False

    def __call__(self, inputs: Sequence[Any]) -> Any:
        """Add the operation to the graph that is being traced, and return it; eagerly, compute its outputs at once."""
        if tf.executing_eagerly():
            return self._run_eagerly(inputs)
        value = tf.compat.v1.AttrValue
        types = {"Tin": [one.dtype for one in inputs], "Tout": [result.dtype for result in self._results]}
        attributes = {
            name: value(list=value.ListValue(type=[dtype.as_datatype_enum for dtype in dtypes]))
            for name, dtypes in types.items()
        }
        attributes[steps.ATTRIBUTE] = value(i=self._number)
        graph = tf.compat.v1.get_default_graph()
        operation = graph.create_op(_NAME, list(inputs), types["Tout"], attrs=attributes, name="rmsprop")
        for output, result in zip(operation.outputs, self._results, strict=True):
            output.set_shape(result.shape)
        self._stay_alive_with(graph)
        return operation

    def _run_eagerly(self, inputs: Sequence[Any]) -> Any:
        """Compute the outputs on this thread, and return an object that has them as `outputs`, as an operation has."""
        arrays = [numpy.asarray(one._numpy_internal()) for one in inputs]
        for array, wanted in zip(arrays, self._inputs, strict=True):
            if not wanted.fits(array.dtype, array.shape):
                raise tf.errors.InvalidArgumentError(None, None, wanted.error(array.dtype, array.shape))
        outputs = [_empty(one) for one in self._results]
        words = {
            "inputs": [address(array) for array in arrays],
            "lengths": [len(array) if array.ndim else 0 for array in arrays],
            "outputs": [address(one._numpy_internal()) for one in outputs],
        }
        tables = {name: numpy.array(row, numpy.int64) for name, row in words.items()}
        text = ctypes.create_string_buffer(TEXT_BYTES)
        places = {name: table.ctypes.data for name, table in tables.items()}
        places |= {"record": self._record, "text": ctypes.addressof(text)}
        request = numpy.array([places[name] for name in EAGER], numpy.int64)
        code = steps.call("compute_eagerly", request.ctypes.data)
        if code != OK:
            kind = tf.errors.InvalidArgumentError if code == INVALID_ARGUMENT else tf.errors.ResourceExhaustedError
            raise kind(None, None, text.value.decode(errors="replace"))
        pairs = zip(outputs, self._results, strict=True)
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


def _empty(result: Operand) -> Any:
    """Return a tensor of new memory; one axis in place of none, because NumPy would copy a tensor without axes."""
    return tf.raw_ops.Empty(shape=result.shape or (1,), dtype=result.dtype)


def register() -> None:
    """Register operation and kernel with TensorFlow, each unless it is: an interrupt may have come in between.

    Raises:
        Refused: TensorFlow refuses the operation.
        OSError, AttributeError: the C interface, or one of its functions, is missing.
    """
    steps.process()
    with _registering:
        if op_def_registry.get(_NAME) is None:
            _register_operation()
        if not get_registered_kernels_for_op(_NAME).kernel:
            _register_kernel()
        if op_def_registry.get(_NAME) is None or not get_registered_kernels_for_op(_NAME).kernel:
            raise Refused("TensorFlow does not find our operation")


def _register_operation() -> None:
    functions = interface.functions()
    status, definition = functions["TF_NewStatus"](), functions["TF_NewOpDefinitionBuilder"](_NAME.encode())
    for attribute in (f"{steps.ATTRIBUTE}: int", "Tin: list(type) >= 0", "Tout: list(type) >= 0"):
        functions["TF_OpDefinitionBuilderAddAttr"](definition, attribute.encode())
    functions["TF_OpDefinitionBuilderAddInput"](definition, b"inputs: Tin")
    functions["TF_OpDefinitionBuilderAddOutput"](definition, b"outputs: Tout")
    # A stateful operation is neither left out, nor shared by two uses, nor computed in advance.
    functions["TF_OpDefinitionBuilderSetIsStateful"](definition, True)
    functions["TF_RegisterOpDefinition"](definition, status)
    interface.check(status)


def _register_kernel() -> None:
    functions = interface.functions()
    status, addresses = functions["TF_NewStatus"](), [steps.address(name) for name in ("create", "compute", "release")]
    kernel = functions["TF_NewKernelBuilder"](_NAME.encode(), b"CPU", *addresses)
    functions["TF_RegisterKernelBuilder"](_NAME.encode(), kernel, status)
    interface.check(status)
