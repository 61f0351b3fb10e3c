"""What TensorFlow calls for a step, compiled: it finds the step, reads inputs, allocates outputs, and does the work.

The operation's attribute is the number of a record, which `rmsprop._tensorflow.steps` has filled. TensorFlow's C
functions are called by their addresses, which stand in a table of this process. The types and shapes of all inputs are
compared with those of the step before a number is written, whatever the graph says.
"""

from rmsprop._core.cpu.c_interface import append, own_word, room
from rmsprop._core.cpu.coalesce import REQUEST_BYTES
from rmsprop._core.cpu.copies import TEMPLATE, borrow, execute, give_back
from rmsprop._core.cpu.modes import compute_exactly, restore
from rmsprop._core.cpu.target import jit, part
from rmsprop._core.cpu.words import (
    add_shared,
    as_int,
    call,
    call_with_seven,
    call_with_three,
    invoke,
    read,
    read_shared,
    replace_shared,
    write,
)
from rmsprop._core.tables import columns
from rmsprop._tensorflow.tables import (
    EAGER,
    FUNCTIONS,
    INTERNAL,
    INVALID_ARGUMENT,
    OK,
    OPERAND,
    PROCESS,
    RECORD,
    RESOURCE_EXHAUSTED,
    STEP,
    TEXT_BYTES,
)

(
    _NEW_STATUS, _DELETE_STATUS, _SET_STATUS, _FAILURE, _GET_NUMBER, _NUM_INPUTS, _NUM_OUTPUTS, _GET_INPUT, _ALLOCATE,
    _TENSOR_TYPE, _NUM_AXES, _LENGTH, _DATA, _BYTES, _DELETE_TENSOR,
) = columns(PROCESS, *FUNCTIONS)  # fmt: skip
_SNPRINTF, _FREE, _TYPES, _TYPE_COUNT, _ATTRIBUTE, _FIRST, _MADE, _RECORDS, _UNKNOWN = columns(
    PROCESS, "snprintf", "free", "types", "type_count", "attribute", "first", "made", "records", "unknown"
)
_TEXT, _NUMBER, _NEXT_NUMBER, _NO_TENSOR, _TRACED_FOR, _TRACED_WITH, _IS_OF_TYPE, _BUT_WANTED, _UNKNOWN_STEP = columns(
    PROCESS,
    "text",
    "number",
    "next_number",
    "no_tensor",
    "traced_for",
    "traced_with",
    "is_of_type",
    "but_wanted",
    "unknown_step",
)
_PROCESS, _USERS, _STEP = range(len(RECORD))
_INPUTS, _INPUT_COUNT, _OUTPUTS, _OUTPUT_COUNT, _WORK, _BEHIND, _NO_OUTPUTS, _NO_TABLES = columns(
    STEP, "inputs", "input_count", "outputs", "output_count", "work", "behind", "no_outputs", "no_tables"
)
_DTYPE, _AXES, _SHAPE, _NBYTES, _TO, _LENGTH_TO, _IS_NUMBER, _NAME, _WANTED = range(len(OPERAND))
_EAGER_RECORD, _EAGER_INPUTS, _EAGER_LENGTHS, _EAGER_OUTPUTS, _EAGER_TEXT = range(len(EAGER))
_IDLE = TEMPLATE.index("idle")
_OPERAND_BYTES = 8 * len(OPERAND)

#: Axes of a wrong input that an error text lists at most.
_MOST_AXES = 32


@jit
def _fail(process, context, code, text):
    status = invoke(process, _NEW_STATUS, 0, 0, 0)
    invoke(process, _SET_STATUS, status, code, text)
    invoke(process, _FAILURE, context, status, 0)
    invoke(process, _DELETE_STATUS, status, 0, 0)


@part
def _fits(process, tensor, operand):
    """Whether a tensor is of the type and the shape of an operand."""
    axis, shape = read(operand, _AXES), read(operand, _SHAPE)
    if as_int(invoke(process, _TENSOR_TYPE, tensor, 0, 0)) != read(operand, _DTYPE):
        return False
    if as_int(invoke(process, _NUM_AXES, tensor, 0, 0)) != axis:
        return False
    while axis > 0:
        axis -= 1
        length = read(shape, axis)
        if length >= 0 and invoke(process, _LENGTH, tensor, axis, 0) != length:
            return False
    return True


