"""The update on CUDA memory: load, `rmsprop._core.rule.update`, store, over the pieces of many tensors in one launch.

A launch serves tensors with the same storage types and the same options on. A program does one piece: the piece table
has the piece's tensor and its part of it, the tensor table the addresses of operands, the group table the numbers of
the options. Nothing that may differ from step to step is an argument of the launch, so a schedule, a skipped step or
the replay of a CUDA graph needs no host.

Arithmetic is IEEE: correctly rounded division and square root, no fused multiply-add (`enable_fp_fusion=False` at every
launch), so the bits are those of the CPU kernels.

What is written here is meant for Triton 3.6 to 3.9. They differ in this: 3.6 cannot return None from a function (so
options that are off are decided in one function, not in helpers), and its `sqrt_rn` and `div_rn` take float32 only (for
float64 the plain operations are correctly rounded); 3.9 warns where a launch does not say whether it fuses.
"""

import triton
import triton.language as tl

from rmsprop._core import rule
from rmsprop._core.cuda import tables
from rmsprop._core.tables import columns

#: Options that are on or off in a launch, in the order of the kernel's arguments.
FLAGS = ("clip_scale", "clip_value", "weight_decay", "momentum", "average_gradient", "average", "overwrite")

PIECE = tl.constexpr(tables.STEP_PIECE)
BLOCK = tl.constexpr(tables.STEP_BLOCK)
TENSOR_WIDTH = tl.constexpr(tables.TENSOR_WIDTH)
GROUP_WIDTH = tl.constexpr(tables.GROUP_WIDTH)

#: Columns of the tensor table, and of the group table: a kernel reads globals of this type only.
SIZE_AT, GROUP_AT, GRADIENT_AT, VARIABLE_AT, VELOCITY_AT, MOMENTUM_AT, MEAN_AT, AVERAGE_AT = map(
    tl.constexpr,
    columns(
        tables.TENSOR_COLUMNS, "size", "group", "gradient", "variable", "velocity", "momentum", "average_gradient",
        "average",
    ),
)  # fmt: skip
RATE_AT, VALUE_AT, DECAY_AT, RHO_AT, RHO_C_AT, MU_AT, EPSILON_AT, EMA_AT, EMA_C_AT = map(
    tl.constexpr,
    columns(
        tables.GROUP_COLUMNS, "learning_rate", "clip_value", "weight_decay", "rho", "rho_c", "mu", "epsilon",
        "ema_momentum", "ema_momentum_c",
    ),
)  # fmt: skip


@triton.jit
def _sqrt(x):
    return tl.sqrt(x) if x.dtype == tl.float64 else tl.sqrt_rn(x)


@triton.jit
def _divide(x, y):
    return x / y if x.dtype == tl.float64 else tl.div_rn(x, y)


@triton.jit
def _select(condition, x, y):
    return tl.where(condition, x, y)


# `Any`: the compiler looks at annotations, and lets no other names than its own in.
_update = triton.jit(rule.bind(sqrt=_sqrt, divide=_divide, select=_select, tl=tl, Any=tl.tensor))


@triton.jit
def pointer(address, start, DTYPE: tl.constexpr, ALIGNED: tl.constexpr):
    """Make a pointer to element `start` of the array at an address; with ALIGNED, to a multiple of 16 bytes."""
    found = address.to(tl.pointer_type(DTYPE)) + start
    if ALIGNED:
        # Without this the compiler knows nothing of an address from a table, and loads number by number.
        found = tl.multiple_of(found, 16)
    return found


@triton.jit
def _narrow(value, DTYPE: tl.constexpr):
    """Round once to the storage type."""
    if value.dtype == tl.float64 and DTYPE.primitive_bitwidth == 16:
        # By way of float32, rounded to odd so that the second rounding is the only one (see `_round_to_odd` in
        # `rmsprop._core.cpu.half`): there is no conversion from float64 to bfloat16.
        single = value.to(tl.float32)
        back = single.to(tl.float64)
        bits = single.to(tl.int32, bitcast=True)
        bits = tl.where(tl.abs(back) > tl.abs(value), bits - 1, bits)
        bits = tl.where((back != value) & (value == value), bits | 1, bits)
        value = bits.to(tl.float32, bitcast=True)
    return value.to(DTYPE)


@triton.jit
def widen_gradient(gradient, inverse):
    """Return a stored gradient as float32 or float64, divided by the loss scale as by `GradScaler.unscale_`."""
    if gradient.dtype.primitive_bitwidth == 16:
        gradient = gradient.to(tl.float32)
    if inverse is not None:
        gradient = gradient * inverse.to(gradient.dtype)
    return gradient


@triton.jit
def _advance(
    place, mask, inverse, gradients, variables, velocities, momentums, means, averages, learning_rate, clip_scale,
    clip_value, weight_decay, rho, rho_c, mu, epsilon, ema, ema_c, overwrite, COMPUTE: tl.constexpr,
):  # fmt: skip
    """Apply the rule to the numbers at `place` of a tensor; `mask` is None where all of them are there."""
    gradient = widen_gradient(tl.load(gradients + place, mask=mask), inverse).to(COMPUTE)
    variable = tl.load(variables + place, mask=mask).to(COMPUTE)
    velocity = tl.load(velocities + place, mask=mask).to(COMPUTE)
    momentum = None
    if momentums is not None:
        momentum = tl.load(momentums + place, mask=mask).to(COMPUTE)
    mean = None
    if means is not None:
        mean = tl.load(means + place, mask=mask).to(COMPUTE)
    average = None
    if averages is not None:
        average = tl.load(averages + place, mask=mask).to(COMPUTE)
    new = _update(
        gradient, variable, velocity, momentum, mean, average, learning_rate, clip_scale, clip_value, weight_decay, rho,
        rho_c, mu, epsilon, ema, ema_c, overwrite,
    )  # fmt: skip
    tl.store(variables + place, _narrow(new[0], variables.dtype.element_ty), mask=mask)
    tl.store(velocities + place, _narrow(new[1], velocities.dtype.element_ty), mask=mask)
    if momentums is not None:
        tl.store(momentums + place, _narrow(new[2], velocities.dtype.element_ty), mask=mask)
    if means is not None:
        tl.store(means + place, _narrow(new[3], velocities.dtype.element_ty), mask=mask)
    if averages is not None:
        tl.store(averages + place, _narrow(new[4], velocities.dtype.element_ty), mask=mask)


