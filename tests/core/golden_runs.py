"""The golden cases' steps by `rmsprop.RMSprop`."""

import ours
from golden_cases import ALL, follow
from golden_numbers import MATRIX, Rows, by_columns, laid_out

import rmsprop

#: What `tests/golden/make.py` keeps: file -> (way, cases).
KEEPS = {"bits.npz": ("plain", ALL)}


class _Run:
    def __init__(self, way, case):
        self.gaps = way != "compiled"
        self.arrays = laid_out(case.variables(), self.gaps)
        self.optimizer = rmsprop.RMSprop(**case.options, jit_compile=way != "plain")
        if case.exclude:
            self.optimizer.exclude_from_weight_decay(var_names=case.exclude)
        self.optimizer.build(self.arrays)

    def set_rate(self, rate):
        self.optimizer.learning_rate = rate

    def step(self, gradients):
        if not self.gaps:
            gradients[MATRIX] = by_columns(gradients[MATRIX])
        ours.step(self.optimizer, self.arrays, {name: _form(one) for name, one in gradients.items()})

    def state(self):
        return ours.state(self.optimizer, self.arrays)


def _form(gradient):
    return rmsprop.RowSparse(*gradient) if isinstance(gradient, Rows) else gradient


def run(way, case):
    """Give the state after the steps."""
    return follow(_Run(way, case), case)
