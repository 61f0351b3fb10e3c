"""Mistakes that many make: the error names them and the remedy, and nothing has changed."""

import numpy
import pytest
from arrays import numbers

from rmsprop import RMSprop, RowSparse


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"decay": 0.9}, "decay=0.9: use rho if .*TensorFlow 1 and optax.* old decay .*InverseTimeDecay.*weight_decay"),
        ({"max_grad_norm": 0.5}, "max_grad_norm=0.5: use global_clipnorm"),
        ({"ema_decay": 0.9}, "ema_decay=0.9: use ema_momentum"),
        ({"momentun": 0.9}, r"momentun=0.9: did you mean momentum\? the arguments are learning_rate, rho"),
        ({"learningrate": 0.9}, r"learningrate=0.9: did you mean learning_rate\?"),
        ({"kwargs": {"rho": 0.5}}, r"kwargs=\{'rho': 0\.5\}: the arguments are"),
        ({"kwargs": None}, "kwargs=None: the arguments are"),
        ({"maximize": True}, "maximize=True: the arguments are learning_rate, .*, initial_velocity, slot_dtype, native$"),
    ],
    ids=str,
)
def test_words(words, match):
    with pytest.raises(TypeError, match=f"RMSprop has no argument {match}"):
        RMSprop(**words)
    with pytest.raises(TypeError, match=f"RMSprop has no argument {match}"):
        RMSprop.from_config(words)


def test_swapped_pairs_of_an_optimizer_that_is_built():
    w, g = numbers(3), numbers(3, seed=1)
    optimizer = RMSprop()
    optimizer.build([w])
    with pytest.raises(TypeError, match=r"\(variable, gradient\) at place 0: the gradient comes first"):
        optimizer.apply_gradients([(w, g)])
    numpy.testing.assert_array_equal(g, numbers(3, seed=1))
    with pytest.raises(ValueError, match="is not among those"):
        optimizer.apply_gradients([(g, g)])


@pytest.mark.parametrize("gradient", [None, RowSparse([0], [1.0], (3,))], ids=["None", "rows"])
def test_swapped_pairs_of_a_first_step(gradient):
    with pytest.raises(TypeError, match=r"\(variable, gradient\) at place 0"):
        RMSprop().apply_gradients([(numbers(3), gradient)])


class Model:
    trainable_weights = ()

    def __call__(self, inputs):
        return inputs


class Schedule:
    trainable_variables = ()

    def parameters(self):
        return [0.25]

    def __call__(self, step):
        return 0.25 / (1 + step)


def test_a_schedule_is_no_model_by_the_names_of_its_attributes():
    assert RMSprop(Schedule()).learning_rate == 0.25


@pytest.mark.parametrize("value", [Model(), [numbers(3)], iter([numbers(3)])], ids=["a model", "a list", "a generator"])
def test_variables_are_no_learning_rate(value):
    with pytest.raises(TypeError, match=r"learning_rate=.*: variables and their gradients come with each step"):
        RMSprop(value)


@pytest.mark.parametrize(
    ("package", "owner"),
    [
        ("torch.nn.parameter", r"rmsprop\.torch\.RMSprop steps torch's tensors"),
        ("jaxlib._jax", r"rmsprop\.jax\.RMSprop steps JAX's arrays"),
        ("tensorflow.python.ops", r"rmsprop\.tf_keras\.RMSprop steps TensorFlow's variables"),
        ("keras.src.backend", r"rmsprop\.keras\.RMSprop steps Keras 3's variables"),
    ],
)
def test_arrays_of_other_libraries_name_their_front_end(package, owner):
    """Known by the packages of their classes, none of which is loaded here."""
    theirs = type("Theirs", (), {"__module__": package})
    for one in (theirs(), type("Derived", (theirs,), {"__module__": "users"})()):
        with pytest.raises(
            TypeError, match=f"variable '0' is a .*, not an array that can be updated in place: {owner}"
        ):
            RMSprop().build([one])


def test_a_gradient_that_numpy_cannot_read():
    class Differentiated:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("Use tensor.detach().numpy() instead.")

    w = numbers(3)
    with pytest.raises(TypeError, match=r"the gradient of variable '0' is not to be read by NumPy: .*detach"):
        RMSprop().apply_gradients([(Differentiated(), w)])
