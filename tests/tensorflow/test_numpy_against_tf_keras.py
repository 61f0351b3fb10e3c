"""`rmsprop.RMSprop` on NumPy arrays against `tf_keras.optimizers.RMSprop`: the table, then what is documented.

The float16 and bfloat16 arrays, which tf_keras computes in their own precision, are compared with the oracle in
`tests/core/test_against_oracle.py`.
"""

import json

import cases
import numpy
import original
import ours
import pytest
import tensorflow as tf
import tf_keras
from reference import Reference
from rounding import step_from

import rmsprop
from rmsprop import RMSprop, RowSparse

# Over 300 steps, relative to the largest element of the tensor; `pytest -s` prints each set of options.
# float32: measured up to 6.8e-7 (momentum-centered-global_clipnorm-ema7), plain 2.3e-7: tf_keras multiplies by rsqrt,
# which differs from a division by sqrt by an ulp or two of the increment, and that makes w, otherwise rounded alike,
# fall on the neighbour now and then.
# float64: measured up to 2.4e-15 (the average of momentum-centered-ema7), for the same reason.
BOUNDS = {"float32": 1e-6, "float64": 1e-13}

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(scope="module")
def deviations():
    """Collects the largest deviations and prints them at the end."""
    found = {}
    yield found
    print("\nlargest deviation from tf_keras over 300 steps, relative to max|w|")
    for case, row in found.items():
        print(f"{case:44}", *(f"{dtype} {value:.1e}" for dtype, value in row.items()), sep="  ")
    for dtype in BOUNDS:
        print(f"largest, {dtype}: {max(row.get(dtype, 0) for row in found.values()):.1e}")


@pytest.mark.parametrize(("case", "dtype"), original.ROWS, ids=str)
@pytest.mark.matrix(4)
def test_trajectory(case, dtype, deviations, record_property):
    """Variables and state after each of 300 steps."""
    theirs, path = original.path(case, dtype), ours.path(case.options, dtype, original.STEPS)
    assert path.keys() == theirs.keys()
    found = {slot: cases.deviation(path[slot], theirs[slot]) for slot in theirs}
    deviations.setdefault(case.desc, {})[dtype] = found["variables"]
    record_property("deviation", found)
    assert max(found.values()) <= BOUNDS[dtype], found


@dtypes
@pytest.mark.parametrize("desc", [
    "centered", "centered-ema7", "centered-clipnorm", "centered-global_clipnorm", "momentum-centered",
    "momentum-centered-decay-global_clipnorm-ema7",
])  # fmt: skip
@pytest.mark.matrix(4)
def test_trajectory_with_little_spread(desc, dtype, record_property):
    """Centered, gradients whose standard deviation is a tenth of their mean: the least that is compared over steps.

    A variance of a hundredth of the velocity loses two digits, to tf_keras as to us. The clips by norm show it, because
    tf_keras rounds a clipped gradient twice and we once. clipvalue would make such gradients constant, see below.
    """
    options = next(case.options for case in cases.COMBINATIONS if case.desc == desc)
    gradients = cases.gradients(original.STEPS, dtype, spread=0.1)
    theirs = original.follow(*original.build(options, cases.variables(dtype)), gradients)["variables"]
    arrays = cases.variables(dtype)
    optimizer = ours.build(options, arrays)
    path = cases.follow(lambda given: ours.step(optimizer, arrays, given), lambda: arrays, gradients)
    found = cases.deviation(path, theirs)
    record_property("deviation", found)
    # Measured up to 4.2e-7 and 9.9e-16; 2.1e-6 and 4.7e-15 with a clip by norm.
    assert found <= (5e-6 if "clip" in desc and dtype == "float32" else BOUNDS[dtype])


