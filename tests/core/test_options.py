"""Arguments: defaults, checks, error texts, configs."""

import inspect
import json
import math
from dataclasses import fields

import numpy
import pytest
from cases import ERRORS, TABLE

import rmsprop
from rmsprop import schedules
from rmsprop._core.options import Options

DOCUMENTED = {
    "learning_rate": 0.001, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False, "weight_decay": None,
    "clipnorm": None, "clipvalue": None, "global_clipnorm": None, "use_ema": False, "ema_momentum": 0.99,
    "ema_overwrite_frequency": 100, "jit_compile": True, "name": "RMSprop",
}  # fmt: skip
OURS = {"initial_velocity": 0.0, "slot_dtype": None}


def test_arguments_have_the_documented_order_and_defaults():
    parameters = list(inspect.signature(rmsprop.RMSprop).parameters.values())
    positional = {p.name: p.default for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
    keyword = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert list(positional.items()) == list(DOCUMENTED.items())
    assert keyword == OURS | {"native": None}
    assert {field.name: field.default for field in fields(Options)} == DOCUMENTED | OURS


@pytest.mark.parametrize("case", ERRORS, ids=str)
def test_a_bad_argument_is_named_quoted_and_explained(case):
    with pytest.raises(case.error, match=case.match) as caught:
        rmsprop.RMSprop(**case.options)
    assert type(caught.value) is case.error


def test_an_unknown_argument_lists_the_known_ones():
    with pytest.raises(TypeError, match="beta2=0.99.*learning_rate, rho, momentum, epsilon, centered"):
        rmsprop.RMSprop(beta2=0.99)


@pytest.mark.parametrize("value", [numpy.float32(0.5), numpy.array(0.5), numpy.float64(0.5)])
def test_numpy_numbers_are_numbers(value):
    config = rmsprop.RMSprop(learning_rate=value, momentum=value).get_config()
    assert json.loads(json.dumps(config))["momentum"] == 0.5


def test_the_ends_of_the_ranges_are_legal():
    rmsprop.RMSprop(0, 0, 0, 0, weight_decay=0, ema_momentum=0, initial_velocity=0)
    rmsprop.RMSprop(1e9, 1, 1, 1e9, weight_decay=1e9, ema_momentum=1, clipnorm=1e-300, ema_overwrite_frequency=1)


@pytest.mark.parametrize("case", [case for case in TABLE if not callable(case.options["learning_rate"])], ids=str)
def test_the_config_goes_through_json_and_back(case):
    optimizer = rmsprop.RMSprop(**case.options)
    config = json.loads(json.dumps(optimizer.get_config()))
    assert rmsprop.RMSprop.from_config(config).get_config() == config
    assert config.keys() == (DOCUMENTED | OURS).keys()


def test_schedules_go_through_json_and_back():
    rate = schedules.CosineDecay(0.1, 100, warmup_target=0.2, warmup_steps=10)
    config = json.loads(json.dumps(rmsprop.RMSprop(rate).get_config()))
    again = rmsprop.RMSprop.from_config(config)
    assert again.get_config() == config
    assert [again.learning_rate] == [rate(0)]


def test_own_schedules_go_through_json_and_back():
    class Halving(schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.5**step

        def get_config(self):
            return {}

    config = json.loads(json.dumps(rmsprop.RMSprop(Halving()).get_config()))
    again = rmsprop.RMSprop.from_config(config, custom_objects={"Halving": Halving})
    again.iterations = 3
    assert again.learning_rate == 0.125


def test_a_plain_function_has_no_config():
    with pytest.raises(ValueError, match=r"learning_rate=<function.*LearningRateSchedule"):
        rmsprop.RMSprop(lambda step: 0.1).get_config()


def test_a_config_that_tf_keras_wrote_is_read():
    config = {
        "name": "RMSprop", "weight_decay": None, "clipnorm": 0, "global_clipnorm": None, "clipvalue": -1.0,
        "use_ema": False, "ema_momentum": 0.99, "ema_overwrite_frequency": 100, "jit_compile": False,
        "is_legacy_optimizer": False, "learning_rate": 0.5, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-07,
        "centered": True,
    }  # fmt: skip
    found = rmsprop.RMSprop.from_config(config).get_config()
    assert (found["clipnorm"], found["clipvalue"], found["learning_rate"]) == (None, None, 0.5)
    assert found["jit_compile"] is True  # tf_keras writes False wherever there is no GPU


def test_a_config_with_an_unknown_entry_is_refused():
    with pytest.raises(TypeError, match="no argument decay=0"):
        rmsprop.RMSprop.from_config({"decay": 0})


def test_the_learning_rate_is_live():
    optimizer = rmsprop.RMSprop(0.5)
    optimizer.learning_rate = 0.25
    assert (optimizer.learning_rate, optimizer.get_config()["learning_rate"]) == (0.25, 0.25)
    with pytest.raises(ValueError, match="learning_rate=-1"):
        optimizer.learning_rate = -1
    assert optimizer.learning_rate == 0.25


def test_a_schedule_rules_until_another_replaces_it():
    optimizer = rmsprop.RMSprop(0.5)
    optimizer.learning_rate = schedules.ExponentialDecay(0.1, 1, 0.5)
    optimizer.iterations = 2
    assert optimizer.learning_rate == 0.025
    with pytest.raises(TypeError, match=r"learning_rate=0\.1 cannot be set.*ExponentialDecay"):
        optimizer.learning_rate = 0.1
    optimizer.learning_rate = lambda: 0.75
    assert optimizer.learning_rate == 0.75


@pytest.mark.parametrize("function", [lambda step=0: 0.1, lambda lr=0.1: lr, lambda a=1, b=2: 0.1])
def test_a_function_that_may_be_called_either_way_is_refused(function):
    with pytest.raises(TypeError, match=r"learning_rate=<function .*with the step or with nothing"):
        rmsprop.RMSprop(function)


def test_functions_with_further_parameters_get_the_step():
    for function in (lambda step, base=0.5: base + step, lambda *steps: 0.5 + steps[0], math.exp2):
        optimizer = rmsprop.RMSprop(function)
        optimizer.iterations = 2
        assert optimizer.learning_rate == function(2)
    assert rmsprop.RMSprop(lambda *, lr=0.25: lr).learning_rate == 0.25


def test_functions_of_the_step_and_of_nothing_are_called_at_every_step():
    seen = []
    w, rates = numpy.zeros(1), iter([1.0, 2.0])
    of_step = rmsprop.RMSprop(lambda step: seen.append(step) or 0.5, rho=1.0, epsilon=1.0)
    of_nothing = rmsprop.RMSprop(lambda: next(rates), rho=1.0, epsilon=1.0)
    for _ in range(2):
        of_step.apply_gradients([(numpy.ones(1), w)])
        of_nothing.apply_gradients([(numpy.ones(1), w)])
    assert seen == [0, 1]
    assert w == -(0.5 + 1.0 + 0.5 + 2.0)


@pytest.mark.parametrize(
    ("value", "error"),
    [(-0.5, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), ("x", TypeError), (None, TypeError)],
)
def test_what_a_function_returns_is_checked_before_anything_changes(value, error):
    w = numpy.ones(1)
    optimizer = rmsprop.RMSprop(lambda step: value)
    optimizer.iterations = 17
    with pytest.raises(error, match=rf"learning_rate\(17\)={value!r} is not a"):
        optimizer.apply_gradients([(numpy.ones(1), w)])
    assert (w, optimizer.iterations) == (1, 17)


@pytest.mark.parametrize("value", [-1, 1.5, True, "3", None, 2**63])
def test_iterations_are_whole_numbers(value):
    optimizer = rmsprop.RMSprop()
    with pytest.raises(ValueError, match="iterations="):
        optimizer.iterations = value


def test_the_repr_shows_what_was_given():
    assert repr(rmsprop.RMSprop(rho=0.5, centered=True)) == "RMSprop(rho=0.5, centered=True)"
    assert repr(rmsprop.RMSprop(0.001, 0.9, jit_compile=True, ema_overwrite_frequency=None)) == (
        "RMSprop(ema_overwrite_frequency=None)"
    )
    assert repr(rmsprop.RMSprop(schedules.PolynomialDecay(0.5, 10, cycle=True), weight_decay=0, name="n")) == (
        "RMSprop(learning_rate=PolynomialDecay(initial_learning_rate=0.5, decay_steps=10, cycle=True), "
        "weight_decay=0.0, name='n')"
    )
