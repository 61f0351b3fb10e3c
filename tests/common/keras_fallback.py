"""Keras where native steps cannot be had."""

import fallbacks

KERAS = """
import warnings
# Keras's own way to NumPy lacks a keyword that NumPy 2 wants.
warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
import keras

def explain():
    from rmsprop.keras import RMSprop
    return RMSprop().explain([keras.Variable(start)])

def step(native):
    from rmsprop.keras import RMSprop
    w, optimizer = keras.Variable(start), RMSprop(**options, native=native)
    for _ in range(steps):
        optimizer.apply([keras.ops.copy(w.value)], [w])
    return keras.ops.convert_to_numpy(w.value)
"""


class Fallback:
    """The same on every backend."""

    def test_without_numba(self):
        fallbacks.check(KERAS, [("take('numba')", "Numba cannot be loaded: ModuleNotFoundError: ")])
