"""TensorFlow's tensors in compiled code: where a kernel's inputs are, and memory for its outputs.

A kernel of TensorFlow gets at them through the C interface of `libtensorflow_framework`, whose functions `bind_library`
makes known to compiled code by name. There are hundreds of tensors in a step, and no Python object for any of them.

Nothing that a graph says of its tensors is believed: each is compared with what the kernel takes it for.
"""

import ctypes

import numpy
from llvmlite import binding
from numba import njit
from numba.core import types

from rmsprop._core.cpu.cache import cached

_int, _int32, _nothing = types.intp, types.int32, types.void

_get_input = types.ExternalFunction("TF_GetInput", _nothing(_int, _int32, _int, _int))
_allocate_output = types.ExternalFunction("TF_AllocateOutput", _int(_int, _int32, _int32, _int, _int32, _int, _int))
_count_inputs = types.ExternalFunction("TF_NumInputs", _int32(_int))
_count_outputs = types.ExternalFunction("TF_NumOutputs", _int32(_int))
_tensor_type = types.ExternalFunction("TF_TensorType", _int32(_int))
_tensor_rank = types.ExternalFunction("TF_NumDims", _int32(_int))
_tensor_length = types.ExternalFunction("TF_Dim", _int(_int, _int32))
_tensor_data = types.ExternalFunction("TF_TensorData", _int(_int))
_tensor_bytes = types.ExternalFunction("TF_TensorByteSize", _int(_int))
_delete_tensor = types.ExternalFunction("TF_DeleteTensor", _nothing(_int))

_SYMBOLS = (
    "TF_GetInput", "TF_AllocateOutput", "TF_NumInputs", "TF_NumOutputs", "TF_TensorType", "TF_NumDims", "TF_Dim",
    "TF_TensorData", "TF_TensorByteSize", "TF_DeleteTensor",
)  # fmt: skip

#: What `read_inputs` gives if there are not as many as the table has.
OTHER_NUMBER = -2

#: Axes of a wrong input that are written down for the error text.
AXES = 16

_jit = njit(error_model="numpy", nogil=True)


def bind_library(library: ctypes.CDLL) -> None:
    """Make TensorFlow's functions known to compiled code; AttributeError if one is missing."""
    for symbol in _SYMBOLS:
        address = ctypes.cast(getattr(library, symbol), ctypes.c_void_p).value
        binding.add_symbol(symbol, address)


@_jit
def _address(array):
    return numpy.int64(array.ctypes.data)


@_jit
def _describe(tensor, found):
    """Write down what a tensor is: type, number of axes, and their lengths."""
    found[0], found[1] = _tensor_type(tensor), _tensor_rank(tensor)
    for axis in range(min(found[1], AXES)):
        found[2 + axis] = _tensor_length(tensor, numpy.int32(axis))


@_jit
def _fits(tensor, dtype, shape, rank):
    """Whether a tensor is of a type and a shape; a length of -1 stands for any."""
    if _tensor_type(tensor) != dtype or _tensor_rank(tensor) != rank:
        return False
    for axis in range(rank):
        if shape[axis] >= 0 and _tensor_length(tensor, numpy.int32(axis)) != shape[axis]:
            return False
    return True


@cached
@_jit
def read_inputs(context, status, addresses, lengths, dtypes, shapes, ranks, found):
    """Write down where a kernel's inputs are and how many bytes they have; give the first that is wrong, or -1.

    Args:
        context: the TF_OpKernelContext, as an int.
        status: a TF_Status.
        addresses: int64 array, an entry an input, to be filled.
        lengths: likewise.
        dtypes: TensorFlow's numbers of the types that they must have, int32 array.
        shapes: the shapes, an int64 array with a row an input, padded; -1 stands for any length.
        ranks: how much of each row counts, int32 array.
        found: int64 array of 2 + AXES entries, to be filled with type, number of axes and lengths of a wrong one.
    """
    if _count_inputs(context) != addresses.size:
        found[0] = _count_inputs(context)
        return OTHER_NUMBER
    wrong = -1
    for i in range(addresses.size):
        _get_input(context, numpy.int32(i), _address(found), status)
        tensor = found[0]
        addresses[i] = _tensor_data(tensor)
        lengths[i] = _tensor_bytes(tensor)
        if not _fits(tensor, dtypes[i], shapes[i], ranks[i]):
            wrong = i
            _describe(tensor, found)
        # The context holds the input itself for as long as the kernel runs.
        _delete_tensor(tensor)
        if wrong >= 0:
            break
    return wrong


@cached
@_jit
def allocate_outputs(context, status, addresses, dtypes, shapes, ranks, sizes):
    """Let TensorFlow allocate a kernel's outputs; give the first for which there is no memory of its size, or -1.

    Args:
        context: the TF_OpKernelContext, as an int.
        status: a TF_Status.
        addresses: of the outputs' numbers, int64 array to be filled.
        dtypes: TensorFlow's numbers of the types, int32 array.
        shapes: int64 array with a row an output, padded.
        ranks: how much of each row counts, int32 array.
        sizes: bytes of each output, int64 array.
    """
    if _count_outputs(context) != addresses.size:
        return 0
    for i in range(addresses.size):
        dims = _address(shapes) + 8 * shapes.shape[1] * i
        tensor = _allocate_output(context, numpy.int32(i), dtypes[i], dims, ranks[i], sizes[i], status)
        if tensor == 0:
            return i
        addresses[i] = _tensor_data(tensor)
        # Which type it is of the graph has said.
        enough = _tensor_bytes(tensor) == sizes[i] and _tensor_type(tensor) == dtypes[i]
        _delete_tensor(tensor)  # of it, too, the context has another hold
        if not enough:
            return i
    return -1
