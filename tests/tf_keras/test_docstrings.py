"""The examples in the docstrings of what needs TensorFlow run and print what they say."""

import doctest
import importlib

import pytest

import rmsprop.tf_keras

MODULES = ["rmsprop.tf_keras", "rmsprop._tf_keras.optimizer"]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_documentations_example_is_there():
    """Word for word, but for the import, and that the number is printed."""
    text = rmsprop.tf_keras.RMSprop.__doc__
    for line in (
        "opt = RMSprop(learning_rate=0.1)",
        "var1 = tf.Variable(10.0)",
        "loss = lambda: (var1 ** 2) / 2.0  # d(loss) / d(var1) = var1",
        "opt.minimize(loss, [var1])",
        "9.683772",
    ):
        assert line in text
