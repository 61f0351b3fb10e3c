"""TensorFlow's tensors in compiled code: a kernel's inputs, its outputs, and blocks of memory for these.

A kernel of TensorFlow gets its inputs and gives its outputs through the C interface of `libtensorflow_framework`, whose
functions `bind_library` makes known by name. Outputs lie in blocks of ours, which TensorFlow then owns: it calls the
function at `release_address` when nobody holds a tensor any more, on any thread, without the interpreter's lock.

Blocks come from the C library's heap, and small tensors' blocks go back there. A call's large tensors share one block,
for which the system would have to map and clear new pages every time: when the last of them is gone, it goes onto one
of its pool's stacks, for the next call. So the blocks that a step's old values leave are where its new values go.
When a pool keeps as much as it may - because somebody holds old values - large tensors get blocks of their own too,
which are not kept. A pool that is given up closes its stacks; what is released later goes back to the heap.

A block begins with a head of 64 bytes: the address of its stack, 0 for none; of its pool's table; of the next block on
the stack; and the number of tensors in it that are held.
"""

import ctypes
from typing import Any, Final

import numpy
from llvmlite import binding, ir
from numba import njit
from numba.core import ccallback, sigutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from rmsprop.compilers._cache import cached

#: Where tensors begin: TensorFlow copies what is less aligned. A block's head takes as many bytes.
ALIGNMENT: Final = 64

#: Bytes from which a tensor is large; below, the heap has pages at hand.
LARGE: Final = 64 * 1024

#: Bytes from which a block asks for huge pages, as NumPy's arrays do. Where there are none, nothing happens.
HUGE: Final = 4 << 20
_PAGE, _MADV_HUGEPAGE = 4096, numpy.int32(14)

#: A pool's int64 table: tensors that are held, bytes that were made, bytes that may be kept, then the stacks.
HELD, MADE, KEPT, STACKS = range(4)

#: Stacks an octave of sizes: a block is at most an eighth larger than what it is needed for.
_STEPS = 8

#: A stack that takes no block any more.
_CLOSED = 1

_int, _int32, _nothing = types.intp, types.int32, types.void

_get_input = types.ExternalFunction("TF_GetInput", _nothing(_int, _int32, _int, _int))
_tensor_data = types.ExternalFunction("TF_TensorData", _int(_int))
_tensor_bytes = types.ExternalFunction("TF_TensorByteSize", _int(_int))
_new_tensor = types.ExternalFunction("TF_NewTensor", _int(_int32, _int, _int32, _int, _int, _int, _int))
_set_output = types.ExternalFunction("TF_SetOutput", _nothing(_int, _int32, _int, _int))
_delete_tensor = types.ExternalFunction("TF_DeleteTensor", _nothing(_int))
_allocate = types.ExternalFunction("posix_memalign", _int32(_int, _int, _int))
_free = types.ExternalFunction("free", _nothing(_int))
_advise = types.ExternalFunction("madvise", _int32(_int, _int, _int32))

_SYMBOLS = ("TF_GetInput", "TF_TensorData", "TF_TensorByteSize", "TF_NewTensor", "TF_SetOutput", "TF_DeleteTensor")

_jit = njit(error_model="numpy", nogil=True)


def bind_library(library: ctypes.CDLL) -> None:
    """Make TensorFlow's functions known to compiled code; AttributeError if one is missing."""
    for symbol in _SYMBOLS:
        address = ctypes.cast(getattr(library, symbol), ctypes.c_void_p).value
        binding.add_symbol(symbol, address)


def stack_of(size: int) -> tuple[int, int]:
    """Give the place in a pool's table of the stack for blocks of so many bytes, and the bytes that those have."""
    octave = max(size - 1, 1).bit_length() - 1
    step = -(-(size - (1 << octave)) * _STEPS >> octave)
    return STACKS + octave * _STEPS + step, (1 << octave) + (step << octave) // _STEPS


def new_table() -> NDArray[numpy.int64]:
    """Make the table of a pool."""
    return numpy.zeros(STACKS + 64 * _STEPS, numpy.int64)


# Words of memory that several threads write to.


@_jit
def _address(array):
    return numpy.int64(array.ctypes.data)


def _word(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, ir.IntType(64).as_pointer())