@pytest.mark.parametrize("case", [case for case in cases.ILL_CONDITIONED if case.options["rho"]], ids=str)
def test_single_steps_where_centered_is_ill_conditioned(case):
    """From tf_keras's state our step is as near to tf_keras's as the roundings of the variance let them be."""
    steps = 400
    gradients = {"w": case.gradients(steps)}
    arrays = {"w": numpy.zeros(gradients["w"].shape[1], numpy.float32)}
    theirs = original.follow(*original.build(case.options, arrays), gradients)
    optimizer = ours.build(case.options, arrays)
    slots = ours.state(optimizer, arrays)
    oracle = Reference(arrays, **case.options, scalars=numpy.float32)
    compared = 0
    for step in range(1, steps):
        state, given = ({slot: cases.at(rows, step - 1) for slot, rows in theirs.items()}), cases.at(gradients, step)
        allowed = step_from(oracle, state, step, given, 2.0**-24)
        for slot, named in state.items():
            slots[slot]["w"][...] = named["w"]
        ours.step(optimizer, arrays, given)
        # Where a rounding can make the variance negative, tf_keras gives NaN or something large.
        sure = oracle.velocity["w"] - oracle.average_gradient["w"] ** 2 > 2.0**-20 * oracle.velocity["w"]
        sure &= numpy.isfinite(state["variables"]["w"])
        for slot, named in slots.items():
            # Measured up to 0.22 of this; the velocity and the average gradient are the same bits.
            difference = abs(named["w"][sure].astype(numpy.float64) - theirs[slot]["w"][step][sure])
            assert (difference <= 2 * allowed[slot]["w"][sure]).all(), (step, slot)
        compared += sure.sum()
    assert compared > 500


def test_constant_gradients_stay_finite():
    """rho 0.95: tf_keras loses these three weights to NaN or inf after 262, 255 and 265 steps, we none in 1500."""
    case = next(case for case in cases.ILL_CONDITIONED if case.desc == "constant gradients, rho 0.95")
    gradients = {"w": case.gradients(1500)[:, :3]}
    arrays = {"w": numpy.zeros(3, numpy.float32)}
    lost = ~numpy.isfinite(original.follow(*original.build(case.options, arrays), gradients)["variables"]["w"])
    assert lost.any(0).all()
    assert 200 < lost.any(1).argmax() < 300
    optimizer = ours.build(case.options, arrays)
    path = cases.follow(lambda given: ours.step(optimizer, arrays, given), lambda: arrays, gradients)["w"]
    assert numpy.isfinite(path).all()
    numpy.testing.assert_array_equal(abs(numpy.diff(path, axis=0)) > 0, True)  # and they go on moving


# One by one: the lines of docs/how/deviations.md ----------------------------------------------------------------------


def tensors(*values, dtype="float64"):
    return [tf.Variable(numpy.array(value, dtype)) for value in values]


def arrays_like(variables):
    return [variable.numpy().copy() if variable.shape.rank else numpy.array(variable.numpy()) for variable in variables]


def both(options, start, *gradients, dtype="float64"):
    """Do the same steps with both; their variables, our arrays, and the optimizers."""
    variables = tensors(*start, dtype=dtype)
    arrays = arrays_like(variables)
    theirs, mine = tf_keras.optimizers.RMSprop(**options), RMSprop(**options)
    mine.build(arrays)
    theirs.build(variables)
    for given in gradients:
        converted = [None if one is None else numpy.array(one, dtype) for one in given]
        done = theirs.apply_gradients(
            [(None if one is None else tf.constant(one), w) for one, w in zip(converted, variables, strict=True)]
        )
        assert mine.apply_gradients(zip(converted, arrays, strict=True)) == done.numpy()
    return [variable.numpy() for variable in variables], arrays, theirs, mine


def assert_near(theirs, mine):
    for value, array in zip(theirs, mine, strict=True):
        # Measured 0 to 3e-16, in float64.
        numpy.testing.assert_allclose(array, value, rtol=1e-14, atol=0)


def test_the_number_to_remember():
    theirs, mine, _, _ = both({"learning_rate": 0.1}, [10.0], [10.0], dtype="float32")
    assert f"{theirs[0]:.6f}" == f"{mine[0]:.6f}" == "9.683772"


