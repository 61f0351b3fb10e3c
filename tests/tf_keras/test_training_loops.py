"""Loops of one's own, eager and in `tf.function`, and what `minimize` and `apply_gradients` take."""

import functools

import numpy
import pytest
import tensorflow as tf
import tf_keras
from keras_models import BATCHES, EVERYTHING, X, Y, arrays, assert_same, compiled, furthest, mlp, state, train

from rmsprop.tf_keras import RMSprop

Original = tf_keras.optimizers.RMSprop
PLAIN = {"learning_rate": 2.0**-7}
OPTIONS = {"plain": PLAIN, "everything": EVERYTHING}

# Relative to the largest element of each tensor after ten steps of feedback; see test_training.py.
BOUND = 3e-6


def _loss(model, x, y):
    return tf.reduce_mean(tf.square(model(x, training=True) - y))


def _by_tape(optimizer, model, x, y):
    with tf.GradientTape() as tape:
        loss = _loss(model, x, y)
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))


def _by_minimize_with_tape(optimizer, model, x, y):
    with tf.GradientTape() as tape:
        loss = _loss(model, x, y)
    optimizer.minimize(loss, model.trainable_variables, tape=tape)


def _by_minimize(optimizer, model, x, y):
    optimizer.minimize(lambda: _loss(model, x, y), model.trainable_variables)


def _by_minimize_with_callable_list(optimizer, model, x, y):
    optimizer.minimize(lambda: _loss(model, x, y), lambda: model.trainable_variables)


def _by_compute_gradients(optimizer, model, x, y):
    optimizer.apply_gradients(optimizer.compute_gradients(lambda: _loss(model, x, y), model.trainable_variables))


STEPS = [_by_tape, _by_minimize_with_tape, _by_minimize, _by_minimize_with_callable_list, _by_compute_gradients]


def _in_a_function(step):
    return tf.function(step)


def _in_one_function_for_all(step):
    """A loop within the graph."""

    def steps(optimizer, model, xs, ys):
        for i in tf.range(len(xs)):
            step(optimizer, model, xs[i], ys[i])

    return tf.function(steps)


def _run(kind, options, step, wrap=None):
    optimizer, model = kind(**options), mlp()
    if wrap is _in_one_function_for_all:
        wrap(step)(optimizer, model, tf.constant(X), tf.constant(Y))
    else:
        step = wrap(step) if wrap else step
        for batch in range(BATCHES):
            step(optimizer, model, tf.constant(X[batch]), tf.constant(Y[batch]))
    return [*arrays(model.weights), *arrays(optimizer.variables)]


@functools.cache
def _expected(name):
    return _run(Original, OPTIONS[name], _by_tape)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("wrap", [None, _in_a_function, _in_one_function_for_all])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.matrix(10)
def test_every_way_to_step(step, wrap, name):
    """Each is the original's eager loop by hand."""
    assert furthest(_run(RMSprop, OPTIONS[name], step, wrap), _expected(name)) <= BOUND  # measured up to 2.9e-7


def test_a_list_that_is_complete_only_after_the_loss():
    """What a callable `var_list` is for."""
    layer, optimizer = tf_keras.layers.Dense(1), RMSprop(0.5)
    optimizer.minimize(lambda: tf.reduce_sum(layer(X[0])), lambda: layer.trainable_variables)
    assert optimizer.iterations.numpy() == 1
    assert layer.bias.numpy() == pytest.approx(-(0.5 / numpy.sqrt(0.1)), rel=1e-6)


@pytest.mark.parametrize("wrap", [lambda step: step, tf.function])
def test_two_optimizers_step_two_parts(wrap):
    """GANs, actor and critic."""
    first, second = mlp(0), mlp(1)
    optimizers = RMSprop(**EVERYTHING), RMSprop(**PLAIN)
    for optimizer, model in zip(optimizers, (first, second), strict=True):
        optimizer.build(model.trainable_variables)

    @wrap
    def step(x, y):
        with tf.GradientTape(persistent=True) as tape:
            loss = tf.reduce_mean(tf.square(first(x) + second(x) - y))
        for optimizer, model in zip(optimizers, (first, second), strict=True):
            variables = model.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    losses = [float(step(X[i % BATCHES], Y[i % BATCHES])) for i in range(4 * BATCHES)]
    assert [int(optimizer.iterations) for optimizer in optimizers] == [4 * BATCHES] * 2
    assert numpy.mean(losses[-BATCHES:]) < numpy.mean(losses[:BATCHES]) / 2


