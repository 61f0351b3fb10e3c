"""Values that somebody has read before a step never change after it: neither tensors nor NumPy's views of them.

Each way of reading shares the variable's memory, so that writing to that memory would show.
"""

import gc

import numpy
import original
import pytest
import runs
import tensorflow as tf

from rmsprop._tensorflow import native as _native
from rmsprop.tf_keras import RMSprop

READ = {
    "read_value": lambda variable: variable.read_value(),
    "identity": tf.identity,
    "convert": tf.convert_to_tensor,
    "reshape": lambda variable: tf.reshape(variable, [-1]),
    "dlpack": lambda variable: tf.experimental.dlpack.from_dlpack(
        tf.experimental.dlpack.to_dlpack(variable.read_value())
    ),
    "memoryview": lambda variable: numpy.asarray(memoryview(variable.read_value())),
    "asarray": lambda variable: numpy.asarray(variable.read_value()),
}
if hasattr(tf.__internal__.EagerTensor, "__dlpack__"):  # not in TensorFlow 2.18
    READ["numpy.from_dlpack"] = lambda variable: numpy.from_dlpack(variable.read_value())

EVERYTHING = {
    "momentum": 0.9, "centered": True, "weight_decay": 0.01, "global_clipnorm": 1.0, "use_ema": True,
    "ema_overwrite_frequency": 3,
}  # fmt: skip

#: Numbers, tensors of some hundred bytes, and large ones: they lie in blocks of their own, or share one.
SHAPES = {"number": (), "small": (50, 3), "large": (300_000,), "larger": (700, 1000), "none": (0, 2)}


def address(value):
    return numpy.asarray(value).__array_interface__["data"][0]


@pytest.fixture
def small_buckets(monkeypatch):
    """Some megabytes make several buckets and are streamed past the caches, as hundreds are otherwise."""
    monkeypatch.setattr(_native, "PART_BYTES", 2 << 20)
    monkeypatch.setattr(_native, "STREAMED", 2 << 20)


def made(options, native=True, dtype="float32"):
    random = numpy.random.default_rng(0)
    arrays = {name: random.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}
    optimizer, variables = runs.build(options, arrays, native=native)
    gradients = [[tf.constant(random.normal(size=shape).astype(dtype)) for shape in SHAPES.values()] for _ in range(3)]
    return optimizer, variables, gradients


@pytest.mark.parametrize("name", READ)
def test_what_is_read_shares_the_variables_memory(name):
    """Or the tests below would show nothing."""
    variable = tf.Variable(tf.ones(10_000))
    assert address(READ[name](variable)) == address(variable.read_value())


@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.matrix(3)
def test_values_of_variables_and_slots_stay(options, native, way, small_buckets):
    """All are held for twelve steps, then every second one; after each step all those held are compared."""
    optimizer, variables, gradients = made(options, native)
    step = runs.WAYS[way](lambda given: optimizer.apply_gradients(zip(given, variables.values(), strict=True)))
    held, owners = [], [*variables.values(), *optimizer.variables]
    first = [owner.numpy() for owner in owners]
    for i in range(20):
        for owner, read in zip(owners, [*READ.values()] * len(owners), strict=False):
            if i < 12 or i % 2:
                value = read(owner)
                held.append((value, numpy.array(value)))
        if i >= 12:
            del held[::3]
        step(gradients[i % 3])
        # Each is compared up to twenty times: NumPy's own assertion takes ten times as long.
        assert all(numpy.array_equal(value, copied) for value, copied in held)
    assert optimizer.iterations.numpy() == 20
    for array, owner in zip(first, owners, strict=True):
        assert (array != owner.numpy()).any() or not array.size