@pytest.mark.parametrize("winner", ["clipnorm", "global_clipnorm"])
def test_two_clips(winner):
    """tf_keras silently lets a norm win over clipvalue."""
    options = {"learning_rate": 0.5, winner: 0.125}
    one, _, _, _ = both(options, [[1.0, 1.0]], [[3.0, 4.0]])
    variable = tf.Variable(numpy.ones(2))
    tf_keras.optimizers.RMSprop(**options, clipvalue=1e-9).apply_gradients(
        [(tf.constant([3.0, 4.0], "float64"), variable)]
    )
    numpy.testing.assert_array_equal(variable, one[0])
    with pytest.raises(ValueError, match=winner):
        RMSprop(**options, clipvalue=1e-9)


@pytest.mark.parametrize("clip", ["clipnorm", "clipvalue", "global_clipnorm"])
@pytest.mark.parametrize("limit", [0, -1.0])
def test_a_clip_of_0_or_below(clip, limit):
    """No clip to tf_keras, refused by us, read as None from a config."""
    original_ = tf_keras.optimizers.RMSprop(0.5, **{clip: limit})
    unclipped, mine, _, _ = both({"learning_rate": 0.5}, [[1.0, 1.0]], [[3.0, 4.0]])
    variable = tf.Variable(numpy.ones(2))
    original_.apply_gradients([(tf.constant([3.0, 4.0], "float64"), variable)])
    numpy.testing.assert_array_equal(variable, unclipped[0])
    with pytest.raises(ValueError, match=clip):
        RMSprop(**{clip: limit})
    read = RMSprop.from_config(original_.get_config())
    assert read.get_config()[clip] is None
    array = numpy.ones(2)
    read.apply_gradients([(numpy.array([3.0, 4.0]), array)])
    numpy.testing.assert_array_equal(array, mine[0])


def test_clipnorm_of_gradients_within_the_limit():
    """tf_keras computes v * c / max(n, c), which is not v: 91 of these 1000 differ, by an ulp; ours none."""
    given = numpy.random.default_rng(0).normal(size=1000).astype(numpy.float32)  # norm 31
    options = {"learning_rate": 1.0, "rho": 1.0, "epsilon": 1.0, "clipnorm": 77.7}
    theirs, mine, _, _ = both(options, [numpy.zeros(1000)], [given], dtype="float32")
    numpy.testing.assert_array_equal(mine[0], -given)
    ulps = abs(theirs[0] + given) / numpy.spacing(abs(given))
    assert 1 <= ulps.max() <= 3  # 3 on processors with AVX-512, whose roots TensorFlow approximates
    assert (ulps > 0).sum() > 50


def sparse_step(options, indices, values, dense):
    """One sparse step of both, and our dense one; three variables."""
    variable, mine, mine_dense = tf.Variable(numpy.ones(dense.shape)), numpy.ones(dense.shape), numpy.ones(dense.shape)
    optimizer = tf_keras.optimizers.RMSprop(**options)
    slices = tf.IndexedSlices(tf.constant(values, "float64"), tf.constant(indices), dense.shape)
    for _ in range(2):
        optimizer.apply_gradients([(slices, variable)])
    for array, gradient in ((mine, RowSparse(indices, numpy.array(values), dense.shape)), (mine_dense, dense)):
        optimizer = RMSprop(**options)
        for _ in range(2):
            optimizer.apply_gradients([(gradient, array)])
    return variable.numpy(), mine, mine_dense


def test_duplicate_rows_are_summed_before_they_are_clipped():
    """[3] and [3] on a row under a clipvalue of 2 are 2, as dense; tf_keras clips each and comes to 4."""
    dense = numpy.array([[0.0], [6.0], [0.0]])
    options = {"learning_rate": 1.0, "rho": 1.0, "epsilon": 1.0, "clipvalue": 2.0}
    theirs, mine, mine_dense = sparse_step(options, [1, 1], [[3.0], [3.0]], dense)
    numpy.testing.assert_array_equal(mine, mine_dense)
    numpy.testing.assert_array_equal(mine, [[1], [1 - 2 * 2], [1]])
    numpy.testing.assert_array_equal(theirs, [[1], [1 - 2 * 4], [1]])


