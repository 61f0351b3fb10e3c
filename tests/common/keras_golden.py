"""The golden cases' steps by `rmsprop.keras.RMSprop`, on any backend; see `keras_runs`."""

import os
from unittest.mock import patch

import golden
import keras
import keras_runs as runs
from golden_cases import ALL, COMPILED, MILD, PAIRWISE, QUICK, follow
from golden_numbers import Rows
from golden_slots import by_slot

#: What `tests/golden/make.py` keeps: file -> (way, cases).
KEEPS = {f"keras_{runs.BACKEND}.npz": ("traced", MILD)}


class _Run:
    def __init__(self, case, **arguments):
        self.case = case
        self.optimizer, self.named = runs.RMSprop(**case.options, **arguments), runs.variables(case.variables())
        if case.exclude:
            self.optimizer.exclude_from_weight_decay(var_names=case.exclude)
        self.optimizer.build(list(self.named.values()))

    def set_rate(self, rate):
        self.optimizer.learning_rate = rate

    def step(self, gradients):
        self.optimizer.apply_gradients([(_form(gradients[name]), variable) for name, variable in self.named.items()])

    def state(self):
        named = {name: runs.array(variable) for name, variable in self.named.items()}
        return by_slot(self.case, named, [runs.array(one) for one in self.optimizer.variables])


def _form(gradient):
    if isinstance(gradient, Rows):
        return _SPARSE[runs.BACKEND](gradient)
    return None if gradient is None else runs.tensor(gradient)


def _of_tensorflow(rows):
    import tensorflow as tf

    return tf.IndexedSlices(tf.constant(rows.values), tf.constant(rows.indices), tf.constant(rows.shape, tf.int64))


def _of_jax(rows):
    from jax.experimental.sparse import BCOO

    indices = keras.ops.convert_to_tensor(rows.indices[:, None], "int32")
    return BCOO((runs.tensor(rows.values), indices), shape=rows.shape)


def _of_torch(rows):
    import torch

    places, values = torch.from_numpy(rows.indices[None]), runs.tensor(rows.values)
    return torch.sparse_coo_tensor(places, values, rows.shape, check_invariants=True)


_SPARSE = {"tensorflow": _of_tensorflow, "jax": _of_jax, "torch": _of_torch}


def run(way, case):
    """Give the state after the steps."""
    with (
        runs.precision("float64" if case.storage.is_double else "float32"),
        patch.dict(os.environ, {"RMSPROP_NATIVE": "0"} if way == "traced" else {}),
    ):
        return follow(_Run(case, **({"jit_compile": False} if way == "plain" else {})), case)


class Bits:
    """NumPy's bits by our kernels."""

    @golden.rows({"native": (QUICK, COMPILED)})
    def test_bits(self, way, case):
        golden.check_bits("bits.npz", case, run(way, case))


class Bound:
    """The operations of a backend are near what they were."""

    @golden.rows({"traced": (MILD[1:2], MILD)})
    def test_bound(self, way, case):
        golden.check_bound(f"keras_{runs.BACKEND}.npz", case, run(way, case))


class Plain:
    """Without kernels, the rule on torch's tensors is NumPy's."""

    @golden.rows({"plain": (PAIRWISE, ALL)})
    def test_plain_bits(self, way, case):
        golden.check_bits("bits.npz", case, run(way, case))
