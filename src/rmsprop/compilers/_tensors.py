"""TensorFlow's tensors in compiled code: where a kernel's inputs are, and memory for its outputs.

A kernel of TensorFlow gets at them through the C interface of `libtensorflow_framework`, whose functions `bind_library`
makes known to compiled code by name. There are hundreds of tensors in a step, and no Python object for any of them.
"""

import ctypes

import numpy
from llvmlite import binding
from numba import njit
from numba.core import types

from rmsprop.compilers._cache import cached

_int, _int32, _nothing = types.intp, types.int32, types.void

_get_input = types.ExternalFunction("TF_GetInput", _nothing(_int, _int32, _int, _int))
_allocate_output = types.ExternalFunction("TF_AllocateOutput", _int(_int, _int32, _int32, _int, _int32, _int, _int))
_tensor_data = types.ExternalFunction("TF_TensorData", _int(_int))
_tensor_bytes = types.ExternalFunction("TF_TensorByteSize", _int(_int))
_delete_tensor = types.ExternalFunction("TF_DeleteTensor", _nothing(_int))

_SYMBOLS = ("TF_GetInput", "TF_AllocateOutput", "TF_TensorData", "TF_TensorByteSize", "TF_DeleteTensor")

_jit = njit(error_model="numpy", nogil=True)


def bind_library(library: ctypes.CDLL) -> None:
    """Make TensorFlow's functions known to compiled code; AttributeError if one is missing."""
    for symbol in _SYMBOLS:
        address = ctypes.cast(getattr(library, symbol), ctypes.c_void_p).value
        binding.add_symbol(symbol, address)


@_jit
def _address(array):
    return numpy.int64(array.ctypes.data)


@cached
@_jit
def read_inputs(context, status, addresses, sizes, expected, out):
    """Write down where a kernel's inputs are and how many bytes they have; give the first of a wrong size, or -1.

    Args:
        context: the TF_OpKernelContext, as an int.
        status: a TF_Status.
        addresses: int64 array, an entry an input, to be filled.
        sizes: likewise.
        expected: bytes that each must have, -1 for any, int64 array.
        out: int64 array of one entry, for the call's own use.
    """
    wrong = -1
    for i in range(addresses.size):
        _get_input(context, numpy.int32(i), _address(out), status)
        tensor = out[0]
        addresses[i] = _tensor_data(tensor)
        sizes[i] = _tensor_bytes(tensor)
        # The context holds the input itself for as long as the kernel runs.
        _delete_tensor(tensor)
        if wrong < 0 and expected[i] >= 0 and sizes[i] != expected[i]:
            wrong = i
    return wrong


@cached
@_jit
def allocate_outputs(context, status, addresses, dtypes, shapes, ranks, sizes):
    """Let TensorFlow allocate a kernel's outputs; False if there is no memory for them.

    Args:
        context: the TF_OpKernelContext, as an int.
        status: a TF_Status.
        addresses: of the outputs' numbers, int64 array to be filled.
        dtypes: TensorFlow's numbers of the types, int32 array.
        shapes: int64 array with a row an output, padded.
        ranks: how much of each row counts, int32 array.
        sizes: bytes of each output, int64 array.
    """
    for i in range(addresses.size):
        dims = _address(shapes) + 8 * shapes.shape[1] * i
        tensor = _allocate_output(context, numpy.int32(i), dtypes[i], dims, ranks[i], sizes[i], status)
        if tensor == 0:
            return False
        addresses[i] = _tensor_data(tensor)
        _delete_tensor(tensor)  # of it, too, the context has another hold
    return True
