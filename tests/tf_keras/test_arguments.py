"""The constructor's arguments: order, defaults, refusals; and what the original takes silently."""

import inspect

import numpy
import pytest
import tensorflow as tf
import tf_keras
from cases import ERRORS

from rmsprop.tf_keras import RMSprop

#: What the documentation of tf_keras lists, in its order, but for `mesh`, which is a keyword there, too.
DOCUMENTED = {
    "learning_rate": 0.001, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False, "weight_decay": None,
    "clipnorm": None, "clipvalue": None, "global_clipnorm": None, "use_ema": False, "ema_momentum": 0.99,
    "ema_overwrite_frequency": 100, "jit_compile": True, "name": "RMSprop",
}  # fmt: skip
OURS = {"mesh": None, "initial_velocity": 0.0, "slot_dtype": None, "native": None}


def parameters(kind, of):
    return {p.name: p.default for p in inspect.signature(of).parameters.values() if p.kind is kind}


def test_arguments_have_the_documented_order_and_defaults():
    positional = parameters(inspect.Parameter.POSITIONAL_OR_KEYWORD, RMSprop)
    assert list(positional.items()) == list(DOCUMENTED.items())
    assert parameters(inspect.Parameter.KEYWORD_ONLY, RMSprop) == OURS
    theirs = parameters(inspect.Parameter.POSITIONAL_OR_KEYWORD, tf_keras.optimizers.RMSprop)
    assert list(theirs.items()) == list(DOCUMENTED.items())


@pytest.mark.parametrize("case", [case for case in ERRORS if "tf_keras" not in case.accepted_by], ids=str)
def test_a_bad_argument_is_named_quoted_and_explained(case):
    with pytest.raises(case.error, match=case.match) as caught:
        RMSprop(**case.options)
    assert type(caught.value) is case.error


@pytest.mark.parametrize("native", ["yes", 1, 0, "0"])
def test_native_is_a_truth_value(native):
    with pytest.raises(TypeError, match=rf"native={native!r} is not True, False or None"):
        RMSprop(native=native)


@pytest.mark.parametrize("value", ["2", "yes", ""])
def test_the_environment_variable_is_0_or_1(value, monkeypatch):
    monkeypatch.setenv("RMSPROP_NATIVE", value)
    w = tf.Variable([1.0, 2.0])
    optimizer = RMSprop(momentum=0.9)
    with pytest.raises(ValueError, match=rf"RMSPROP_NATIVE={value!r} is neither 0 nor 1"):
        optimizer.apply_gradients([(tf.ones(2), w)])
    assert w.numpy().tolist() == [1, 2]
    assert optimizer.iterations.numpy() == 0


def test_an_unknown_argument_lists_the_known_ones():
    with pytest.raises(TypeError, match="beta2=0.99.*learning_rate, rho, momentum, epsilon, centered"):
        RMSprop(beta2=0.99)


def test_the_ends_of_the_ranges_are_legal():
    RMSprop(0, 0, 0, 0, weight_decay=0, ema_momentum=0, initial_velocity=0)
    RMSprop(1e9, 1, 1, 1e9, weight_decay=1e9, ema_momentum=1, clipnorm=1e-300, ema_overwrite_frequency=1)


@pytest.mark.parametrize("value", [numpy.float32(0.5), numpy.array(0.5), tf.constant(0.5), tf.Variable(0.5)], ids=type)
def test_other_numbers_are_numbers(value):
    assert RMSprop(value).learning_rate.numpy() == 0.5
    if not tf.is_tensor(value):
        assert RMSprop(momentum=value, rho=value).get_config()["momentum"] == 0.5


def test_what_the_original_takes_and_we_refuse():
    """`lr` is logged and ignored, the others are used as they are: momentum 2.5 grows without end."""
    assert tf_keras.optimizers.RMSprop(lr=0.5).learning_rate.numpy() == numpy.float32(0.001)
    for bad in ({"momentum": -0.5}, {"rho": 7.0}, {"epsilon": -1.0}, {"learning_rate": -1.0}, {"clipnorm": -1.0}):
        tf_keras.optimizers.RMSprop(**bad)
        (name,) = bad
        with pytest.raises(ValueError, match=name):
            RMSprop(**bad)


def test_a_step_of_one_variable_is_refused():
    """A step takes all variables at once, so that overriding `update_step` would do nothing."""
    with pytest.raises(NotImplementedError, match="apply_gradients"):
        RMSprop().update_step(tf.ones(1), tf.Variable([1.0]))


def test_no_numba_without_a_native_step(loaded):
    """Importing the front end, and stepping by TensorFlow's operations, compiles nothing of ours."""
    source = """
        import sys, warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow as tf
        from rmsprop.tf_keras import RMSprop
        w = tf.Variable([1.0, 2.0])
        for jit_compile in (True, False):
            tf.function(RMSprop(native=False).apply_gradients)([(w, w)])
        assert w.numpy()[0] < 1
        print("numba" in sys.modules)
        RMSprop().apply_gradients([(w, w)])
        print("numba" in sys.modules)
    """
    assert loaded.run(source).split() == ["False", "True"]