@jit
def _describe(process, tensor, operand, text):
    """Write the error text for an input of another type or shape."""
    dtype, axes = as_int(invoke(process, _TENSOR_TYPE, tensor, 0, 0)), as_int(invoke(process, _NUM_AXES, tensor, 0, 0))
    if dtype < 0 or dtype >= read(process, _TYPE_COUNT):
        dtype = 0
    function, end = read(process, _SNPRINTF), text + TEXT_BYTES
    to = append(function, text, end, read(process, _TEXT), read(operand, _NAME))
    to = append(function, to, end, read(process, _IS_OF_TYPE), read(read(process, _TYPES), dtype))
    axis = 0
    while axis < axes and axis < _MOST_AXES:
        length = invoke(process, _LENGTH, tensor, axis, 0)
        to = append(function, to, end, read(process, _NEXT_NUMBER if axis > 0 else _NUMBER), length)
        axis += 1
    append(function, to, end, read(process, _BUT_WANTED), read(operand, _WANTED))


@jit
def _place_input(operand, head, address, length):
    """Write where an input is into a copy."""
    to, length_to = read(operand, _TO), read(operand, _LENGTH_TO)
    if to != 0:
        write(head + to, 0, read(address, 0) if read(operand, _IS_NUMBER) else address)
    if length_to != 0:
        write(head + length_to, 0, length)


@jit
def _read_inputs(process, context, step, head, status, text):
    count, number, code = read(step, _INPUT_COUNT), 0, OK
    found = as_int(invoke(process, _NUM_INPUTS, context, 0, 0))
    if found != count:
        function, end = read(process, _SNPRINTF), text + TEXT_BYTES
        to = append(function, text, end, read(process, _TRACED_WITH), count)
        append(function, to, end, read(process, _NUMBER), found)
        return INVALID_ARGUMENT
    operand, answer = read(step, _INPUTS), room()
    while number < count and code == OK:
        write(answer, 0, 0)
        call_with_seven(read(process, _GET_INPUT), context, number, answer, status, 0, 0, 0)
        tensor = read(answer, 0)
        if tensor == 0:
            append(read(process, _SNPRINTF), text, text + TEXT_BYTES, read(process, _NO_TENSOR), read(operand, _NAME))
            return INTERNAL
        if _fits(process, tensor, operand):
            length = invoke(process, _LENGTH, tensor, 0, 0) if read(operand, _LENGTH_TO) != 0 else 0
            _place_input(operand, head, invoke(process, _DATA, tensor, 0, 0), length)
        else:
            _describe(process, tensor, operand, text)
            code = INVALID_ARGUMENT
        # The context holds the input itself for as long as the kernel runs.
        invoke(process, _DELETE_TENSOR, tensor, 0, 0)
        operand += _OPERAND_BYTES
        number += 1
    return code


@jit
def _allocate_outputs(process, context, step, head, status, text):
    count, number, operand, enough = read(step, _OUTPUT_COUNT), 0, read(step, _OUTPUTS), True
    found = as_int(invoke(process, _NUM_OUTPUTS, context, 0, 0))
    if found != count:
        function, end = read(process, _SNPRINTF), text + TEXT_BYTES
        to = append(function, text, end, read(process, _TRACED_FOR), count)
        append(function, to, end, read(process, _NUMBER), found)
        return INVALID_ARGUMENT
    while number < count and enough:
        dtype, nbytes = read(operand, _DTYPE), read(operand, _NBYTES)
        tensor = call_with_seven(
            read(process, _ALLOCATE),
            context,
            number,
            dtype,
            read(operand, _SHAPE),
            read(operand, _AXES),
            nbytes,
            status,
        )
        enough = tensor != 0
        if enough:
            write(head + read(operand, _TO), 0, invoke(process, _DATA, tensor, 0, 0))
            enough = (
                invoke(process, _BYTES, tensor, 0, 0) == nbytes
                and as_int(invoke(process, _TENSOR_TYPE, tensor, 0, 0)) == dtype
            )
            invoke(process, _DELETE_TENSOR, tensor, 0, 0)  # the context holds the output itself
        operand += _OPERAND_BYTES
        number += 1
    if enough:
        return OK
    append(read(process, _SNPRINTF), text, text + TEXT_BYTES, read(process, _TEXT), read(step, _NO_OUTPUTS))
    return RESOURCE_EXHAUSTED


