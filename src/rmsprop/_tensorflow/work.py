"""What a native step does between its inputs and its outputs, compiled; see `rmsprop._tensorflow.tables`.

`work` is a C function of its own, because Numba optimises a function again in each that calls it.
"""

from rmsprop._core.cpu.c_interface import append
from rmsprop._core.cpu.coalesce import FOUND, NO_MEMORY, NO_ROW, REQUEST, REQUEST_BYTES
from rmsprop._core.cpu.copies import execute
from rmsprop._core.cpu.target import jit
from rmsprop._core.cpu.words import call, call_word, read, write
from rmsprop._core.tables import HEAD, columns
from rmsprop._tensorflow.tables import (
    INVALID_ARGUMENT,
    OK,
    PROCESS,
    RESOURCE_EXHAUSTED,
    SPARSE,
    STEP,
    TEXT_BYTES,
)

_SNPRINTF, _FREE, _TEXT, _NUMBER, _HOLDS, _HAS_ROWS, _HAS_NUMBERS, _NO_ROWS = columns(
    PROCESS, "snprintf", "free", "text", "number", "holds", "has_rows", "has_numbers", "no_rows"
)
_SPARSE_TABLE, _SPARSE_COUNT, _EXECUTES, _GIVEN_AT, _PLACES, _FOUND_AT, _BEHIND = columns(
    STEP, "sparse", "sparse_count", "executes", "given_at", "places", "found_at", "behind"
)
_VALUES_AT, _NUMBERS_AT, _GRADIENT_TO, _ROW_NUMBERS_TO, _ROW_COUNT_TO, _COALESCE, _NAME = columns(
    SPARSE, "values_at", "numbers_at", "gradient_to", "row_numbers_to", "row_count_to", "coalesce", "name"
)
_NUMBERS, _VALUES, _COUNT, _LIMIT, _BLOCKS, _OUTSIDE, _ROWS, _ROW_VALUES, _ROW_COUNT = columns(
    REQUEST, "numbers", "values", "count", "limit", "blocks", "outside", "rows", "row_values", "row_count"
)
#: An answer besides those of `coalesce`: there are more or fewer rows than their numbers.
_OTHER_COUNT = NO_MEMORY + 1
_SCALES, _TENSORS = columns(HEAD, "scales", "tensors")
_SPARSE_BYTES = 8 * len(SPARSE)


@jit
def _find_rows(sparse, head, request):
    """Let a copy have the rows of a sparse gradient, each once and in order; return what is wrong, as `coalesce`."""
    values, numbers = head + read(sparse, _VALUES_AT), head + read(sparse, _NUMBERS_AT)
    place = 0
    while place < _BLOCKS:
        write(request, place, read(sparse, place))
        place += 1
    write(request, _VALUES, read(values, 0))
    write(request, _NUMBERS, read(numbers, 0))
    write(request, _COUNT, read(numbers, 1))
    if read(values, 1) != read(numbers, 1):
        return _OTHER_COUNT
    answer = call_word(read(sparse, _COALESCE), request)
    if answer == FOUND:
        write(head + read(sparse, _GRADIENT_TO), 0, read(request, _ROW_VALUES))
        write(head + read(sparse, _ROW_NUMBERS_TO), 0, read(request, _ROWS))
        write(head + read(sparse, _ROW_COUNT_TO), 0, read(request, _ROW_COUNT))
    return answer


@jit
def _describe(process, sparse, head, request, answer, text):
    """Write what is wrong with a sparse gradient, and return its code."""
    function, end = read(process, _SNPRINTF), text + TEXT_BYTES
    to = append(function, text, end, read(process, _TEXT), read(sparse, _NAME))
    if answer == NO_ROW:
        to = append(function, to, end, read(process, _HOLDS), read(request, _OUTSIDE))
        append(function, to, end, read(process, _NUMBER), read(request, _LIMIT) - 1)
    elif answer == _OTHER_COUNT:
        to = append(function, to, end, read(process, _HAS_ROWS), read(head + read(sparse, _VALUES_AT), 1))
        append(function, to, end, read(process, _HAS_NUMBERS), read(request, _COUNT))
    else:
        append(function, to, end, read(process, _NO_ROWS), answer)
        return RESOURCE_EXHAUSTED
    return INVALID_ARGUMENT


@jit
def _copy_scales(step, head):
    """Let a copy have the scales that an operation before has found."""
    given, places, scales = read(head + read(step, _GIVEN_AT), 0), read(step, _PLACES), head + read(head, _SCALES)
    number = read(head, _TENSORS) - 1
    while number >= 0:
        write(scales, number, read(given, read(places, number)))
        number -= 1


@jit
def _return_scales(step, head):
    found, scales, number = read(head + read(step, _FOUND_AT), 0), head + read(head, _SCALES), read(head, _TENSORS) - 1
    while number >= 0:
        write(found, number, read(scales, number))
        number -= 1


def work(process, step, head):
    """Do what a step does with a copy that has the addresses of inputs and outputs; return a TF_Code.

    The text of an error is behind the request of the copy.
    """
    request = head + read(step, _BEHIND)
    text = request + REQUEST_BYTES
    write(request, _BLOCKS, 0)
    code, sparse, number = OK, read(step, _SPARSE_TABLE), read(step, _SPARSE_COUNT)
    while number > 0 and code == OK:
        answer = _find_rows(sparse, head, request)
        if answer != FOUND:
            code = _describe(process, sparse, head, request, answer, text)
        sparse += _SPARSE_BYTES
        number -= 1
    if code == OK and read(step, _EXECUTES) != 0:
        if read(step, _GIVEN_AT) != 0:
            _copy_scales(step, head)
        execute(step, head)
        if read(step, _FOUND_AT) != 0:
            _return_scales(step, head)
    block = read(request, _BLOCKS)
    while block != 0:
        following = read(block, 0)
        call(read(process, _FREE), block)
        block = following
    return code
