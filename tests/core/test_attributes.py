"""What may be assigned to an optimizer, and how an assignment that would never be read is refused."""

import copy
import pickle

import numpy
import pytest

from rmsprop import RMSprop

WORDS = {
    "lr": "use learning_rate", "alpha": "use rho", "decay_rate": "use rho", "beta": "use rho", "eps": "use epsilon",
    "decay": "use rho", "l2": "use weight_decay", "nesterov": "momentum is plain", "clip_norm": "use clipnorm",
    "initial_scale": "use initial_velocity", "clip_value": "use clipvalue", "global_clip_norm": "use global_clipnorm",
    "max_grad_norm": "use global_clipnorm", "ema_decay": "use ema_momentum",
}  # fmt: skip
OPTIONS = (
    "rho", "momentum", "epsilon", "centered", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema",
    "ema_momentum", "ema_overwrite_frequency", "jit_compile", "initial_velocity", "slot_dtype",
)  # fmt: skip


@pytest.fixture(params=["new", "stepped", "copied", "unpickled"])
def optimizer(request):
    made, w = RMSprop(0.5, jit_compile=False), numpy.ones(3)
    if request.param != "new":
        made.apply_gradients([(numpy.ones(3), w)])
    if request.param == "copied":
        made, w = copy.deepcopy((made, w))
    if request.param == "unpickled":
        made, w = pickle.loads(pickle.dumps((made, w)))
    return made


@pytest.mark.parametrize(("name", "advice"), WORDS.items())
def test_another_librarys_word_names_the_right_one(optimizer, name, advice):
    with pytest.raises(AttributeError, match=f"{name}.*0.25.*{advice}"):
        setattr(optimizer, name, 0.25)
    assert not hasattr(optimizer, name)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_names_the_constructor(optimizer, name):
    before = optimizer.get_config()
    with pytest.raises(AttributeError, match=f"{name}=0.25 cannot be assigned: give {name} to the constructor"):
        setattr(optimizer, name, 0.25)
    assert not hasattr(optimizer, name)
    assert optimizer.get_config() == before


@pytest.mark.parametrize("name", ["learningrate", "iteration", "step_count", "name", "variable"])
def test_any_other_attribute_is_refused(optimizer, name):
    with pytest.raises(AttributeError, match=f"'{name}'.*learning_rate and iterations are what may be assigned"):
        setattr(optimizer, name, 1)


def test_what_may_be_read_alone_is_refused(optimizer):
    with pytest.raises(AttributeError, match="variables"):
        optimizer.variables = {}


def test_learning_rate_and_iterations_are_assigned(optimizer):
    optimizer.learning_rate = 0.125
    optimizer.iterations = 7
    assert (optimizer.learning_rate, optimizer.iterations) == (0.125, 7)
    assert optimizer.get_config()["learning_rate"] == 0.125


def test_a_method_may_be_wrapped(optimizer):
    """As profilers do; such an attribute is used, unlike those above."""
    optimizer.build = lambda variables: "wrapped"
    assert optimizer.build([]) == "wrapped"
