"""Sparse gradients, as embeddings and sparse inputs have them: the same numbers as of the dense ones they stand for."""

import keras
import numpy
import pytest

from rmsprop.keras import RMSprop

_OPTIONS = [
    {},
    {"momentum": 0.9, "centered": True, "weight_decay": 0.01},
    {"global_clipnorm": 0.1},
    {"loss_scale_factor": 8.0, "gradient_accumulation_steps": 2},
]
_ROWS = [[4, 0, 4], [1], [], [3, 2, 1, 0, 4, 4]]
_SHAPE = (5, 3)


def _values(rows, dtype="float32"):
    return numpy.cos(numpy.arange(3 * len(rows)) + 1.0).reshape(len(rows), 3).astype(dtype)


def _dense(rows, dtype="float32"):
    found = numpy.zeros(_SHAPE, "float32")
    numpy.add.at(found, numpy.array(rows, int), _values(rows, dtype).astype("float32"))
    return found


class Sparse:
    """Tests that a backend's folder runs; it says how a sparse gradient is made."""

    def make(self, rows, values, shape):
        """Make a sparse gradient.

        Args:
            rows: numbers of rows, some more than once.
            values: an array of these.
            shape: the variable's.
        """
        raise NotImplementedError

    def steps(self, gradients, dtype="float32", **options):
        """Give variables and state after steps."""
        start = numpy.linspace(-1, 1, 15).reshape(_SHAPE).astype("float32")
        variable = keras.Variable(start, dtype=dtype)
        other = keras.Variable(numpy.ones(2, "float32"))
        optimizer = RMSprop(0.1, **options)
        for gradient in gradients:
            optimizer.apply([keras.ops.ones(2), gradient], [other, variable])
        return [
            keras.ops.convert_to_numpy(keras.ops.cast(one.value, "float32")) for one in (variable, *optimizer.variables)
        ]

    @pytest.mark.parametrize(
        "options", [_OPTIONS[0], *(pytest.param(one, marks=pytest.mark.slow) for one in _OPTIONS[1:])], ids=str
    )
    def test_gives_what_the_dense_gradient_gives(self, options):
        expected = self.steps([keras.ops.convert_to_tensor(_dense(rows)) for rows in _ROWS], **options)
        found = self.steps([self.make(rows, _values(rows), _SHAPE) for rows in _ROWS], **options)
        for one, other in zip(found, expected, strict=True):
            numpy.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)

    @pytest.mark.slow
    def test_half_types_are_summed_in_float32(self):
        rows = [2] * 7
        expected = self.steps([keras.ops.convert_to_tensor(_dense(rows, "float16"))], "float16")
        found = self.steps([self.make(rows, _values(rows, "float16"), _SHAPE)], "float16")
        for one, other in zip(found, expected, strict=True):
            numpy.testing.assert_allclose(one, other, rtol=1e-3)

    def test_another_shape_is_refused(self):
        variable = keras.Variable(numpy.ones((6, 3), "float32"))
        with pytest.raises(ValueError, match="gradient"):
            RMSprop(0.1).apply([self.make([0], _values([0])[:, :2], (6, 2))], [variable])
        numpy.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value), numpy.ones((6, 3)))
