"""The golden cases' steps by `rmsprop.jax`."""

import os
from unittest.mock import patch

import jax
import jax.numpy as jnp
import optax
from golden_cases import MILD, follow
from golden_numbers import Rows
from jax_runs import precision, slots, tree

from rmsprop.jax import RMSprop, rmsprop, row_sparse

#: What `tests/golden/make.py` keeps: file -> (way, cases).
KEEPS = {"jax.npz": ("traced", MILD)}


class _Run:
    """Steps that are called on arrays."""

    def __init__(self, way, case):
        self.params = tree(case.variables())
        self.optimizer = RMSprop(**case.options, jit_compile=way != "operations")
        if case.exclude:
            self.optimizer.exclude_from_weight_decay(var_names=case.exclude)
        self.made_step = self.optimizer.apply_gradients
        self.kept = self.optimizer.init(self.params)

    def set_rate(self, rate):
        self.kept = self.optimizer.set_learning_rate(self.kept, rate)

    def step(self, gradients):
        given = {name: _form(one) for name, one in gradients.items()}
        self.params, self.kept = self.made_step(given, self.params, self.kept)

    def state(self):
        found = slots(self.kept, self.params)
        return {slot: {name: jax.device_get(one) for name, one in named.items()} for slot, named in found.items()}


class _Jitted(_Run):
    """Steps of a program's own `jax.jit`, which gives the memory away."""

    def __init__(self, way, case):
        super().__init__(way, case)
        step = jax.jit(
            lambda params, state, grads: self.optimizer.apply_gradients(grads, params, state), donate_argnums=(0, 1)
        )
        self.made_step = lambda grads, params, state: step(params, state, grads)


class _Transformation(_Run):
    """Steps of optax's kind; another learning rate is another transformation, with the same state."""

    def __init__(self, way, case):
        self.options, self.params = dict(case.options), tree(case.variables())
        self._compile()
        self.kept = self.transformation.init(self.params)

    def _compile(self):
        self.transformation = rmsprop(**self.options)

        @jax.jit
        def step(grads, params, state):
            updates, state = self.transformation.update(grads, state, params)
            # Where there was no gradient there is no update, which optax does not take for one.
            updates = {name: jnp.zeros_like(params[name]) if one is None else one for name, one in updates.items()}
            return optax.apply_updates(params, updates), state

        self.made_step = step

    def set_rate(self, rate):
        self.options["learning_rate"] = rate
        self._compile()


def _form(gradient):
    if isinstance(gradient, Rows):
        return row_sparse(jnp.asarray(gradient.indices), jnp.asarray(gradient.values), gradient.shape)
    return None if gradient is None else jnp.array(gradient)


#: Ways that do without our kernels.
_TRACED = {"traced", "operations", "transformation"}
_CLASSES = {"jit": _Jitted, "transformation": _Transformation}


def run(way, case):
    """Give the state after the steps."""
    switch = patch.dict(os.environ, {"RMSPROP_NATIVE": "0"} if way in _TRACED else {})
    with precision("float64" if case.storage.is_double else "float32"), switch:
        return follow(_CLASSES.get(way, _Run)(way, case), case)
