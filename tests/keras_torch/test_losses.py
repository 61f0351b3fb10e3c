"""Keras on torch where native steps cannot be had."""

import losses

KERAS = """
import warnings
# Keras's own way to NumPy lacks a keyword that NumPy 2 wants.
warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
import keras

def step(native):
    from rmsprop.keras import RMSprop
    w, optimizer = keras.Variable(start), RMSprop(**options, jit_compile=native is None)
    for _ in range(steps):
        optimizer.apply([keras.ops.copy(w.value)], [w])
    return keras.ops.convert_to_numpy(w.value)
"""


def test_without_numba():
    losses.check(KERAS, [("take('numba')", "Numba cannot be loaded: ModuleNotFoundError: ")])
