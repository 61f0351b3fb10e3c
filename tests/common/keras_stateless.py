"""`stateless_apply`, which Keras has on JAX and torch."""

import keras_runs as runs
import numpy
import pytest

OPTIONS = [
    {"momentum": 0.5, "centered": True, "use_ema": True, "ema_overwrite_frequency": 2, "weight_decay": 0.01},
    {"gradient_accumulation_steps": 2, "global_clipnorm": 1.0},
]  # fmt: skip


class Stateless:
    """New tensors for old ones."""

    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_stateless_apply(self, options):
        arrays = {"w": numpy.ones(4, "float32"), "b": numpy.ones((), "float32")}
        (pure, kept), (plain, named) = runs.build(options, arrays), runs.build(options, arrays)
        before = [runs.array(one) for one in (*kept.values(), *pure.variables)]
        values, state = [one.value for one in kept.values()], [one.value for one in pure.variables]
        random = numpy.random.default_rng(0)
        for _ in range(5):
            gradients = {name: random.normal(size=one.shape).astype("float32") for name, one in arrays.items()}
            values, state = pure.stateless_apply(state, [runs.tensor(one) for one in gradients.values()], values)
            runs.step(plain, named, gradients)
            runs.assert_same([runs.array(one) for one in values], [runs.array(one) for one in named.values()])
            runs.assert_same([runs.array(one) for one in state], [runs.array(one) for one in plain.variables])
        runs.assert_same([runs.array(one) for one in (*kept.values(), *pure.variables)], before)