def test_accumulated_gradients():
    """The mean of two halves' gradients is the whole's."""
    whole, halves = mlp(), mlp()
    one, other = RMSprop(**EVERYTHING), RMSprop(**EVERYTHING)
    for batch in range(3):
        _by_tape(one, whole, X[batch], Y[batch])
        with tf.GradientTape() as tape:
            losses = [_loss(halves, X[batch][part], Y[batch][part]) for part in (slice(4), slice(4, 8))]
            loss = tf.add_n(losses) / 2
        variables = halves.trainable_variables
        other.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    # Measured 1.2e-7: the halves are summed in another order.
    assert furthest(arrays(halves.weights), arrays(whole.weights)) <= BOUND


# apply_gradients ------------------------------------------------------------------------------------------------------


def _pairs(seed=0):
    variables = [tf.Variable([1.0, 2.0], name="a"), tf.Variable(3.0, name="b")]
    return [(tf.constant([0.5, -1.0]), variables[0]), (tf.constant(2.0), variables[1])]


@pytest.mark.parametrize(
    "arguments",
    [
        {"skip_gradients_aggregation": True},
        {"experimental_aggregate_gradients": False},
        {"experimental_aggregate_gradients": True},
        {"name": "another_scope"},
        {"name": None},
    ],
    ids=str,
)
def test_arguments_of_apply_gradients(arguments):
    """Without a strategy there is nothing to aggregate."""
    pairs, expected = _pairs(), _pairs()
    optimizer = RMSprop(**EVERYTHING)
    assert optimizer.apply_gradients(pairs, **arguments).numpy() == 1
    RMSprop(**EVERYTHING).apply_gradients(expected)
    assert furthest([variable.numpy() for _, variable in pairs], [variable.numpy() for _, variable in expected]) == 0
    scope = arguments.get("name") or "RMSprop"
    assert optimizer.variables[1].name == f"{scope}/average/a:0"


def test_an_unknown_argument_of_apply_gradients_is_refused():
    pairs = _pairs()
    with pytest.raises(TypeError, match="grad_loss"):
        RMSprop().apply_gradients(pairs, grad_loss=None)
    assert pairs[1][1].numpy() == 3


def test_pairs_may_come_from_an_iterator():
    pairs = _pairs()
    assert RMSprop().apply_gradients(iter(pairs)).numpy() == 1
    assert pairs[1][1].numpy() < 3


def test_the_number_of_steps_is_returned_in_graphs_too():
    pairs, optimizer = _pairs(), RMSprop()
    optimizer.build([variable for _, variable in pairs])
    step = tf.function(lambda: optimizer.apply_gradients(pairs))
    assert [int(step()), int(step())] == [1, 2]


def test_an_empty_list_does_nothing():
    optimizer = RMSprop()
    assert optimizer.apply_gradients([]).numpy() == 0
    assert len(optimizer.variables) == 1


def test_a_step_within_a_condition():
    """Only the branch that is taken steps."""
    model = compiled(RMSprop(**EVERYTHING))
    model.optimizer.build(model.trainable_variables)

    @tf.function
    def step(x, y, wanted):
        with tf.GradientTape() as tape:
            loss = _loss(model, x, y)
        gradients = tape.gradient(loss, model.trainable_variables)
        if wanted:
            model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    before = state(model)
    step(X[0], Y[0], tf.constant(False))
    assert_same(state(model), before)
    step(X[0], Y[0], tf.constant(True))
    expected = compiled(RMSprop(**EVERYTHING))
    train(expected, 0, 1)
    assert furthest(model.get_weights(), expected.get_weights()) <= BOUND  # measured 0
    assert model.optimizer.iterations.numpy() == 1