@pytest.mark.parametrize("desc", ["plain", "momentum", "centered", "decay-ema7", "momentum-centered-decay-ema7"])
def test_sparse_gradients_are_not_lazy(desc):
    """Rows without a gradient decay, move on by their momentum and are averaged: as dense, in tf_keras as well."""
    dense = numpy.array([[0.0, 0.0], [6.0, -1.0], [0.5, 2.0]])
    options = next(case.options for case in cases.COMBINATIONS if case.desc == desc)
    theirs, mine, mine_dense = sparse_step(options, [2, 1, 1], [[0.5, 2.0], [3.0, -2.0], [3.0, 1.0]], dense)
    numpy.testing.assert_array_equal(mine, mine_dense)
    assert_near([theirs], [mine])


def test_lr_is_no_argument():
    """tf_keras accepts, logs and ignores it."""
    assert float(tf_keras.optimizers.RMSprop(lr=0.5).learning_rate) == numpy.float32(0.001)
    with pytest.raises(TypeError, match="learning_rate"):
        RMSprop(lr=0.5)


def test_scalars_are_not_rounded_to_float32():
    """In tf_keras a learning rate of 0.1 and a decay of 0.004 are float32 even for float64 variables."""
    options = {"learning_rate": 0.1, "weight_decay": 0.004}
    theirs, mine, _, _ = both(options, [[3.0]], [[2.0]])
    double, single = (
        Reference({"w": [3.0]}, learning_rate=float(cast(0.1)), weight_decay=float(cast(0.004)))
        for cast in (numpy.float64, numpy.float32)
    )
    for oracle in (double, single):
        oracle.step({"w": [2.0]})
    numpy.testing.assert_array_equal(mine[0], double.variables["w"])
    numpy.testing.assert_allclose(theirs[0], single.variables["w"], rtol=1e-15)  # measured 0
    assert 1e-10 < abs(mine[0] - theirs[0]) < 1e-8


def test_complements_are_taken_in_double():
    """1 - 0.99 is rounded to float32 once; taken in float32 it would be off by 1e-6 of itself."""
    options = {"learning_rate": 1.0, "rho": 0.99, "use_ema": True, "ema_momentum": 0.99}
    theirs, mine, optimizer, own = both(options, [[0.0]], [[1.0]], dtype="float32")
    complement = numpy.float32(1 - 0.99)
    assert own.variables["velocity/0"] == optimizer._velocities[0].numpy() == complement
    assert own.variables["average/0"] == complement * mine[0]
    assert optimizer._model_variables_moving_average[0].numpy() == complement * theirs[0]


def test_the_config_is_json():
    """tf_keras's learning rate there is a numpy.float32."""
    with pytest.raises(TypeError, match="JSON"):
        json.dumps(tf_keras.optimizers.RMSprop(0.5).get_config())
    config = RMSprop(0.5).get_config()
    assert RMSprop.from_config(json.loads(json.dumps(config))).get_config() == config
    assert type(config["learning_rate"]) is float


def test_configs_have_the_same_entries():
    """But those that only ours has; and each reads the other's."""
    options = {"learning_rate": 0.5, "rho": 0.8, "momentum": 0.7, "epsilon": 1e-3, "centered": True, "clipvalue": 2.0,
               "weight_decay": 0.25, "use_ema": True, "ema_momentum": 0.75, "ema_overwrite_frequency": 3}  # fmt: skip
    theirs, mine = tf_keras.optimizers.RMSprop(**options).get_config(), RMSprop(**options).get_config()
    only_theirs = theirs.keys() - mine.keys()
    assert only_theirs <= {"is_legacy_optimizer"}
    assert mine.keys() - theirs.keys() == {"initial_velocity", "slot_dtype"}
    # Without a GPU theirs says that it does not compile, whatever was asked for; ours does not believe it.
    assert RMSprop.from_config(theirs).get_config() == mine


def test_a_plain_function_is_called_at_every_step():
    """tf_keras calls it once, at construction."""
    calls = []

    def rate():
        calls.append(len(calls))
        return 0.5

    theirs, mine = tf_keras.optimizers.RMSprop(rate), None
    variable, array = tf.Variable(numpy.ones(1)), numpy.ones(1)
    for _ in range(3):
        theirs.apply_gradients([(tf.constant([1.0], "float64"), variable)])
    assert len(calls) == 1
    steps = []
    mine = RMSprop(lambda step: steps.append(step) or 0.5)
    for _ in range(3):
        mine.apply_gradients([(numpy.ones(1), array)])
    assert steps == [0, 1, 2]
    assert_near([variable.numpy()], [array])


