"""Tensors with their state in memory, and a run of a plan that steps them."""

import math

import numpy

from rmsprop._core.arrays import empty_alike, memory_order, merge_axes
from rmsprop._core.options import Options
from rmsprop._core.plan import Plan, Tensor
from rmsprop._core.run import Run
from rmsprop._core.scalars import fill_group, storage_of
from rmsprop._core.slots import slots
from rmsprop._core.tables import LINE, SCALARS, STATE

#: How a step finds the numbers of a tensor: its form, and whether its gradient has few rows.
FORMS = {
    "flat": ("flat", False), "rows": ("rows", True),
    "gathered": ("gathered", False), "gathered rows": ("gathered", True),
}  # fmt: skip
OUTS = ("place", "targets", "streamed")

#: Sets of options that tests step by: each compiles kernels for each form and each place of the results.
OPTIONS = {
    "plain": {},
    "clipnorm": {"momentum": 0.9, "clipnorm": 0.5},
    "everything": {
        "momentum": 0.9, "centered": True, "weight_decay": 0.01, "global_clipnorm": 1.0, "use_ema": True,
        "ema_overwrite_frequency": 2,
    },
}  # fmt: skip


def aligned(values):
    """Copy an array so that it begins a cache line, as TensorFlow's tensors do."""
    values = numpy.asarray(values)
    raw = numpy.zeros(values.nbytes + LINE, numpy.uint8)
    first = -raw.ctypes.data % LINE
    copy = raw[first : first + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


def spread(values):
    """Copy an array so that its rows are in reverse order, and there are gaps between its columns."""
    wide = numpy.zeros((*values.shape[:-1], 2 * values.shape[-1]), values.dtype)
    copy = wide[::-1, ..., ::2]
    copy[...] = values
    return copy


def turned(values):
    """Copy an array to Fortran order."""
    return numpy.array(values, order="F")


class Planned:
    """Tensors and what steps them.

    Args:
        shapes: of the tensors.
        options: arguments of the optimizer.
        dtype: of variables and gradients.
        form: a name of `FORMS`; every third row of a gradient that has few rows is not zero.
        out: where results go.
        threads: how many may share a launch.
        compiled: whether kernels do the step.
        lay: copies an array of a variable's numbers to memory.

    Attributes:
        sources: gradient, variable and slot name -> an array for each tensor.
        targets: likewise without the gradient, where results go: `sources`, unless they go elsewhere.
        run: steps the tensors, with a learning rate of 0.125.
    """

    def __init__(
        self, shapes, options, dtype=numpy.float32, form="flat", out="place", threads=1, compiled=True, lay=aligned
    ):
        dtype, options, (form, has_rows) = numpy.dtype(dtype), Options(**options), FORMS[form]
        storage = storage_of(options, dtype, dtype)
        state = ["variable", *(slot.name for slot in slots(options))]
        named = {*state, *options.constants(options.decays), *options.changing()}
        on = tuple(name for name in (*STATE, *SCALARS) if name in named)
        random = numpy.random.default_rng(0)
        self.sources = {name: [] for name in ("gradient", *state)}
        self.targets, self._kept = {name: [] for name in state}, []
        tensors, columns = [], []
        for shape in shapes:
            gradient = aligned(random.uniform(-1, 1, shape).astype(dtype))
            variable = lay(random.uniform(0.5, 2, shape).astype(dtype))
            column = {"gradient": gradient.ctypes.data}
            if has_rows:
                numbers = numpy.arange(0, shape[0], 3)
                values = gradient[numbers]
                gradient[...] = 0
                gradient[numbers] = values
                self._kept += [numbers, values]
                column = {"gradient": values.ctypes.data, "row_numbers": numbers.ctypes.data}
                column["row_count"] = numbers.size
            self.sources["gradient"].append(gradient)
            for name in state:
                source, target = variable, lay(numpy.zeros(shape, dtype))
                if name != "variable":
                    # Without gaps, in the variable's order.
                    lying = empty_alike(variable, storage.slots)
                    lying = lying.transpose(memory_order(lying))
                    source = aligned(random.uniform(0.5, 2, lying.shape).astype(storage.slots))
                    target = aligned(numpy.zeros_like(source))
                self.sources[name].append(source)
                self.targets[name].append(target)
                column |= {name: source.ctypes.data, f"new {name}": target.ctypes.data}
            layout = ()
            if form == "gathered":
                order = memory_order(variable)
                three = (shape, variable.strides, gradient.strides)
                lengths, strides = merge_axes(*([one[axis] for axis in order] for one in three))
                layout = tuple(lengths), tuple(strides[0]), tuple(strides[1])
            tensors.append(
                Tensor(
                    size=math.prod(shape),
                    storage=storage,
                    on=on,
                    clips=options.clips_by_norm,
                    form=form,
                    layout=layout,
                    norm_form="rows" if has_rows else "flat",
                    row_size=math.prod(shape[1:]) if has_rows else -1,
                )
            )
            columns.append(column)
        self.plan = Plan(tensors, out=out)
        self.run = Run(self.plan, threads, compiled)
        for place, column in enumerate(columns):
            for name, number in column.items():
                self.run.where[name][place] = number
        fill_group(self.run.groups, 0, options)
        self.run.groups["learning_rate"][:] = 0.125
        if out == "place":
            self.targets = {name: self.sources[name] for name in state}
        self.run.compile()

    def results(self):
        """Give the bits of what a step has written."""
        return bits(self.targets)


def bits(arrays):
    """Give the numbers of lists of arrays as bytes, so that signs of zeros count."""
    return {name: [array.tobytes() for array in found] for name, found in arrays.items()}
