"""Arguments as attributes: read, and set between steps."""

import numpy
import pytest
import runs
import tensorflow as tf

from rmsprop.tf_keras import RMSprop

ARGUMENTS = {
    "rho": 0.5, "momentum": 0.25, "epsilon": 1.0, "centered": True, "weight_decay": 0.5, "clipnorm": 1.0,
    "clipvalue": 0.5, "global_clipnorm": 2.0, "use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3,
}  # fmt: skip

natives = pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])


def step(optimizer, w, gradient=(0.5, -2.0)):
    optimizer.apply_gradients([(tf.constant(gradient), w)])
    return w.numpy()


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_are_read_as_attributes(name):
    assert getattr(RMSprop(**{name: ARGUMENTS[name]}), name) == ARGUMENTS[name]


@natives
@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.matrix(6)
def test_an_argument_set_before_the_first_step_is_as_given(name, native):
    given, assigned = RMSprop(native=native, **{name: ARGUMENTS[name]}), RMSprop(native=native)
    setattr(assigned, name, ARGUMENTS[name])
    one, other = tf.Variable([1.0, 2.0]), tf.Variable([1.0, 2.0])
    for _ in range(4):
        runs.assert_bits(step(assigned, other), step(given, one))
    assert assigned.get_config() == given.get_config()


@natives
@pytest.mark.parametrize("name", ["rho", "epsilon", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm"])
def test_an_argument_set_between_eager_steps_counts_from_the_next(name, native):
    optimizer, w = RMSprop(0.5, native=native), tf.Variable([1.0, 2.0])
    step(optimizer, w)
    other, same = RMSprop(0.5, native=native, **{name: ARGUMENTS[name]}), tf.Variable(w)
    other.build([same])
    other.set_weights([variable.numpy() for variable in optimizer.variables])
    setattr(optimizer, name, ARGUMENTS[name])
    runs.assert_bits(step(optimizer, w), step(other, same))


@natives
def test_a_function_keeps_what_it_was_traced_with(native):
    """As with tf_keras's own: an attribute is read while tracing."""
    optimizer, w = RMSprop(1.0, rho=1.0, epsilon=1.0, native=native), tf.Variable([0.0])  # w - g
    function = tf.function(lambda: optimizer.apply_gradients([(tf.constant([4.0]), w)]))
    function()
    optimizer.clipvalue = 1.0
    function()
    assert w.numpy() == -8
    tf.function(lambda: optimizer.apply_gradients([(tf.constant([4.0]), w)]))()
    assert w.numpy() == -9


@pytest.mark.parametrize(("name", "value"), [("momentum", 0.9), ("centered", True), ("use_ema", True)])
def test_state_cannot_be_added_after_build(name, value):
    optimizer, w = RMSprop(), tf.Variable([1.0])
    optimizer.build([w])
    before = getattr(optimizer, name)
    with pytest.raises(ValueError, match=rf"{name}={value!r} needs other state"):
        setattr(optimizer, name, value)
    assert getattr(optimizer, name) == before
    setattr(optimizer, name, before)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("rho", 1.5, ValueError), ("rho", "x", TypeError), ("epsilon", -1, ValueError), ("momentum", None, TypeError),
        ("weight_decay", -1.0, ValueError), ("clipnorm", 0, ValueError), ("ema_overwrite_frequency", 0, ValueError),
        ("use_ema", 1, TypeError),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_and_the_old_one_stays(name, value, error):
    optimizer = RMSprop()
    before = getattr(optimizer, name)
    with pytest.raises(error, match=f"{name}="):
        setattr(optimizer, name, value)
    assert getattr(optimizer, name) == before


def test_a_second_clip_is_refused():
    optimizer = RMSprop(clipnorm=1.0)
    with pytest.raises(ValueError, match="at most one of"):
        optimizer.clipvalue = 1.0
    assert optimizer.clipvalue is None
    optimizer.clipnorm = None
    optimizer.clipvalue = 1.0


def test_momentum_may_change_between_two_numbers():
    optimizer, w = RMSprop(1.0, rho=1.0, epsilon=1.0, momentum=0.5), tf.Variable([0.0])
    optimizer.apply_gradients([(tf.constant([1.0]), w)])
    optimizer.momentum = 0.25
    optimizer.apply_gradients([(tf.constant([1.0]), w)])
    assert w.numpy() == -(1 + 1.25)


def test_attributes_show_in_the_config():
    optimizer = RMSprop()
    optimizer.rho = 0.5
    optimizer.weight_decay = numpy.float32(0.25)
    config = optimizer.get_config()
    assert (config["rho"], config["weight_decay"]) == (0.5, 0.25)
    assert RMSprop.from_config(config).rho == 0.5


OTHER_WORDS = {
    "alpha": "use rho", "eps": "use epsilon", "decay": "use rho", "nesterov": "momentum is plain",
    "clip_norm": "use clipnorm", "initial_velocity": "give initial_velocity to the constructor",
    "slot_dtype": "give slot_dtype to the constructor", "native": "give native to the constructor",
    "mesh": "give mesh to the constructor",
}  # fmt: skip


@pytest.mark.parametrize("word", OTHER_WORDS)
@pytest.mark.parametrize("built", [True, False])
def test_a_word_that_would_be_taken_and_ignored_is_refused(word, built):
    optimizer = RMSprop()
    if built:
        optimizer.build([tf.Variable(1.0)])
    with pytest.raises(AttributeError, match=rf"{word}.*{OTHER_WORDS[word]}"):
        setattr(optimizer, word, 0.5)
    assert not hasattr(optimizer, word)


def test_other_attributes_are_free():
    class Mine(RMSprop):
        decay = None  # a subclass may say what a word means

        def __init__(self):
            super().__init__(0.5)
            self.scale, self.decay = 2.0, 0.25
            self.kept = [tf.Variable(1.0)]

    optimizer = Mine()
    optimizer.note = "mine"
    assert (optimizer.scale, optimizer.decay, optimizer.note, optimizer.name) == (2.0, 0.25, "mine", "RMSprop")
    optimizer.lr = 0.125  # tf_keras's own alias
    assert optimizer.learning_rate.numpy() == optimizer.lr.numpy() == 0.125
    optimizer.jit_compile = False
