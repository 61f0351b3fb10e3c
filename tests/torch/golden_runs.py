"""The golden cases' steps by `rmsprop.torch.RMSprop`."""

from dataclasses import replace

import numpy
import torch
import torch_runs
from golden_cases import BFLOAT16_AND_SLOTS, DECAY, FLOAT32, FLOAT64, MIXED, OVERWRITE, PAIRWISE, RATE, follow
from golden_numbers import MATRIX, Rows, by_columns, laid_out

from rmsprop.torch import RMSprop

_EMA = {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": OVERWRITE}

#: Groups by the first letters of variables: the names of the rows, and options of each.
_GROUPS = {
    "groups": (
        ("ab", {"momentum": 0.9, "lr": 2 * RATE}),
        ("cde", {"weight_decay": DECAY, "centered": True, "lr": RATE / 2}),
        ("fg", {"rho": 0.95, **_EMA}),
        ("hi", {"maximize": True, "initial_velocity": 1.0, "epsilon": 1e-3}),
    ),
    "groups-norms": (
        ("af", {"global_clipnorm": 41.7}),
        ("bg", {"clipnorm": 3.3, "momentum": 0.9}),
        ("ce", {"global_clipnorm": 20.9, "weight_decay": DECAY}),
        ("dh", {"clipvalue": 1.1, **_EMA}),
        ("i", {}),
    ),
    "groups-numbers": (("ab", {"rho": 0.5}), ("cdef", {"lr": 0.5, "epsilon": 1.0}), ("ghi", {"rho": 0.25})),
}

#: Groups, for which the other front ends have no word.
GROUPS = [
    replace(PAIRWISE[0], desc=desc, options={"learning_rate": RATE, "slot_dtype": storage.slot_dtype},
            storage=storage, groups=groups)
    for storage in (FLOAT32, FLOAT64, MIXED, BFLOAT16_AND_SLOTS)
    for desc, groups in _GROUPS.items()
]  # fmt: skip

#: What `tests/golden/make.py` keeps: file -> (way, cases).
KEEPS = {"torch.npz": ("plain", GROUPS)}


class _Run:
    """Steps whose parameters lie as NumPy's arrays do."""

    def __init__(self, way, case):
        self.gaps = way != "compiled"
        self.named = {name: self.parameter(array) for name, array in self.arrays(case).items()}
        self.optimizer = RMSprop(self._params(case), **case.options, jit_compile=way.startswith("compiled"))
        if case.exclude:
            self.optimizer.exclude_from_weight_decay(var_names=case.exclude)

    def arrays(self, case):
        return laid_out(case.variables(), self.gaps)

    def parameter(self, array):
        return torch.nn.Parameter(_tensor(array))

    def _params(self, case):
        if not case.groups:
            return self.named.items()
        return [
            {"params": [pair for pair in self.named.items() if pair[0][0] in letters], **options}
            for letters, options in case.groups
        ]

    def set_rate(self, rate):
        for place, group in enumerate(self.optimizer.param_groups):
            group["lr"] = rate * (place + 1)

    def step(self, gradients):
        if not self.gaps:
            gradients[MATRIX] = by_columns(gradients[MATRIX])
        for name, parameter in self.named.items():
            parameter.grad = self.form(gradients[name])
        self.optimizer.step()

    def form(self, gradient):
        if isinstance(gradient, Rows):
            places, values = torch.from_numpy(gradient.indices[None]), _tensor(gradient.values)
            return torch.sparse_coo_tensor(places, values, gradient.shape, check_invariants=True)
        return None if gradient is None else _tensor(gradient)

    def state(self):
        slots = torch_runs.state(self.optimizer, self.named)
        return {slot: {name: torch_runs.array(one) for name, one in tensors.items()} for slot, tensors in slots.items()}


class _Complex(_Run):
    """Numbers of an even last axis are the parts of complex ones."""

    def arrays(self, case):
        self.shapes = {name: array.shape for name, array in case.variables().items()}
        return case.variables()

    def parameter(self, array):
        return super().parameter(_complex(array))

    def form(self, gradient):
        if isinstance(gradient, Rows):
            shape = (*gradient.shape[:-1], gradient.shape[-1] // 2)
            return super().form(Rows(gradient.indices, _complex(gradient.values), shape))
        return super().form(None if gradient is None else _complex(gradient))

    def state(self):
        return {
            slot: {name: _real(array).reshape(self.shapes[name]) for name, array in named.items()}
            for slot, named in super().state().items()
        }


def _tensor(array):
    """A tensor on an array's memory."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(numpy.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _complex(array):
    if not array.shape or array.shape[-1] % 2:
        return array
    return array.view({"float32": numpy.complex64, "float64": numpy.complex128}[array.dtype.name])


def _real(array):
    return numpy.ascontiguousarray(array).view(array.real.dtype)


def run(way, case):
    """Give the state after the steps."""
    return follow((_Complex if way == "complex" else _Run)(way, case), case)
