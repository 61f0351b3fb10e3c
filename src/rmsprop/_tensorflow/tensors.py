"""TensorFlow's tensors in compiled code: the addresses of a kernel's inputs, and memory for its outputs.

Compiled code calls the C interface of `libtensorflow_framework`, whose functions `bind_library` makes known to LLVM by
name. A step has hundreds of tensors, and makes no Python object for any of them. Each tensor's type and shape are
compared with those that the kernel was made for, whatever the graph says.
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

#: The result of `read_inputs` if the number of inputs differs from that of the table.
OTHER_NUMBER = -2

#: The most axes of a wrong input that the error text lists.
AXES = 16

_jit = njit(error_model="numpy", nogil=True)


def bind_library(library: ctypes.CDLL) -> None:
    """Make TensorFlow's functions known to LLVM; AttributeError if one is missing."""
    for symbol in _SYMBOLS:
        address = ctypes.cast(getattr(library, symbol), ctypes.c_void_p).value
        binding.add_symbol(symbol, address)


@_jit
def _address(array):
    return numpy.int64(array.ctypes.data)


@_jit
def _describe(tensor, found):
    """Write a tensor's type, number of axes, and lengths into `found`."""
    found[0], found[1] = _tensor_type(tensor), _tensor_rank(tensor)
    for axis in range(min(found[1], AXES)):
        found[2 + axis] = _tensor_length(tensor, numpy.int32(axis))


@_jit
def _fits(tensor, dtype, shape, rank):
    """Whether a tensor has a type and a shape, in which -1 allows any length."""
    if _tensor_type(tensor) != dtype or _tensor_rank(tensor) != rank:
        return False
    for axis in range(rank):
        if shape[axis] >= 0 and _tensor_length(tensor, numpy.int32(axis)) != shape[axis]:
            return False
    return True


@cached
@_jit
def read_inputs(context, status, addresses, lengths, dtypes, shapes, ranks, found):
    """Write the addresses and lengths of a kernel's inputs; return the number of the first wrong input, or -1.

    Args:
        context: the TF_OpKernelContext, as an int.
        status: a TF_Status.
        addresses: int64, filled: the address of each input.
        lengths: int64, filled: the bytes of each input.
        dtypes: int32, TensorFlow's number of the type of each input.
        shapes: int64, a row for each input, padded; -1 allows any length.
        ranks: int32, the number of axes of each input.
        found: int64 of 2 + AXES entries, filled with type, number of axes and lengths of a wrong input.
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
    """Allocate a kernel's outputs; return the number of the first for which there is no memory, or -1.

    Args:
        context: the TF_OpKernelContext, as an int.
        status: a TF_Status.
        addresses: int64, filled: the address of each output.
        dtypes: int32, TensorFlow's number of the type of each output.
        shapes: int64, a row for each output, padded.
        ranks: int32, the number of axes of each output.
        sizes: int64, the bytes of each output.
    """
    if _count_outputs(context) != addresses.size:
        return 0
    for i in range(addresses.size):
        dims = _address(shapes) + 8 * shapes.shape[1] * i
        tensor = _allocate_output(context, numpy.int32(i), dtypes[i], dims, ranks[i], sizes[i], status)
        if tensor == 0:
            return i
        addresses[i] = _tensor_data(tensor)
        enough = _tensor_bytes(tensor) == sizes[i] and _tensor_type(tensor) == dtypes[i]
        _delete_tensor(tensor)  # the context holds the output itself
        if not enough:
            return i
    return -1
