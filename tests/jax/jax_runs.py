"""Runs of `rmsprop.jax`'s two interfaces, in the form in which those on NumPy arrays are kept."""

from contextlib import contextmanager

import cases
import jax
import jax.numpy as jnp
import numpy
import optax

from rmsprop.jax import RMSprop, rmsprop


@contextmanager
def precision(dtype):
    """Let JAX keep float64 where that is what is tested; the other tests of this process are about float32."""
    with jax.enable_x64(numpy.dtype(dtype) == numpy.float64):
        yield


def tree(arrays):
    """The same mapping, of JAX's arrays."""
    return {name: jnp.array(array) for name, array in arrays.items()}


def slots(state, params):
    """Slot -> name -> array, "variables" among the slots."""
    found = {"variables": params}
    trees = state.velocities, state.momentums, state.average_gradients, state.averages
    found |= zip(("velocity", "momentum", "average_gradient", "average"), trees, strict=True)
    return {slot: tree for slot, tree in found.items() if tree is not None}


class ByOptimizer:
    """Steps by `RMSprop`, as the user of that has them."""

    def __init__(self, params, **options):
        self.optimizer, self.params = RMSprop(**options), params
        self.state = self.optimizer.init(params)

    def step(self, grads):
        self.params, self.state = self.optimizer.apply_gradients(grads, self.params, self.state)


class ByTransformation:
    """Steps by `rmsprop`, compiled by the caller as optax's users do."""

    def __init__(self, params, **options):
        transformation = rmsprop(**options)
        self.params, self.state = params, transformation.init(params)

        @jax.jit
        def step(grads, state, params):
            updates, state = transformation.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        self.compiled = step

    def step(self, grads):
        self.params, self.state = self.compiled(grads, self.state, self.params)


WAYS = {"optimizer": ByOptimizer, "transformation": ByTransformation}


_paths = {}


def path(way, case, dtype, steps):
    """Do a row's steps, once for all tests that look at them; slot -> name -> array with what is there after each."""
    key = way, case.desc, dtype, steps
    if key not in _paths:
        _paths[key] = _path(way, case.options, dtype, steps)
    return _paths[key]


def _path(way, options, dtype, steps):
    with precision(dtype):
        run = WAYS[way](tree(cases.variables(dtype)), **options)
        stacked, rows = cases.gradients(steps, dtype), {}
        for place in range(steps):
            run.step(tree(cases.at(stacked, place)))
            for slot, named in slots(run.state, run.params).items():
                for name, one in named.items():
                    rows.setdefault(slot, {}).setdefault(name, []).append(numpy.array(one))
        assert run.state.iterations == steps
    return {slot: {name: numpy.stack(one) for name, one in named.items()} for slot, named in rows.items()}