@pytest.mark.parametrize(
    ("argument", "value"),
    [("momentum", 2.5), ("momentum", -0.5), ("rho", 7), ("epsilon", -1), ("learning_rate", -1), ("ema_momentum", 9),
     ("ema_overwrite_frequency", 0), ("ema_overwrite_frequency", True), ("weight_decay", -1)],
)  # fmt: skip
def test_numbers_that_tf_keras_takes_without_a_word(argument, value):
    tf_keras.optimizers.RMSprop(**{argument: value})
    with pytest.raises((ValueError, TypeError), match=argument):
        RMSprop(**{argument: value})


def test_the_default_of_ema_overwrite_frequency():
    """100, though tf_keras's docstring says None."""
    assert tf_keras.optimizers.RMSprop().ema_overwrite_frequency == 100
    assert RMSprop().get_config()["ema_overwrite_frequency"] == 100


def test_defaults_are_the_same():
    theirs = tf_keras.optimizers.RMSprop().get_config()
    mine = RMSprop().get_config()
    for name in mine.keys() & theirs.keys() - {"learning_rate", "jit_compile"}:
        assert mine[name] == theirs[name], name
    assert numpy.float32(mine["learning_rate"]) == theirs["learning_rate"]


def test_the_average_starts_at_the_initial_value():
    options = {"learning_rate": 0.125, "rho": 1.0, "epsilon": 1.0, "use_ema": True, "ema_momentum": 0.9}
    theirs, mine, optimizer, own = both(options, [[1.0]], [[0.8]])
    assert theirs[0] == mine[0] == 0.9
    assert_near([optimizer._model_variables_moving_average[0].numpy()], [own.variables["average/0"]])
    assert own.variables["average/0"] == pytest.approx(0.99, rel=1e-15)


def test_a_variable_without_gradient_is_left_out_of_everything():
    options = {
        "learning_rate": 0.5,
        "weight_decay": 0.5,
        "use_ema": True,
        "ema_overwrite_frequency": 2,
        "momentum": 0.5,
    }
    start, first, second = ([1.0, 2.0], [3.0, 4.0]), ([1.0, 2.0], [3.0, 4.0]), ([2.0, -1.0], None)
    _, before, _, _ = both(options, start, first)
    with pytest.warns(UserWarning, match=r"\b1\b"):
        theirs, mine, optimizer, own = both(options, start, first, second)
    assert_near(theirs, mine)
    numpy.testing.assert_array_equal(mine[1], before[1])
    slots = ("_model_variables_moving_average", "_velocities", "_momentums")
    for slot, named in zip(slots, ("average", "velocity", "momentum"), strict=True):
        assert_near([one.numpy() for one in getattr(optimizer, slot)], [own.variables[f"{named}/{i}"] for i in (0, 1)])


def test_no_gradient_at_all():
    """All None: ValueError; an empty list: nothing."""
    variable, array = tf.Variable([1.0]), numpy.ones(1)
    theirs, mine = tf_keras.optimizers.RMSprop(), RMSprop()
    with pytest.raises(ValueError, match="No gradients"):
        theirs.apply_gradients([(None, variable)])
    with pytest.raises(ValueError, match="gradient"):
        mine.apply_gradients([(None, array)])
    assert theirs.apply_gradients([]).numpy() == mine.apply_gradients([]) == mine.iterations == 0


def test_the_learning_rate_of_a_schedule():
    """The attribute is that of the next step; in tf_keras that of the step before."""
    theirs = tf_keras.optimizers.RMSprop(tf_keras.optimizers.schedules.PiecewiseConstantDecay([1], [1.0, 0.5]))
    mine = RMSprop(rmsprop.schedules.PiecewiseConstantDecay([1], [1.0, 0.5]))
    variable, array = tf.Variable(numpy.ones(1)), numpy.ones(1)
    for _ in range(2):
        theirs.apply_gradients([(tf.constant([1.0], "float64"), variable)])
        mine.apply_gradients([(numpy.ones(1), array)])
    assert_near([variable.numpy()], [array])
    assert (float(theirs.learning_rate), mine.learning_rate) == (1.0, 0.5)
    with pytest.raises(TypeError, match="LearningRateSchedule"):
        theirs.learning_rate = 0.25
    with pytest.raises(TypeError, match="schedule"):
        mine.learning_rate = 0.25