@triton.jit
def step(
    pieces, tensors, groups, scales, switches, inverse, GRADIENT: tl.constexpr, VARIABLE: tl.constexpr,
    SLOTS: tl.constexpr, COMPUTE: tl.constexpr, ALIGNED: tl.constexpr, CLIP_SCALE: tl.constexpr,
    CLIP_VALUE: tl.constexpr, WEIGHT_DECAY: tl.constexpr, MOMENTUM: tl.constexpr, CENTERED: tl.constexpr,
    AVERAGE: tl.constexpr, OVERWRITE: tl.constexpr,
):  # fmt: skip
    """Step one piece a program; the tables are described in `rmsprop._core.cuda.tables`.

    Args:
        pieces: the launch's piece table.
        tensors: the tensor table.
        groups: the group table.
        scales: the factor of each tensor's gradient, float64; None unless a norm clips or a gradient is negated.
        switches: whether to step at all, then for each group whether the averages replace the variables: int32.
        inverse: one over the loss scale, float32; None without.
        GRADIENT, VARIABLE, SLOTS, COMPUTE: how numbers are stored, and what they are computed in.
        ALIGNED: whether all arrays of the launch begin at a multiple of 16 bytes.
        CLIP_SCALE, CLIP_VALUE, WEIGHT_DECAY, MOMENTUM, CENTERED, AVERAGE, OVERWRITE: which options are on.
    """
    if tl.load(switches) != 0:
        piece = pieces + 2 * tl.program_id(0)
        number = tl.load(piece).to(tl.int64)
        start = tl.load(piece + 1).to(tl.int64) * PIECE
        tensor = tensors + number * TENSOR_WIDTH
        count = tl.minimum(tl.load(tensor + SIZE_AT) - start, PIECE).to(tl.int32)
        which = tl.load(tensor + GROUP_AT)
        group = groups + which * GROUP_WIDTH

        gradients = pointer(tl.load(tensor + GRADIENT_AT), start, GRADIENT, ALIGNED)
        variables = pointer(tl.load(tensor + VARIABLE_AT), start, VARIABLE, ALIGNED)
        velocities = pointer(tl.load(tensor + VELOCITY_AT), start, SLOTS, ALIGNED)
        learning_rate = tl.load(group + RATE_AT).to(COMPUTE)
        rho = tl.load(group + RHO_AT).to(COMPUTE)
        rho_c = tl.load(group + RHO_C_AT).to(COMPUTE)
        epsilon = tl.load(group + EPSILON_AT).to(COMPUTE)
        clip_scale = None
        if CLIP_SCALE:
            clip_scale = tl.load(scales + number).to(COMPUTE)
        clip_value = None
        if CLIP_VALUE:
            clip_value = tl.load(group + VALUE_AT).to(COMPUTE)
        weight_decay = None
        if WEIGHT_DECAY:
            weight_decay = tl.load(group + DECAY_AT).to(COMPUTE)
        momentums = None
        mu = None
        if MOMENTUM:
            momentums = pointer(tl.load(tensor + MOMENTUM_AT), start, SLOTS, ALIGNED)
            mu = tl.load(group + MU_AT).to(COMPUTE)
        means = None
        if CENTERED:
            means = pointer(tl.load(tensor + MEAN_AT), start, SLOTS, ALIGNED)
        averages = None
        ema = None
        ema_c = None
        if AVERAGE:
            averages = pointer(tl.load(tensor + AVERAGE_AT), start, SLOTS, ALIGNED)
            ema = tl.load(group + EMA_AT).to(COMPUTE)
            ema_c = tl.load(group + EMA_C_AT).to(COMPUTE)
        overwrite = None
        if OVERWRITE:
            overwrite = tl.load(switches + 1 + which) != 0
        unscale = None
        if inverse is not None:
            unscale = tl.load(inverse)

        # A mask makes loads narrow, so whole blocks go without.
        whole = 0
        if ALIGNED:
            whole = count // BLOCK * BLOCK
            for begin in range(0, whole, BLOCK):
                place = tl.multiple_of(begin, BLOCK) + tl.arange(0, BLOCK)
                _advance(
                    place, None, unscale, gradients, variables, velocities, momentums, means, averages, learning_rate,
                    clip_scale, clip_value, weight_decay, rho, rho_c, mu, epsilon, ema, ema_c, overwrite, COMPUTE,
                )  # fmt: skip
        for begin in range(whole, count, BLOCK):
            place = begin + tl.arange(0, BLOCK)
            _advance(
                place, place < count, unscale, gradients, variables, velocities, momentums, means, averages,
                learning_rate, clip_scale, clip_value, weight_decay, rho, rho_c, mu, epsilon, ema, ema_c, overwrite,
                COMPUTE,
            )  # fmt: skip
