"""Steps of ever other sets of variables, as of a trunk and one of many heads: no slower than Keras's own."""

import time

import keras
import numpy

from rmsprop.keras import RMSprop


def _variables():
    return [keras.Variable(numpy.ones((32, 32), "float32")) for _ in range(21)]


def _round(optimizer, trunk, heads):
    gradient = keras.ops.ones((32, 32))
    for head in heads:
        optimizer.apply_gradients([(gradient, trunk), (gradient, head)])


def test_alternating_sets_are_no_slower_than_the_originals():
    times, values = {}, {}
    for make in (RMSprop, keras.optimizers.RMSprop):
        trunk, *heads = _variables()
        optimizer = make(0.01)
        optimizer.build([trunk, *heads])
        found = []
        for _ in range(10):
            start = time.perf_counter()
            _round(optimizer, trunk, heads)
            found.append(time.perf_counter() - start)
        times[make] = min(found)
        values[make] = [keras.ops.convert_to_numpy(one.value) for one in (trunk, *heads)]
    for one, other in zip(*values.values(), strict=True):
        numpy.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert times[RMSprop] < times[keras.optimizers.RMSprop]