def test_a_schedule_in_place_of_a_number():
    """tf_keras fails with an AttributeError until a step is done."""
    theirs, mine = tf_keras.optimizers.RMSprop(0.5), RMSprop(0.5)
    theirs.learning_rate = tf_keras.optimizers.schedules.ExponentialDecay(0.25, 10, 0.5)
    with pytest.raises(AttributeError):
        theirs.learning_rate  # noqa: B018
    mine.learning_rate = rmsprop.schedules.ExponentialDecay(0.25, 10, 0.5)
    assert mine.learning_rate == 0.25


def test_exclude_from_weight_decay():
    """Regular expressions; a second call replaces the first; none after build."""
    names = ("dense/kernel", "dense/bias", "scale")
    variables = {name: tf.Variable(numpy.ones(2), name=name) for name in names}
    arrays = {name: numpy.ones(2) for name in names}
    theirs, mine = (kind(learning_rate=0.5, weight_decay=0.5) for kind in (tf_keras.optimizers.RMSprop, RMSprop))
    for optimizer, by_name in ((theirs, variables), (mine, arrays)):
        optimizer.exclude_from_weight_decay(var_names=["kernel"])
        optimizer.exclude_from_weight_decay(var_list=[by_name["scale"]], var_names=["^dense/b.as"])
        optimizer.build(list(by_name.values()) if optimizer is theirs else by_name)
        with pytest.raises(ValueError, match="exclude_from_weight_decay"):
            optimizer.exclude_from_weight_decay(var_names=["kernel"])
    given = numpy.array([1.0, 2.0])
    theirs.apply_gradients([(tf.constant(given), variable) for variable in variables.values()])
    mine.apply_gradients([(given, array) for array in arrays.values()])
    assert_near([variable.numpy() for variable in variables.values()], arrays.values())
    assert (arrays["dense/kernel"] != arrays["dense/bias"]).all()
    numpy.testing.assert_array_equal(arrays["scale"], arrays["dense/bias"])


def test_a_weight_decay_of_0_is_off():
    """In tf_keras inf - inf * 0 is NaN."""
    theirs, mine, _, _ = both({"weight_decay": 0.0}, [[numpy.inf, -0.0]], [[1.0, 0.0]])
    assert numpy.isnan(theirs[0][0])
    numpy.testing.assert_array_equal(mine[0], [numpy.inf, 0.0])
    assert numpy.signbit(mine[0][1])


def test_a_new_variable_after_build():
    """tf_keras's KeyError comes when earlier variables of the call have moved."""
    first, second = tensors([1.0], [1.0])
    arrays = arrays_like([first, second])
    theirs, mine = tf_keras.optimizers.RMSprop(), RMSprop()
    theirs.build([first])
    mine.build(arrays[:1])
    given = tf.constant([1.0], "float64")
    with pytest.raises(KeyError):
        theirs.apply_gradients([(given, first), (given, second)])
    assert first.numpy() != 1
    with pytest.raises(ValueError, match="variable"):
        mine.apply_gradients([(numpy.ones(1), array) for array in arrays])
    assert arrays == [1, 1]
    assert mine.iterations == 0
    numpy.testing.assert_array_equal(mine.variables["velocity/0"], [0])


def test_the_same_variable_twice():
    """tf_keras steps it twice."""
    (variable,) = tensors([1.0])
    (array,) = arrays_like([variable])
    theirs, mine = tf_keras.optimizers.RMSprop(), RMSprop()
    theirs.build([variable])
    mine.build([array])
    given = tf.constant([1.0], "float64")
    theirs.apply_gradients([(given, variable)])
    once = variable.numpy().copy()
    theirs.apply_gradients([(given, variable), (given, variable)])
    assert theirs.iterations.numpy() == 2
    assert variable.numpy() < once - 0.004  # two steps of 0.0023 and 0.0019
    with pytest.raises(ValueError, match="twice"):
        mine.apply_gradients([(numpy.ones(1), array), (numpy.ones(1), array)])
    assert array == 1


