"""The golden cases' steps by `rmsprop.tf_keras.RMSprop`."""

import os
from unittest.mock import patch

import runs
import tensorflow as tf
from golden_cases import MILD, follow
from golden_numbers import Rows
from golden_slots import by_slot

#: What `tests/golden/make.py` keeps: file -> (way, cases).
KEEPS = {"tf_keras.npz": ("traced", MILD)}

#: Way -> how a step runs, see `runs.WAYS`.
_STEPS = {"eager": "eager", "function": "function", "traced": "function", "traced-eager": "eager", "xla": "xla"}


class _Run:
    def __init__(self, way, case):
        self.variables = {name: tf.Variable(array, name=name) for name, array in case.variables().items()}
        self.case, self.way = case, way
        self.optimizer = runs.RMSprop(**case.options)
        if case.exclude:
            # TensorFlow's names of variables end in ":0".
            self.optimizer.exclude_from_weight_decay(var_names=[name.replace("$", ":") for name in case.exclude])
        self.optimizer.build(list(self.variables.values()))
        # A function for steps with all gradients, and one for those with some.
        self.functions = {}

    def set_rate(self, rate):
        self.optimizer.learning_rate = rate

    def step(self, gradients):
        given = {name: _form(one) for name, one in gradients.items() if one is not None}
        names = tuple(given)
        if names not in self.functions:
            self.functions[names] = runs.WAYS[_STEPS[self.way]](lambda given: self._apply(given))
        self.functions[names](given)

    def _apply(self, given):
        self.optimizer.apply_gradients([(given.get(name), variable) for name, variable in self.variables.items()])

    def state(self):
        named = {name: variable.numpy() for name, variable in self.variables.items()}
        return by_slot(self.case, named, [one.numpy() for one in self.optimizer.variables])


def _form(gradient):
    if isinstance(gradient, Rows):
        shape = tf.constant(gradient.shape, tf.int64)
        return tf.IndexedSlices(tf.constant(gradient.values), tf.constant(gradient.indices), shape)
    return tf.constant(gradient)


def run(way, case):
    """Give the state after the steps."""
    off = way.startswith("traced") or way == "xla"
    with patch.dict(os.environ, {"RMSPROP_NATIVE": "0"} if off else {}):
        return follow(_Run(way, case), case)