@intrinsic
def _load(typing_context: Any, address: Any) -> Any:
    """Read a word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_word(builder, arguments[0]), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def _store(typing_context: Any, address: Any, value: Any) -> Any:
    """Write a word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[1], _word(builder, arguments[0]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def _add(typing_context: Any, address: Any, value: Any) -> Any:
    """Add to a word and give what it was."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", _word(builder, arguments[0]), arguments[1], "acq_rel")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _replace(typing_context: Any, address: Any, expected: Any, value: Any) -> Any:
    """Write a word if it is what is expected, and tell whether it was."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, expected, value = arguments
        pair = builder.cmpxchg(_word(builder, word), expected, value, "acq_rel", "acquire")
        return builder.extract_value(pair, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


# Blocks ---------------------------------------------------------------------------------------------------------------


@_jit
def _new_block(size, home, table, out):
    """Make a block; 0 if there is no memory."""
    if _allocate(_address(out), ALIGNMENT, ALIGNMENT + size) != 0:
        return 0
    block = _load(_address(out))
    if size >= HUGE:
        first = (block + _PAGE - 1) // _PAGE * _PAGE
        _advise(first, (block + size) // _PAGE * _PAGE - first, _MADV_HUGEPAGE)
    _store(block, home)
    _store(block + 8, table)
    return block


@_jit
def _take(table, stack, size, out):
    """Get a block from a pool; 0 if it has none and may make none. One thread takes from a pool at a time."""
    home = _address(table) + 8 * stack
    head = _load(home)
    # Only takers remove blocks, one at a time: while a block is on the stack, its successor stays what it is.
    while head != 0 and not _replace(home, head, _load(head + 16)):
        head = _load(home)
    if head != 0 or table[MADE] + size > table[KEPT]:
        return head
    head = _new_block(size, home, _address(table), out)
    if head != 0:
        table[MADE] += size
    return head


@_jit
def _let_go(block):
    """Count a tensor of a block as gone, and take the block back if it was the last one."""
    home, table = _load(block), _load(block + 8)
    if _add(block + 24, -1) == 1:
        if home == 0:
            _free(block)
        else:
            head = _load(home)
            while head != _CLOSED:
                _store(block + 16, head)
                if _replace(home, head, block):
                    break
                head = _load(home)
            if head == _CLOSED:
                _free(block)
    # Last: when none is held, the table may be given up.
    _add(table, -1)


@cached
@_jit
def close(table):
    """Give free blocks back to the heap, and all others when they are released."""
    for stack in range(STACKS, table.size):
        home = _address(table) + 8 * stack
        head = _load(home)
        while not _replace(home, head, _CLOSED):
            head = _load(home)
        while head != 0:
            following = _load(head + 16)
            _free(head)
            head = following


@cached
@_jit
def discard(blocks):
    """Let go of what became no tensors."""
    for block in blocks:
        _let_go(block)


@cached
@_jit
def take_blocks(table, stack, size, offsets, sizes, addresses, blocks, out):
    """Find memory for a call's outputs; False if there is none, and then none is taken.

    Args:
        table: the pool's.
        stack: the stack for the block of the large outputs.
        size: the bytes of that block.
        offsets: where each large output lies in that block, -1 for the small ones, int64 array.
        sizes: bytes of each output, int64 array.
        addresses: of the outputs' data, int64 array to be filled.
        blocks: where they lie in, likewise.
        out: int64 array of one entry, for the call's own use.
    """
    shared = 0
    for i in range(offsets.size):
        if offsets[i] == 0:
            shared = _take(table, stack, size, out)
    if shared != 0:
        # Those that are not counted yet keep it from going back.
        _store(shared + 24, (offsets >= 0).sum())
    for i in range(blocks.size):
        if shared != 0 and offsets[i] >= 0:
            blocks[i] = shared
            addresses[i] = shared + ALIGNMENT + offsets[i]
        else:
            block = _new_block(sizes[i], 0, _address(table), out)
            if block == 0:
                for j in range(blocks.size):
                    if j < i or (shared != 0 and offsets[j] >= 0):
                        _add(_address(table), 1)
                        _let_go(blocks[j] if j < i else shared)
                return False
            _store(block + 24, 1)
            blocks[i] = block
            addresses[i] = block + ALIGNMENT
    _add(_address(table), blocks.size)
    return True


# Tensors --------------------------------------------------------------------------------------------------------------


@cached
@_jit
def read_inputs(context, status, addresses, sizes, out):
    """Write down where a kernel's inputs are and how many bytes they have.

    Args:
        context: the TF_OpKernelContext, as an int.
        status: a TF_Status.
        addresses: int64 array, an entry an input, to be filled.
        sizes: likewise.
        out: int64 array of one entry, for the call's own use.
    """
    for i in range(addresses.size):
        _get_input(context, numpy.int32(i), _address(out), status)
        tensor = _load(_address(out))
        addresses[i] = _tensor_data(tensor)
        sizes[i] = _tensor_bytes(tensor)
        # The context holds the input itself for as long as the kernel runs.
        _delete_tensor(tensor)


@cached
@_jit
def give_outputs(context, status, addresses, blocks, dtypes, shapes, ranks, sizes, release):
    """Make the filled memory the kernel's outputs; from then on TensorFlow owns them.

    Args:
        context: the TF_OpKernelContext, as an int.
        status: a TF_Status.
        addresses: of the data, int64 array.
        blocks: where they lie in, int64 array.
        dtypes: TensorFlow's numbers of the types, int32 array.
        shapes: int64 array with a row an output, padded.
        ranks: how much of each row counts, int32 array.
        sizes: bytes of data, int64 array.
        release: address of the function that lets go of an output.
    """
    for i in range(blocks.size):
        dims = _address(shapes) + 8 * shapes.shape[1] * i
        tensor = _new_tensor(dtypes[i], dims, ranks[i], addresses[i], sizes[i], release, blocks[i])
        _set_output(context, numpy.int32(i), tensor, status)
        _delete_tensor(tensor)


def _release(data, size, block):
    _let_go(block)


def release_address() -> int:
    """Give the address of the function by which TensorFlow lets go of a tensor: ``void (data, size, block)``."""
    arguments, result = sigutils.normalize_signature(types.void(_int, _int, _int))
    function = cached(ccallback.CFunc(_release, (arguments, result), {}, {"nopython": True}))
    function.compile()
    # TensorFlow frees tensors until the process has ended, after Python is gone: the code must stay.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(function))
    return int(function.address)
