"""Eager steps of ever other variables, gradients or options: the same numbers, and memory has an end."""

import gc
import sys
from itertools import combinations
from textwrap import dedent

import numpy
import pytest
import runs
import tensorflow as tf
from processes import run
from tensorflow.python.framework.func_graph import FuncGraph

from rmsprop.tf_keras import RMSprop

#: More than there are kept traced.
SETS = 24

OPTIONS = {
    "plain": {},
    "everything": {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "use_ema": True, "global_clipnorm": 0.5},
    "overwritten": {"use_ema": True, "ema_overwrite_frequency": 2, "clipnorm": 0.5, "slot_dtype": "bfloat16"},
}

#: A gradient of a variable, by what it is.
GRADIENTS = {
    "dense": lambda w: w * 0.5 + 1.0,
    "another type": lambda w: tf.cast(w, tf.float64) * 0.5 + 1.0,
    "rows": lambda w: tf.IndexedSlices(w[:2] * 0.5 + 1.0, tf.constant([1, 1]), tf.shape(w)),
}


def made(options, dtype, native=None):
    shapes = [(3, 5), (), (4,), (2, 4), *[(2, i + 1) for i in range(SETS - 4)]]
    variables = [tf.Variable(tf.reshape(tf.range(numpy.prod(shape, initial=1)), shape)) for shape in shapes]
    variables = [tf.Variable(tf.cast(variable, dtype)) for variable in variables]
    optimizer = RMSprop(0.1, native=native, **options)
    optimizer.build(variables)
    return optimizer, variables


def graphs():
    gc.collect()
    return sum(isinstance(one, FuncGraph) for one in gc.get_objects())


def pairs(variables, place, kind):
    w = variables[place]
    gradient = GRADIENTS[kind if w.shape.rank else "dense"](w)
    return [(gradient, w), (GRADIENTS["dense"](variables[0]), variables[0])]


def assert_alike(found, others):
    for one, other in zip((*found[1], *found[0].variables), (*others[1], *others[0].variables), strict=True):
        runs.assert_bits(one, other)


@pytest.mark.parametrize("kind", GRADIENTS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.matrix(3)
def test_the_bits_after_options_changed_are_those_of_functions(options, kind):
    """The first steps after that are not traced."""
    found, others = made(options, "float32"), made(options, "float32")
    function = tf.function(lambda: others[0].apply_gradients(pairs(others[1], 3, kind)), autograph=False)
    found[0].apply_gradients(pairs(found[1], 3, kind))
    function()
    for _ in range(3):
        found[0].rho = 0.9
        found[0].apply_gradients(pairs(found[1], 3, kind))
        function()
    assert_alike(found, others)


@pytest.mark.slow
@pytest.mark.parametrize("kind", GRADIENTS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.matrix(4)
def test_the_bits_of_all_sets_are_those_of_functions(options, dtype, kind):
    found, others = made(options, dtype), made(options, dtype)
    for place in range(1, SETS):
        for _ in range(2):
            found[0].apply_gradients(pairs(found[1], place, kind))
    for place in range(1, SETS):
        step = tf.function(lambda place: others[0].apply_gradients(pairs(others[1], place, kind)), autograph=False)
        for _ in range(2):
            step(place)
    assert_alike(found, others)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.matrix(1)
def test_sets_without_end_are_not_kept(native):
    """Pairs of variables."""
    optimizer, variables = made({}, "float32", native)
    sets = list(combinations(variables, 2))

    def work(some):
        for one in some:
            optimizer.apply_gradients([(tf.ones_like(variable), variable) for variable in one])

    work(sets[:SETS])
    before = graphs()
    work(sets[SETS : 2 * SETS])
    assert graphs() <= before


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.matrix(1)
def test_options_without_end_are_not_kept_either(native):
    optimizer, variables = made({"momentum": 0.5}, "float32", native)

    def work(steps):
        for i in range(steps):
            optimizer.momentum = 0.5 + i / 1000
            optimizer.apply_gradients([(tf.ones_like(one), one) for one in variables[:2]])

    work(3)
    before = graphs()
    work(30)
    assert graphs() <= before
    assert optimizer.iterations.numpy() == 33


def test_refusals_past_the_end_change_nothing():
    optimizer, variables = made({"momentum": 0.5}, "float32")
    for one in variables:
        optimizer.apply_gradients([(tf.ones_like(one), one)])
    w, last = variables[0], variables[-1]
    kept = [one.numpy() for one in (w, last, *optimizer.variables)]
    wrong = tf.IndexedSlices(tf.ones((1, 5)), tf.constant([3]), tf.constant([3, 5]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="Variable"):
        optimizer.apply_gradients([(tf.ones_like(last), last), (wrong, w)])
    for one, other in zip((w, last, *optimizer.variables), kept, strict=True):
        runs.assert_bits(one, other)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self")
def test_two_hundred_sets_take_no_memory():
    source = """
        import gc, warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow as tf
        from rmsprop.tf_keras import RMSprop
        trunk, *heads = [tf.Variable(tf.ones((32, 32))) for _ in range(231)]
        optimizer, gradient = RMSprop(1e-4, momentum=0.9), tf.ones((32, 32))
        optimizer.build([trunk, *heads])
        kept = lambda: gc.collect() * 0 + int(open("/proc/self/statm").read().split()[1]) // 256
        for i, head in enumerate(heads):
            if i == 30:
                before = kept()
            optimizer.apply_gradients([(gradient, trunk), (gradient, head)])
        print(kept() - before)
    """
    assert int(run(dedent(source), CUDA_VISIBLE_DEVICES="")) <= 20  # 200 to 360 if each is kept
