"""The kernel of a step: load, `rmsprop._core.rule.update`, store.

A kernel is made for one `rmsprop._core.plan.Kernel`: its slots and scalars, how numbers are stored, and where results
go are its constants. No fast-math and no fused multiply-add: Numba leaves the IEEE operations as the rule writes them.
"""

import math
import operator
from typing import Any

from numba.core import types
from numba.extending import intrinsic

from rmsprop._core import rule
from rmsprop._core.cpu.gather import GRADIENT, VARIABLE, gather_rows, move
from rmsprop._core.cpu.memory import advance, column_pointer, fence, first_given, pointer, storage_tag, store, stream
from rmsprop._core.cpu.memory import load as _load
from rmsprop._core.cpu.target import part
from rmsprop._core.cpu.words import less, only, read, read_column, read_flag, read_scalar
from rmsprop._core.tables import CHUNK, GATHERED, GROUP, HEAD, PART, ROW, SCALARS, STATE, WHERE, columns


@intrinsic
def _select(typing_context: Any, condition: Any, x: Any, y: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        condition = context.cast(builder, arguments[0], signature.args[0], types.boolean)
        return builder.select(condition, context.cast(builder, arguments[1], signature.args[1], y), arguments[2])

    return y(condition, x, y), generate


update = part(rule.bind(sqrt=math.sqrt, divide=operator.truediv, select=_select))

_TENSORS, _WHERE, _GROUP_TABLE, _SCALES = columns(HEAD, "tensors", "where", "group_table", "scales")
_TENSOR, _GROUP, _LAYOUT, _ROW_SIZE = columns(ROW, "tensor", "group", "layout", "row_size")
_GROUP_BYTES = 8 * len(GROUP)
_ADDRESS, _NUMBERS, _COUNT, _HOME = columns(WHERE, "gradient", "row_numbers", "row_count", "variable")


def make(key: Any) -> Any:
    """Return what steps a part of one tensor, for `rmsprop._core.cpu.pieces.over_pieces`."""
    step_part = _make_step(key)
    gradients, variables, _, compute = (storage_tag(dtype) for dtype in key.storage)
    if key.form == "flat":

        def do(head, row, start, count, scratch):
            where = head + read(head, _WHERE) + 8 * read(row, _TENSOR)
            stride = read(head, _TENSORS)
            gradient = column_pointer(where, _ADDRESS, stride, start, gradients, compute, "gradient")
            variable = column_pointer(where, _HOME, stride, start, variables, compute, "variable")
            step_part(head, row, start, count, gradient, variable, scratch)

    elif key.form == "rows":

        def do(head, row, start, count, scratch):
            where = head + read(head, _WHERE) + 8 * read(row, _TENSOR)
            stride = read(head, _TENSORS)
            gradient = pointer(scratch, compute, compute, "gradient")
            values, numbers = read_column(where, _ADDRESS, stride), read_column(where, _NUMBERS, stride)
            many, length = read_column(where, _COUNT, stride), read(row, _ROW_SIZE)
            if not gather_rows(gradient, count, start, values, gradients, compute, many, length, numbers):
                for i in range(count):
                    store(gradient, i, 0.0)
            variable = column_pointer(where, _HOME, stride, start, variables, compute, "variable")
            step_part(head, row, start, count, gradient, variable, scratch + 8 * CHUNK)

    else:
        width, goal = compute.itemsize, _HOME if key.out == "place" else WHERE.index("new variable")

        def do(head, row, start, count, scratch):
            # Gathered into scratch memory, stepped there, and the variable scattered to its target. So a gradient may
            # be the variable's own memory: it is read before that is written.
            where = head + read(head, _WHERE) + 8 * read(row, _TENSOR)
            stride, layout = read(head, _TENSORS), head + read(row, _LAYOUT)
            gradient = pointer(scratch, compute, compute, "gradient")
            variable = pointer(scratch + width * GATHERED, compute, compute, "variable")
            home, length = read_column(where, _HOME, stride), read(row, _ROW_SIZE)
            move(variable, count, start, home, variables, compute, layout, VARIABLE, None)
            values = read_column(where, _ADDRESS, stride)
            if length < 0:
                move(gradient, count, start, values, gradients, compute, layout, GRADIENT, None)
            else:
                many, numbers = read_column(where, _COUNT, stride), read_column(where, _NUMBERS, stride)
                if not gather_rows(gradient, count, start, values, gradients, compute, many, length, numbers):
                    for i in range(count):
                        store(gradient, i, 0.0)
            step_part(head, row, start, count, gradient, variable, scratch + 16 * GATHERED)
            move(variable, count, start, read_column(where, goal, stride), variables, compute, layout, VARIABLE, True)

    return part(do)


def _make_step(key: Any) -> Any:
    """Return what steps numbers whose gradient and variable are found already, and finds the slots."""
    _, variables, slots, compute = (storage_tag(dtype) for dtype in key.storage)
    on = set(key.on)
    velocity_at, momentum_at, mean_at, average_at = (_column(name, on) for name in STATE[1:])
    # A variable that is gathered goes to its target from scratch memory, where it is stepped in place.
    written = set() if key.out == "place" else on - {"variable"} if key.form == "gathered" else on
    new_at = [_column(f"new {name}", {f"new {one}" for one in written}) for name in STATE]
    rate_at, clip_at, value_at, decay_at, rho_at, rho_c_at, mu_at, epsilon_at, ema_at, ema_c_at, overwrite_at = (
        None if name not in on else 0 if name == "clip_scale" else GROUP.index(name) for name in SCALARS
    )

    @part
    def advance_numbers(
        count, group, scale, gradient, variable, velocity, momentum, mean, average,
        new_variable, new_velocity, new_momentum, new_mean, new_average,
    ):  # fmt: skip
        # Read before the loop: LLVM cannot know that the stores below leave the tables alone.
        rate, clip = read_scalar(group, rate_at, compute), read_scalar(scale, clip_at, compute)
        value, decay = read_scalar(group, value_at, compute), read_scalar(group, decay_at, compute)
        rho, rho_c = read_scalar(group, rho_at, compute), read_scalar(group, rho_c_at, compute)
        mu, epsilon = read_scalar(group, mu_at, compute), read_scalar(group, epsilon_at, compute)
        ema, ema_c = read_scalar(group, ema_at, compute), read_scalar(group, ema_c_at, compute)
        overwrite = read_flag(group, overwrite_at)
        for i in range(count):
            new = update(
                _load(gradient, i), _load(variable, i), _load(velocity, i), _load(momentum, i), _load(mean, i),
                _load(average, i), rate, clip, value, decay, rho, rho_c, mu, epsilon, ema, ema_c, overwrite,
            )  # fmt: skip
            store(first_given(new_variable, variable), i, new[0])
            store(first_given(new_velocity, velocity), i, new[1])
            store(first_given(new_momentum, momentum), i, new[2])
            store(first_given(new_mean, mean), i, new[3])
            store(first_given(new_average, average), i, new[4])

    streams = key.out == "streamed"
    variable_to, velocity_to, momentum_to, mean_to, average_to = new_at

    @part
    def inside(address, number, column, storage, operand):
        return pointer(only(column, address + 8 * PART * number), storage, compute, operand)

    def step_part(head, row, start, count, gradient, variable, scratch):
        stride, tensor = read(head, _TENSORS), read(row, _TENSOR)
        where = head + read(head, _WHERE) + 8 * tensor
        group = head + read(head, _GROUP_TABLE) + _GROUP_BYTES * read(row, _GROUP)
        scale = head + read(head, _SCALES) + 8 * tensor
        velocity = column_pointer(where, velocity_at, stride, start, slots, compute, "velocity")
        momentum = column_pointer(where, momentum_at, stride, start, slots, compute, "momentum")
        mean = column_pointer(where, mean_at, stride, start, slots, compute, "average_gradient")
        average = column_pointer(where, average_at, stride, start, slots, compute, "average")
        new_variable = advance(
            pointer(read_column(where, variable_to, stride), variables, compute, "new variable"), start
        )
        new_velocity = column_pointer(where, velocity_to, stride, start, slots, compute, "new velocity")
        new_momentum = column_pointer(where, momentum_to, stride, start, slots, compute, "new momentum")
        new_mean = column_pointer(where, mean_to, stride, start, slots, compute, "new average_gradient")
        new_average = column_pointer(where, average_to, stride, start, slots, compute, "new average")
        if streams:
            here = inside(scratch, 0, variable_to, variables, "new variable")
            here_velocity = inside(scratch, 1, velocity_to, slots, "new velocity")
            here_momentum = inside(scratch, 2, momentum_to, slots, "new momentum")
            here_mean = inside(scratch, 3, mean_to, slots, "new average_gradient")
            here_average = inside(scratch, 4, average_to, slots, "new average")
            for first in range(0, count, PART):
                size = less(PART, count - first)
                advance_numbers(
                    size, group, scale, advance(gradient, first), advance(variable, first), advance(velocity, first),
                    advance(momentum, first), advance(mean, first), advance(average, first),
                    here, here_velocity, here_momentum, here_mean, here_average,
                )  # fmt: skip
                stream(advance(new_variable, first), here, size)
                stream(advance(new_velocity, first), here_velocity, size)
                stream(advance(new_momentum, first), here_momentum, size)
                stream(advance(new_mean, first), here_mean, size)
                stream(advance(new_average, first), here_average, size)
            fence()
        else:
            advance_numbers(
                count, group, scale, gradient, variable, velocity, momentum, mean, average,
                new_variable, new_velocity, new_momentum, new_mean, new_average,
            )  # fmt: skip

    return part(step_part)


def _column(name: str, on: set[str]) -> int | None:
    return WHERE.index(name) if name in on else None
