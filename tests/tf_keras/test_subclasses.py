"""Subclasses of `rmsprop.tf_keras.RMSprop`: hooks, numbers and files. Aggregation is in `test_aggregation.py`."""

import numpy
import pytest
import runs
import tensorflow as tf
import tf_keras

from rmsprop.tf_keras import RMSprop

OPTIONS = {"momentum": 0.5, "use_ema": True, "ema_overwrite_frequency": 5, "weight_decay": 0.01}
X, Y = numpy.random.default_rng(0).normal(size=(2, 32, 3)).astype(numpy.float32)


@tf_keras.saving.register_keras_serializable(package="tests")
class Scaled(RMSprop):
    """It multiplies gradients by a number, and notes which of its hooks were called."""

    def __init__(self, *args, factor=1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.factor, self.called = factor, set()

    def get_config(self):
        return super().get_config() | {"factor": self.factor}

    def build(self, var_list):
        self.called.add("build")
        super().build(var_list)

    def aggregate_gradients(self, grads_and_vars):
        self.called.add("aggregate_gradients")
        return super().aggregate_gradients(grads_and_vars)

    def apply_gradients(self, grads_and_vars, *args, **kwargs):
        self.called.add("apply_gradients")
        scaled = [(gradient * self.factor, variable) for gradient, variable in grads_and_vars]
        return super().apply_gradients(scaled, *args, **kwargs)


class Plain(RMSprop):
    """It changes nothing."""


def model(optimizer):
    tf_keras.utils.set_random_seed(0)
    made = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
    made.compile(optimizer, "mse")
    return made


def fit(made):
    made.fit(X, Y[:, :2], batch_size=8, epochs=2, shuffle=False, verbose=0)
    return made.get_weights()


@pytest.mark.parametrize("kind", [Plain, Scaled])
def test_hooks_that_change_nothing_change_no_bits(kind):
    made = model(kind(0.01, **OPTIONS))
    for found, expected in zip(fit(made), fit(model(RMSprop(0.01, **OPTIONS))), strict=True):
        runs.assert_bits(found, expected)
    if kind is Scaled:
        assert made.optimizer.called == {"build", "apply_gradients", "aggregate_gradients"}


def test_a_hook_counts():
    found, expected = tf.Variable([1.0, 2.0]), tf.Variable([1.0, 2.0])
    scaled, plain = Scaled(0.5, factor=4.0, epsilon=1.0), RMSprop(0.5, epsilon=1.0)
    for row in ([1.0, -1.0], [0.5, 2.0]):
        scaled.apply_gradients([(tf.constant(row), found)])
        plain.apply_gradients([(tf.constant(row) * 4, expected)])
    runs.assert_bits(found.numpy(), expected.numpy())


def test_a_saved_model_brings_the_subclass_and_its_arguments_back(tmp_path):
    first = model(Scaled(0.01, factor=2.0, **OPTIONS))
    fit(first)
    first.save(tmp_path / "model.keras")
    again = tf_keras.models.load_model(tmp_path / "model.keras")
    assert type(again.optimizer) is Scaled
    assert again.optimizer.get_config() == first.optimizer.get_config()
    assert again.optimizer.factor == 2.0
    for found, expected in zip(fit(again), fit(first), strict=True):
        runs.assert_bits(found, expected)


def test_files_of_every_front_end(tmp_path):
    optimizer, again = Scaled(0.5, momentum=0.5), Scaled(0.25, momentum=0.5)
    w = tf.Variable([1.0, 2.0], name="w")
    for one in (optimizer, again):
        one.apply_gradients([(tf.ones(2), w)])
    optimizer.save(tmp_path / "run", metadata={"epoch": "1"})
    assert again.load(tmp_path / "run") == {"epoch": "1"}
    assert again.learning_rate.numpy() == 0.5


def test_unknown_arguments_are_refused():
    config = Scaled(factor=2.0).get_config()
    assert Scaled.from_config(config).factor == 2.0
    with pytest.raises(TypeError, match="factor"):
        RMSprop.from_config(config)


def test_what_it_prints():
    text = "for tf_keras: a model of Keras 3 takes rmsprop.keras.RMSprop"
    assert repr(RMSprop(name="mine")) == f"<rmsprop.tf_keras.RMSprop 'mine', {text}>"
    optimizer = RMSprop(momentum=0.5, native=False)
    optimizer.learning_rate = 0.5
    shown = "; learning_rate=0.5; momentum=0.5; native=False"
    assert repr(optimizer) == f"<rmsprop.tf_keras.RMSprop 'RMSprop', {text}{shown}>"
    assert repr(Plain()).startswith(f"<{__name__}.Plain ")
    traced = tf.function(lambda: tf.constant(repr(optimizer)))
    assert text in traced().numpy().decode()


def test_its_bases_are_none_that_one_makes():
    for base in RMSprop.__mro__[1:]:
        if base.__module__.startswith("rmsprop."):
            with pytest.raises(TypeError, match="abstract"):
                base()