@pytest.mark.parametrize("name", READ)
def test_each_way_of_reading_for_itself(name, small_buckets):
    optimizer, variables, gradients = made({"momentum": 0.9})
    step = tf.function(lambda given: optimizer.apply_gradients(zip(given, variables.values(), strict=True)))
    owners, held = [*variables.values(), *optimizer.variables], []
    for i in range(6):
        held += [(READ[name](owner), owner.numpy()) for owner in owners]
        step(gradients[i % 3])
    for value, copied in held:
        numpy.testing.assert_array_equal(numpy.asarray(value).ravel(), copied.ravel())


def test_gradients_stay(small_buckets):
    for options in ({}, EVERYTHING):
        optimizer, variables, gradients = made(options)
        copies = [tensor.numpy() for tensor in gradients[0]]
        for _ in range(3):
            optimizer.apply_gradients(zip(gradients[0], variables.values(), strict=True))
        for tensor, copied in zip(gradients[0], copies, strict=True):
            numpy.testing.assert_array_equal(tensor.numpy(), copied)


def test_a_variable_that_got_anothers_value_stays(small_buckets):
    """`assign` may share memory: the other variable keeps the value that it got."""
    optimizer, variables, gradients = made({})
    w = variables["large"]
    optimizer.apply_gradients(zip(gradients[0], variables.values(), strict=True))
    other = tf.Variable(w)
    other.assign(w.read_value())
    copied = other.numpy()
    for i in range(5):
        optimizer.apply_gradients(zip(gradients[i % 3], variables.values(), strict=True))
        numpy.testing.assert_array_equal(other.numpy(), copied)
    assert (w.numpy() != copied).any()


def test_two_variables_with_one_value_are_stepped_apart(small_buckets):
    """They share memory until the step."""
    shared = tf.ones(300_000)
    one, other = tf.Variable(shared), tf.Variable(shared)
    one.assign(shared)
    other.assign(one.read_value())
    optimizer = RMSprop(1.0, rho=1.0, epsilon=1.0)  # w - g
    for _ in range(3):
        optimizer.apply_gradients([(tf.ones(300_000), one), (-tf.ones(300_000), other)])
    assert (one.numpy() == -2).all()
    assert (other.numpy() == 4).all()
    assert (shared.numpy() == 1).all()


def stepped():
    """What an optimizer and variables that are gone have left, in each way of reading, and copies of it."""
    optimizer, variables, gradients = made(EVERYTHING)
    step = tf.function(lambda given: optimizer.apply_gradients(zip(given, variables.values(), strict=True)))
    for given in gradients:
        step(given)
    owners = [*variables.values(), *optimizer.variables]
    held = [read(owner) for owner, read in zip(owners, [*READ.values()] * len(owners), strict=False)]
    return held, [numpy.array(value) for value in held]


def test_values_outlive_their_optimizer_and_variables(small_buckets):
    # A test that failed before may hold its optimizers yet.
    gc.collect()
    before = sum(type(one) is RMSprop for one in gc.get_objects())
    held, copies = stepped()
    gc.collect()
    assert sum(type(one) is RMSprop for one in gc.get_objects()) == before
    for _ in range(2):
        test_gradients_stay(None)  # other optimizers work meanwhile, in memory of theirs
    for value, copied in zip(held, copies, strict=True):
        numpy.testing.assert_array_equal(numpy.asarray(value), copied)


def test_steps_where_old_values_are_held_give_the_same_numbers(small_buckets):
    """Blocks are not taken from those who hold them, and new ones are filled as well as old ones."""
    paths = []
    for holding in (False, True):
        optimizer, variables, gradients = made(EVERYTHING)
        held = []
        for i in range(12):
            if holding:
                held += [one.read_value() for one in (*variables.values(), *optimizer.variables)][i % 2 :: 2]
            optimizer.apply_gradients(zip(gradients[i % 3], variables.values(), strict=True))
        paths.append(original.state(optimizer, variables))
    for slot, named in paths[0].items():
        for name, variable in named.items():
            runs.assert_bits(paths[1][slot][name].numpy(), variable.numpy())
