"""Where centered is ill-conditioned: single steps from tf_keras's state, and that weights stay finite."""

import cases
import numpy
import original
import pytest
import runs
import tensorflow as tf
from reference import Reference
from rounding import step_from

STEPS = 400

#: Every so many steps one is compared, at other remainders of 7 and 100 each time.
EVERY = 9


@pytest.fixture(scope="module")
def original_paths():
    """What tf_keras does with each stream of gradients, desc -> path."""
    found = {}

    def path(case):
        if case.desc not in found:
            gradients = {"w": case.gradients(STEPS)}
            arrays = {"w": numpy.zeros(gradients["w"].shape[1], numpy.float32)}
            found[case.desc] = original.follow(*original.build(case.options, arrays), gradients)
        return found[case.desc]

    return path


@pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
@pytest.mark.parametrize("case", [case for case in cases.ILL_CONDITIONED if case.options["rho"]], ids=str)
@pytest.mark.matrix(6)
def test_single_steps_where_centered_is_ill_conditioned(case, native, original_paths):
    """From tf_keras's state our step is as near to tf_keras's as the roundings of the variance let them be."""
    theirs, gradients = original_paths(case), {"w": case.gradients(STEPS)}
    arrays = {"w": numpy.zeros(gradients["w"].shape[1], numpy.float32)}
    optimizer, variables = runs.build(case.options, arrays, native=native)
    slots = original.state(optimizer, variables)
    oracle = Reference(arrays, **case.options, scalars=numpy.float32)
    compared = 0
    for step in range(1, STEPS, EVERY):
        state, given = ({slot: cases.at(rows, step - 1) for slot, rows in theirs.items()}), cases.at(gradients, step)
        allowed = step_from(oracle, state, step, given, 2.0**-24)
        for slot, named in state.items():
            slots[slot]["w"].assign(named["w"])
        optimizer.apply_gradients([(tf.constant(given["w"]), variables["w"])])
        # Where a rounding can make the variance negative, tf_keras gives NaN or something large.
        sure = oracle.velocity["w"] - oracle.average_gradient["w"] ** 2 > 2.0**-20 * oracle.velocity["w"]
        sure &= numpy.isfinite(state["variables"]["w"])
        for slot, named in slots.items():
            # Measured up to 0.22 of this; the velocity and the average gradient are the same bits.
            difference = abs(named["w"].numpy()[sure].astype(numpy.float64) - theirs[slot]["w"][step][sure])
            assert (difference <= 2 * allowed[slot]["w"][sure]).all(), (step, slot)
        compared += sure.sum()
    assert compared > 50


@pytest.mark.parametrize("arguments", [{"native": True}, {"native": False}], ids=["native", "traced"])
def test_constant_gradients_stay_finite(arguments):
    """rho 0.95: tf_keras loses these three weights to NaN or inf after 262, 255 and 265 steps, we none in 1500."""
    case = next(case for case in cases.ILL_CONDITIONED if case.desc == "constant gradients, rho 0.95")
    gradients = {"w": case.gradients(1500)[:, :3]}
    path = runs.follow(*runs.build(case.options, {"w": numpy.zeros(3, numpy.float32)}, **arguments), gradients)
    assert numpy.isfinite(path["variables"]["w"]).all()
    assert (abs(numpy.diff(path["variables"]["w"], axis=0)) > 0).all()  # and they go on moving


@pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm", "clipvalue", None])
@pytest.mark.parametrize("bad", [numpy.inf, -numpy.inf, numpy.nan])
@pytest.mark.matrix(10)
def test_non_finite_gradients(clip, bad, native):
    """A non-finite global norm is NaN everywhere; clipnorm's stays in its variable, the others in their element."""
    options = {"learning_rate": 0.5, **({clip: 1.0} if clip else {})}
    arrays = {"a": numpy.ones(3), "b": numpy.ones(2)}
    gradients = {"a": numpy.array([[1, bad, 2]]), "b": numpy.array([[1.0, 2.0]])}
    mine = runs.follow(*runs.build(options, arrays, native=native), gradients, "function")
    theirs = runs.follow(*original.build(options, arrays), gradients, "function")
    for slot, named in theirs.items():
        for name, rows in named.items():
            # Measured 0 to 3e-16, in float64.
            numpy.testing.assert_allclose(mine[slot][name], rows, rtol=1e-14)
    assert numpy.isnan(mine["variables"]["b"]).all() == (clip == "global_clipnorm")


@pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_norms_beyond_float32(clip, native):
    """tf_keras squares in float32: from 1.8e19 on clipnorm steps by nothing, global_clipnorm by NaN."""
    options = {"learning_rate": 1.0, "rho": 1.0, "epsilon": 1.0, clip: 1.0}
    optimizer, variables = runs.build(options, {"w": numpy.ones(2, numpy.float32)}, native=native)
    optimizer.apply_gradients([(tf.constant([3e20, 4e20]), variables["w"])])
    numpy.testing.assert_allclose(variables["w"].numpy(), [0.4, 0.2], rtol=3e-7)  # measured 3e-8


@pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
def test_a_weight_decay_of_0_is_off(native):
    """In tf_keras inf - inf * 0 is NaN."""
    optimizer, variables = runs.build({"weight_decay": 0.0}, {"w": numpy.array([numpy.inf, -0.0])}, native=native)
    optimizer.apply_gradients([(tf.constant([1.0, 0.0], "float64"), variables["w"])])
    runs.assert_bits(variables["w"].numpy(), numpy.array([numpy.inf, -0.0]))


@pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
def test_no_epsilon_and_no_gradient_is_nan(native):
    optimizer, variables = runs.build({"epsilon": 0.0}, {"w": numpy.ones(2)}, native=native)
    optimizer.apply_gradients([(tf.constant([0.0, 2.0], "float64"), variables["w"])])
    assert numpy.isnan(variables["w"].numpy()).tolist() == [True, False]