@part
def _work(process, step, head):
    work = read(step, _WORK)
    if work == 0:
        execute(step, head)
        return OK
    return call_with_three(work, process, step, head)


def compute(record, context):
    """Do the step of a record with the inputs and outputs of a TF_OpKernelContext: TensorFlow's kernel."""
    process, step = read(record, _PROCESS), read(record, _STEP)
    head = borrow(step) if step != 0 else 0
    if head == 0:
        code, text = INTERNAL, read(process, _UNKNOWN_STEP)
        if step != 0:
            code, text = RESOURCE_EXHAUSTED, read(step, _NO_TABLES)
        _fail(process, context, code, text)
        return
    # TensorFlow's threads flush subnormal numbers, also those among the operands.
    mode = compute_exactly()
    text = head + read(step, _BEHIND) + REQUEST_BYTES
    status = invoke(process, _NEW_STATUS, 0, 0, 0)
    code = _read_inputs(process, context, step, head, status, text)
    if code == OK:
        code = _allocate_outputs(process, context, step, head, status, text)
    invoke(process, _DELETE_STATUS, status, 0, 0)
    if code == OK:
        code = _work(process, step, head)
    if code != OK:
        _fail(process, context, code, text)
    give_back(step, head)
    restore(mode)


@jit
def _copy_text(function, request, form, text):
    to = read(request, _EAGER_TEXT)
    append(function, to, to + TEXT_BYTES, form, text)


def compute_eagerly(request):
    """Do a step with tensors whose types and shapes Python has compared, and return a TF_Code; see `EAGER`."""
    record, inputs, lengths = read(request, _EAGER_RECORD), read(request, _EAGER_INPUTS), read(request, _EAGER_LENGTHS)
    process, step, outputs = read(record, _PROCESS), read(record, _STEP), read(request, _EAGER_OUTPUTS)
    head = borrow(step)
    if head == 0:
        _copy_text(read(process, _SNPRINTF), request, read(process, _TEXT), read(step, _NO_TABLES))
        return RESOURCE_EXHAUSTED
    mode = compute_exactly()
    operand, number = read(step, _INPUTS), 0
    while number < read(step, _INPUT_COUNT):
        _place_input(operand, head, read(inputs, number), read(lengths, number))
        operand += _OPERAND_BYTES
        number += 1
    operand, number = read(step, _OUTPUTS), 0
    while number < read(step, _OUTPUT_COUNT):
        write(head + read(operand, _TO), 0, read(outputs, number))
        operand += _OPERAND_BYTES
        number += 1
    code = _work(process, step, head)
    if code != OK:
        text = head + read(step, _BEHIND) + REQUEST_BYTES
        _copy_text(read(process, _SNPRINTF), request, read(process, _TEXT), text)
    give_back(step, head)
    restore(mode)
    return code


def create(construction):
    """Return the record of an operation that a kernel is made for. Its step lives at least until `release`.

    The address of the process's table plus 1 in place of a TF_OpKernelConstruction is written down for the calls that
    follow.
    """
    own = own_word()
    if construction & 1:
        write(own, 0, construction - 1)
        return 0
    process, answer = read(own, 0), room()
    status = invoke(process, _NEW_STATUS, 0, 0, 0)
    write(answer, 0, read(process, _FIRST) - 1)
    call_with_seven(read(process, _GET_NUMBER), construction, read(process, _ATTRIBUTE), answer, status, 0, 0, 0)
    invoke(process, _DELETE_STATUS, status, 0, 0)
    index = read(answer, 0) - read(process, _FIRST)
    if 0 <= index < read_shared(process + 8 * _MADE):
        record = read(read(process, _RECORDS), index)
        users = read_shared(record + 8 * _USERS)
        while users > 0:
            if replace_shared(record + 8 * _USERS, users, users + 1):
                return record
            users = read_shared(record + 8 * _USERS)
    return read(process, _UNKNOWN)


def release(record):
    """Free the step of a record if nobody uses it any more: a kernel is gone, or the last graph."""
    if read(record, _STEP) != 0 and add_shared(record + 8 * _USERS, -1) == 1:
        step, free = read(record, _STEP), read(read(record, _PROCESS), _FREE)
        idle = read(step, _IDLE)
        if idle != 0:
            call(free, read(idle, -1))
        # A step is the last of its blocks of memory, each of which points to the one before.
        block = step - 8
        while block != 0:
            before = read(block, 0)
            call(free, block)
            block = before