def test_the_order_of_the_state():
    options = {"learning_rate": 0.5, "momentum": 0.5, "centered": True, "use_ema": True}
    _, _, theirs, mine = both(options, [[1.0, 2.0], 3.0], [[0.5, 1.0], 2.0])
    assert list(mine.variables) == ["iterations", "average/0", "average/1", "velocity/0", "velocity/1",
                                    "momentum/0", "momentum/1", "average_gradient/0", "average_gradient/1"]  # fmt: skip
    assert_near([variable.numpy() for variable in theirs.variables], mine.variables.values())


def test_jit_compile_is_remembered():
    """Without a GPU tf_keras turns it off, in the config as well."""
    assert tf_keras.optimizers.RMSprop(jit_compile=True).get_config()["jit_compile"] is False
    assert RMSprop(jit_compile=True).get_config()["jit_compile"] is True


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm", "clipvalue", None])
@pytest.mark.parametrize("bad", [numpy.inf, -numpy.inf, numpy.nan])
def test_non_finite_gradients(clip, bad):
    """A non-finite global norm is NaN everywhere; clipnorm's stays in its variable, the others in their element."""
    options = {"learning_rate": 0.5, **({clip: 1.0} if clip else {})}
    theirs, mine, _, _ = both(options, [numpy.ones(3), numpy.ones(2)], [[1, bad, 2], [1, 2]])
    assert_near(theirs, mine)
    assert numpy.isnan(mine[1]).all() == (clip == "global_clipnorm")


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_norms_beyond_float32(clip):
    """tf_keras squares in float32: from 1.8e19 on clipnorm steps by nothing, global_clipnorm by NaN."""
    options = {"learning_rate": 1.0, "rho": 1.0, "epsilon": 1.0, clip: 1.0}
    theirs, mine, _, _ = both(options, [[1, 1]], [[3e20, 4e20]], dtype="float32")
    numpy.testing.assert_array_equal(theirs[0], [1, 1] if clip == "clipnorm" else [numpy.nan, numpy.nan])
    numpy.testing.assert_allclose(mine[0], [0.4, 0.2], rtol=3e-7)  # measured 3e-8


def test_no_epsilon_and_no_gradient_is_nan():
    theirs, mine, _, _ = both({"learning_rate": 0.5, "epsilon": 0.0}, [[1.0, 1.0]], [[0.0, 2.0]])
    assert_near(theirs, mine)
    assert numpy.isnan(mine[0]).tolist() == [True, False]


def test_the_momentum_holds_the_learning_rate():
    (variable,) = tensors([1.0, 1.0])
    (array,) = arrays_like([variable])
    theirs, mine = (kind(learning_rate=1.0, momentum=0.5) for kind in (tf_keras.optimizers.RMSprop, RMSprop))
    for rate in (1.0, 0.0):
        theirs.learning_rate = mine.learning_rate = rate
        before = array.copy()
        theirs.apply_gradients([(tf.constant([1.0, 2.0], "float64"), variable)])
        mine.apply_gradients([(numpy.array([1.0, 2.0]), array)])
    assert_near([variable.numpy()], [array])
    assert (array != before).all()


@pytest.mark.parametrize("use_ema", [False, True])
def test_finalize(use_ema):
    options = {"learning_rate": 0.5, "use_ema": use_ema, "ema_overwrite_frequency": None}
    variables = tensors([3.0, 4.0], 2.0)
    arrays = arrays_like(variables)
    theirs, mine = tf_keras.optimizers.RMSprop(**options), RMSprop(**options)
    given = (numpy.array([1.0, -2.0]), numpy.array(1.0))
    theirs.apply_gradients([(tf.constant(one), variable) for one, variable in zip(given, variables, strict=True)])
    mine.apply_gradients(zip(given, arrays, strict=True))
    stepped = arrays[0].copy()
    theirs.finalize_variable_values(variables)
    mine.finalize_variable_values(arrays)
    assert_near([variable.numpy() for variable in variables], arrays)
    assert (arrays[0] != stepped).all() == use_ema
