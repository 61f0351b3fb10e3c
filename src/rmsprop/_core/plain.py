"""A step without a compiler: the rule called on whole arrays, over the same tables as the kernels, with their bits.

This is what ``jit_compile=False`` runs. It makes temporaries as NumPy does; it is for debugging, and for telling
whether a surprise comes from a kernel.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from rmsprop._core import rule
from rmsprop._core.arrays import array_at
from rmsprop._core.plan import Launch, Layout, Tensor
from rmsprop._core.scales import clip_scale, overwrites
from rmsprop._core.tables import CHUNK, HEAD, JOINT, LANES, MEASURE, NONE, NOTHING, SCALES
from rmsprop._core.traced import call_rule

if TYPE_CHECKING:
    from rmsprop._core.run import Run

Array = NDArray[Any]


def execute(run: "Run") -> None:
    """Do the step of a run."""
    given = int(run.words[HEAD.index("given")])
    # Like the kernels, the rule takes NaN, infinities and divisions by zero as numbers.
    with numpy.errstate(all="ignore"):
        if given <= NOTHING:
            _measure(run)
        if given != MEASURE:
            _prepare(run, known=given == SCALES)
        for launch in run.plan.steps if given >= NOTHING else ():
            for place in launch.tensors:
                _step(run, launch, place)


def _measure(run: "Run") -> None:
    run.squares[:] = 0.0
    for launch in run.plan.norms:
        for place in launch.tensors:
            tensor = run.plan.tensors[place]
            run.squares[place] = _square_sum(_gradient(run, place, tensor, tensor.norm_layout))


def _prepare(run: "Run", known: bool) -> None:
    """Find what gradients are multiplied by, unless that is known, and whether averages overwrite."""
    done, groups = int(run.words[HEAD.index("iterations")]), run.groups
    for number, every in enumerate(groups["frequency"].astype(int).tolist()):
        groups["overwrite"][number] = every > 0 and overwrites(done, every)
    if known:
        return
    members = [tensor.group for tensor in run.plan.tensors]
    norms, limits, factors = (groups[name][members] for name in ("norm", "limit", "factor"))
    run.scales[:] = factors * clip_scales(run.squares * (factors * factors), norms, limits)


def clip_scales(squares: Array, norms: Array, limits: Array) -> Array:
    """Return what each gradient is multiplied by to limit a norm; 1 without such a limit.

    Args:
        squares: the sum of each gradient's squares.
        norms: of each gradient, which norm is limited: NONE, OWN or JOINT.
        limits: of each gradient, the limit.
    """
    joint = norms == JOINT
    norm, found = math.sqrt(joint_square(squares, joint)), numpy.ones(len(squares))
    for place in numpy.flatnonzero(norms != NONE):
        found[place] = clip_scale(math.sqrt(squares[place]), norm, float(limits[place]), bool(joint[place]))
    return found


def joint_square(squares: Array, joint: Array) -> float:
    """Return the sum of those squares that are `joint`, in their order: `sum` would add them up in pairs."""
    return float(numpy.add.accumulate(squares[joint])[-1]) if joint.any() else 0.0


def _step(run: "Run", launch: Launch, place: int) -> None:
    tensor = run.plan.tensors[place]
    storage, on = tensor.storage, set(tensor.on)
    new = "" if launch.kernel.out == "place" else "new "
    layout = tensor.layout
    shape = layout[0] if layout else (tensor.size,)
    old: dict[str, Array] = {}
    homes: dict[str, Array] = {}
    for name in filter(on.__contains__, rule.STATE):
        dtype = storage.variable if name == "variable" else storage.slots
        strides = layout[1] if layout and name == "variable" else None
        for arrays, column in ((old, name), (homes, new + name)):
            arrays[name] = array_at(int(run.where[column][place]), dtype, shape, strides)
    scalars: dict[str, Any] = {name: _scalar(run, place, tensor, name) for name in rule.SCALARS if name in on}
    gradient = _gradient(run, place, tensor, layout).astype(storage.compute, copy=False)
    wide = {name: array.astype(storage.compute, copy=False) for name, array in old.items()}
    values = call_rule(rule.update, gradient, wide, scalars)
    # The variable last: after an interrupt, a variable that is new has new state.
    for name, array in [*homes.items()][::-1]:
        array[...] = _to_odd(values[name]) if array.dtype.name == "bfloat16" else values[name]


def _scalar(run: "Run", place: int, tensor: Tensor, name: str) -> Any:
    if name == "overwrite":
        return bool(run.groups[name][tensor.group])
    number = run.scales[place] if name == "clip_scale" else run.groups[name][tensor.group]
    return tensor.storage.compute.type(number)


def _gradient(run: "Run", place: int, tensor: Tensor, layout: Layout | tuple[()]) -> Array:
    """Return a gradient as the step or the norm sees it, rows of a sparse one among zeros."""
    dtype, address = tensor.storage.gradient, int(run.where["gradient"][place])
    shape = layout[0] if layout else (tensor.size,)
    if tensor.row_size < 0:
        return array_at(address, dtype, shape, layout[2] if layout else None)
    count = int(run.where["row_count"][place])
    numbers = array_at(int(run.where["row_numbers"][place]), numpy.dtype(numpy.int64), (count,))
    dense = numpy.zeros((tensor.size // tensor.row_size, tensor.row_size), dtype)
    dense[numbers] = array_at(address, dtype, (count, tensor.row_size))
    return dense.reshape(shape)


def _to_odd(value: Array) -> Array:
    """Shorten float64 to float32 so that rounding once more, which is what ml_dtypes does, equals rounding once.

    See `rmsprop._core.cpu.half`: towards zero, and an inexact result gets an odd last bit.
    """
    if value.dtype != numpy.float64:
        return value
    bits = numpy.atleast_1d(value.astype(numpy.float32)).view(numpy.uint32)
    nearest = bits.view(numpy.float32).astype(numpy.float64)
    bits = bits - (abs(nearest) > abs(value)).astype(numpy.uint32) | ((nearest != value) & ~numpy.isnan(value))
    odd: Array = bits.view(numpy.float32).reshape(value.shape)
    return odd


def _square_sum(gradient: Array) -> float:
    numbers = numpy.asarray(gradient, order="C").reshape(-1).astype(numpy.float64)
    total = 0.0
    for start in range(0, numbers.size, CHUNK):
        chunk = numbers[start : start + CHUNK]
        rows = numpy.zeros((-(-chunk.size // LANES), LANES))
        rows.reshape(-1)[: chunk.size] = chunk
        lanes = numpy.zeros(LANES)
        for row in rows:
            lanes += row * row
        while lanes.size > 1:
            lanes = lanes[: lanes.size // 2] + lanes[lanes.size // 2 :]
        total += float(lanes[0])
    return total
