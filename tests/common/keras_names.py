"""Variables excluded from weight decay by name: the path counts, as the name does, and what matches nothing is told."""

import warnings

import keras
import numpy
import pytest

from rmsprop.keras import RMSprop


def _decayed(*patterns):
    """Give the paths of a model's variables that weight decay moves."""
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(2, name="first"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(1, name="last", bias_initializer="ones"),
        ],
        name="net",
    )
    model.layers[0].bias.assign(numpy.ones(2))
    model.layers[1].beta.assign(numpy.ones(2))
    variables = model.trainable_variables
    optimizer = RMSprop(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=list(patterns))
    before = [keras.ops.convert_to_numpy(one.value).copy() for one in variables]
    optimizer.apply([keras.ops.zeros(one.shape) for one in variables], variables)
    return {
        one.path.removeprefix("net/")
        for one, old in zip(variables, before, strict=True)
        if not numpy.array_equal(keras.ops.convert_to_numpy(one.value), old)
    }


_ALL = {"first/kernel", "first/bias", "norm/gamma", "norm/beta", "last/kernel", "last/bias"}


class Names:
    """Tests that a backend's folder runs."""

    @pytest.mark.parametrize(
        ("patterns", "excluded"),
        [
            (["norm"], {"norm/gamma", "norm/beta"}),
            (["bias"], {"first/bias", "last/bias"}),
            (["^bias$", "^gamma$"], {"first/bias", "last/bias", "norm/gamma"}),
            (["^net/first/"], {"first/kernel", "first/bias"}),
            (["first/bias", "norm/beta"], {"first/bias", "norm/beta"}),
            ([], set()),
        ],
        ids=str,
    )
    def test_name_and_path_are_searched(self, patterns, excluded):
        assert _decayed(*patterns) == _ALL - excluded

    def test_each_pattern_without_a_match_is_warned_of(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert _decayed("nope", "norm", "^kernels$") == _ALL - {"norm/gamma", "norm/beta"}
        found = [str(one.message) for one in caught if "exclude_from_weight_decay" in str(one.message)]
        assert len(found) == 2
        for text, pattern in zip(found, ("nope", "^kernels$"), strict=True):
            assert repr(pattern) in text
            assert "net/first/kernel" in text
