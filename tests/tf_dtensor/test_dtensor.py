"""DTensor on a mesh of four: the state is laid out as the variables are, and steps are those of one device."""

import cases
import meshes
import numpy
import pytest
import tensorflow as tf
import tf_keras

import rmsprop.schedules

EVERYTHING = {
    "learning_rate": 2.0**-7, "momentum": 0.9, "centered": True, "weight_decay": 2.0**-8, "global_clipnorm": 5.0,
    "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3,
}  # fmt: skip

# Measured: 2e-7 against one device, where our own kernels run, which round each operation; a graph may fuse some.
BOUND = 1e-6


# Those in which most options meet; DTensor takes seconds to compile one.
@pytest.mark.matrix(2)
@pytest.mark.parametrize("case", cases.PAIRWISE[1:5], ids=str)
def test_trajectory_is_that_of_one_device(case):
    given = meshes.gradients(8)
    found = meshes.path(meshes.OnMesh(meshes.ours, case.options), given, finalize=True)
    assert meshes.deviation(found, meshes.path(meshes.Alone(meshes.ours, case.options), given, finalize=True)) <= BOUND


def test_eager_trajectory_is_that_of_one_device():
    given = meshes.gradients(4)
    found = meshes.path(meshes.OnMesh(meshes.ours, EVERYTHING, graph=False), given, finalize=True)
    # Measured: 0, as nothing is fused.
    assert meshes.deviation(found, meshes.path(meshes.Alone(meshes.ours, EVERYTHING), given, finalize=True)) <= BOUND


@pytest.mark.parametrize(
    "options", [EVERYTHING, EVERYTHING | {"initial_velocity": 0.3, "slot_dtype": "float64"}], ids=["plain", "our own"]
)
def test_state_is_laid_out_as_the_variables(options):
    run = meshes.OnMesh(meshes.ours, options)
    run.step(meshes.gradients(1)[0])
    iterations, *state = run.optimizer.variables
    assert {type(one).__name__ for one in (iterations, *state)} == {"DVariable"}
    assert [meshes.cuts_of(one) for one in state] == 4 * list(meshes.CUTS.values())
    assert [meshes.cuts_of(one) for one in run.variables.values()] == list(meshes.CUTS.values())
    assert meshes.cuts_of(iterations) == ()
    assert {one.dtype.name for one in state} == {options.get("slot_dtype", "float32")}


def test_a_step_on_a_mesh_is_explained():
    run = meshes.OnMesh(meshes.ours, EVERYTHING)
    before = run.optimizer.explain(list(run.variables.values()))
    run.step(meshes.gradients(1)[0])
    assert run.optimizer.explain() == before
    assert {one.reason for one in before.variables.values()} == {"on a DTensor mesh"}
    assert {one.way for one in before.variables.values()} == {"traced"}


@pytest.mark.parametrize(
    ("dtype", "slot_dtype", "bound"),
    [
        ("bfloat16", "float32", BOUND), pytest.param("float16", None, BOUND, marks=pytest.mark.slow),
        pytest.param("float64", None, 1e-13, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_other_types_step_as_on_one_device(dtype, slot_dtype, bound):
    """Variables of half types are the same to the last bit; the bound is for the state that is kept in float32."""
    start = {name: tf.cast(one, dtype).numpy() for name, one in meshes.arrays().items()}
    options = EVERYTHING | {"slot_dtype": slot_dtype, "initial_velocity": 0.3}
    given = meshes.gradients(4)
    found = meshes.path(meshes.OnMesh(meshes.ours, options, start), given)
    assert {one.dtype for name, one in found.items() if name in start} == {start["number"].dtype}
    # Measured: 1.8e-7, 0 and 1.9e-16.
    assert meshes.deviation(found, meshes.path(meshes.Alone(meshes.ours, options, start), given)) <= bound


SCHEDULES = {
    "tf_keras's": tf_keras.optimizers.schedules.ExponentialDecay(2.0**-6, 2, 0.5),
    "ours": rmsprop.schedules.ExponentialDecay(2.0**-6, 2, 0.5),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_learning_rate_follows_a_schedule(name):
    given = meshes.gradients(5)
    options = {"learning_rate": SCHEDULES[name], "weight_decay": 2.0**-8, "clipnorm": 3.0}
    run = meshes.OnMesh(meshes.ours, options)
    assert meshes.deviation(meshes.path(run, given), meshes.path(meshes.Alone(meshes.ours, options), given)) <= BOUND
    assert float(meshes.fetch(run.optimizer.learning_rate)) == pytest.approx(2.0**-6 * 0.5**2.5, rel=1e-6)


def test_function_as_learning_rate_works_eagerly_and_is_refused_in_a_graph():
    given = meshes.gradients(3)
    options = {"learning_rate": lambda step: 2.0**-6 * 0.5 ** (step / 2)}
    eager = meshes.OnMesh(meshes.ours, options, graph=False)
    same = {"learning_rate": SCHEDULES["ours"]}
    assert meshes.deviation(meshes.path(eager, given), meshes.path(meshes.Alone(meshes.ours, same), given)) <= BOUND
    graph = meshes.OnMesh(meshes.ours, options)
    with pytest.raises(NotImplementedError, match="learning_rate=.*DTensor"):
        graph.step(given[0])


def test_learning_rate_is_read_by_each_step():
    run = meshes.OnMesh(meshes.ours, {"learning_rate": 0.5})
    run.optimizer.learning_rate = 0.0
    run.step(meshes.gradients(1)[0])
    for name, start in meshes.arrays().items():
        numpy.testing.assert_array_equal(meshes.fetch(run.variables[name]), start)


def test_variable_without_gradient_stays_as_it_is():
    run = meshes.OnMesh(meshes.ours, EVERYTHING, graph=False)
    left = "one axis/kernel"
    given = {name: meshes.place(one, meshes.CUTS[name]) for name, one in meshes.gradients(1)[0].items()}
    for _ in range(3):
        run.optimizer.apply_gradients([(None if name == left else given[name], v) for name, v in run.variables.items()])
    numpy.testing.assert_array_equal(meshes.fetch(run.variables[left]), meshes.arrays()[left])
    assert meshes.fetch(run.optimizer.iterations) == 3


def test_documentation_s_example_runs_on_a_mesh():
    variable = tf.experimental.dtensor.DVariable(meshes.place(numpy.float32(10), ()))
    optimizer = meshes.ours({"learning_rate": 0.1, "mesh": meshes.MESH})
    optimizer.minimize(lambda: variable**2 / 2.0, [variable])
    assert str(meshes.fetch(variable)) == "9.683772"


def test_shape_and_repetition_are_refused_before_anything_moves():
    run = meshes.OnMesh(meshes.ours, EVERYTHING)
    kernel, bias = run.variables["one axis/kernel"], run.variables["whole/bias"]
    gradient = meshes.place(numpy.ones((4, 3), numpy.float32), meshes.CUTS["one axis/kernel"])
    for pairs, match in (
        ([(gradient, kernel)] * 2, "given twice"),
        ([(gradient, bias)], r"shape \(4, 3\), not \(3,\)"),
    ):
        with pytest.raises(ValueError, match=match):
            run.optimizer.apply_gradients(pairs)
    for name, start in meshes.arrays().items():
        numpy.testing.assert_array_equal(meshes.fetch(run.variables[name]), start)
