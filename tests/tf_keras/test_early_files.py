"""Files from before the first step, loaded into models that have been trained: everything starts again."""

import keras_saving
import numpy
import pytest
import tensorflow as tf
import tf_keras
from keras_models import EVERYTHING, X, Y, arrays, assert_same, compiled, furthest, mlp, state
from keras_saving import FORMATS

from rmsprop.tf_keras import RMSprop

pytestmark = pytest.mark.filterwarnings(keras_saving.IGNORE_H5)
STEPS = 4

#: What takes each way into an optimizer once; the others are the same ways, and slower.
QUICK = ("weights", "model.weights.h5")

forms = pytest.mark.parametrize(
    "form",
    [pytest.param(form, marks=() if form.name in QUICK else pytest.mark.slow) for form in FORMATS if form.restore],
    ids=str,
)


def fit(model):
    """Train by the function that the model has traced already, if it has one."""
    x, y = (numpy.concatenate(parts[:STEPS]) for parts in (X, Y))
    model.fit(x, y, batch_size=len(X[0]), shuffle=False, verbose=0)
    return state(model)


def ready(optimizer):
    """Give a model before its first step, with metrics that have been made: a `.weights.h5` file must hold them."""
    model = compiled(optimizer)
    model.evaluate(X[0], Y[0], verbose=0)
    return model


def save_early(form, path, **options):
    """Save a model before its first step, and give what its training comes to."""
    model = ready(RMSprop(**EVERYTHING | options))
    form.save(model, str(path))
    return fit(model)


def put(form, model, path):
    """Put the file into a model; what is not in it need not be."""
    if form.name in ("saved_model", "saved_by_tensorflow", "weights", "model.weights.h5"):
        model.load_weights(str(path))
    elif form.name == "checkpoint":
        tf.train.Checkpoint(model=model, optimizer=model.optimizer).read(str(path))
    else:
        form.restore(model, str(path))


@forms
@pytest.mark.matrix(1)
def test_training_starts_again(form, tmp_path):
    expected = save_early(form, tmp_path / form.name, initial_velocity=0.25)
    model = compiled(RMSprop(**EVERYTHING, initial_velocity=0.25), mlp(seed=1))
    fit(model)
    for _ in range(2):
        put(form, model, tmp_path / form.name)
        assert model.optimizer.iterations.numpy() == 0
        assert_same(fit(model), expected)


@pytest.mark.slow
@forms
def test_what_is_saved_afterwards_goes_on(form, tmp_path):
    save_early(form, tmp_path / form.name)
    model = compiled(RMSprop(**EVERYTHING), mlp(seed=1))
    fit(model)
    put(form, model, tmp_path / form.name)
    fit(model)
    form.save(model, str(tmp_path / f"late-{form.name}"))
    other = compiled(RMSprop(**EVERYTHING), mlp(seed=2))
    form.restore(other, str(tmp_path / f"late-{form.name}"))
    assert_same(fit(other), fit(model))


@pytest.mark.slow
@pytest.mark.parametrize("form", [form for form in FORMATS if form.whole], ids=str)
def test_a_model_of_a_file(form, tmp_path):
    expected = save_early(form, tmp_path / form.name)
    assert_same(fit(form.load(str(tmp_path / form.name))), expected)


@pytest.mark.slow
def test_a_file_of_the_original(tmp_path):
    model = ready(tf_keras.optimizers.RMSprop(**EVERYTHING))
    model.save_weights(tmp_path / "early.weights.h5")
    model.save_weights(tmp_path / "early")
    expected = fit(model)
    other = compiled(RMSprop(**EVERYTHING), mlp(seed=1))
    for name in ("early.weights.h5", "early"):
        fit(other)
        other.load_weights(tmp_path / name)
        assert furthest(fit(other).values(), expected.values()) <= 1e-6


def test_a_number_of_steps_alone_sets_the_state_back():
    w = tf.Variable([1.0, 2.0])
    optimizer = RMSprop(momentum=0.5, centered=True, use_ema=True, initial_velocity=0.5)
    for _ in range(3):
        optimizer.apply_gradients([(tf.constant([1.0, -2.0]), w)])
    optimizer.set_weights([numpy.array(7)])
    iterations, average, velocity, *others = arrays(optimizer.variables)
    assert iterations == 7
    assert (average == w.numpy()).all()
    assert (velocity == 0.5).all()
    assert not numpy.any(others)


def test_averages_start_where_the_file_ends_and_only_there():
    """Variables are read after the optimizer's state; what is assigned after a step is no start."""
    w = tf.Variable([1.0])
    optimizer, store = RMSprop(use_ema=True), {}
    RMSprop(use_ema=True).save_own_variables(store)
    optimizer.build([w])
    average = optimizer.variables[1]
    optimizer.load_own_variables(store)
    w.assign([3.0])
    assert average.numpy() == 3
    w.assign([4.0])
    assert average.numpy() == 3
    optimizer.load_own_variables(store)
    optimizer.apply_gradients([(tf.constant([0.0]), w)])
    assert average.numpy() == 4
    w.assign([5.0])
    assert average.numpy() == 4


def test_two_optimizers_of_the_same_variables():
    w = tf.Variable([1.0])
    optimizers, store = [RMSprop(use_ema=True), RMSprop(use_ema=True)], {}
    RMSprop(use_ema=True).save_own_variables(store)
    for optimizer in (*optimizers, optimizers[0]):
        optimizer.build([w])
        optimizer.load_own_variables(store)
    w.assign([3.0])
    assert [one.variables[1].numpy() for one in optimizers] == [3, 3]


def early_checkpoint(folder, **parts):
    return tf.train.Checkpoint(**parts).write(str(folder / "early"))


def test_several_optimizers_in_one_checkpoint(tmp_path):
    def parts():
        variables = [tf.Variable([1.0]) for _ in range(3)]
        return variables, {f"optimizer{number}": RMSprop(momentum=0.5) for number in range(3)}

    path = early_checkpoint(tmp_path, **parts()[1])
    variables, optimizers = parts()
    for variable, optimizer in zip(variables, optimizers.values(), strict=True):
        optimizer.apply_gradients([(tf.constant([1.0]), variable)])
    tf.train.Checkpoint(**optimizers).read(path)
    for optimizer in optimizers.values():
        assert not any(numpy.any(one) for one in arrays(optimizer.variables))


@pytest.mark.parametrize("order", ["ov", "vo"])
def test_what_a_checkpoint_knows_after_it_is_read(order, tmp_path):
    """Averages start at variables that come late, unless a step comes before."""
    path = early_checkpoint(tmp_path, o=RMSprop(use_ema=True), v=tf.Variable([1.0]))
    for steps in (0, 1):
        optimizer, variable = RMSprop(use_ema=True), tf.Variable([5.0])
        optimizer.apply_gradients([(tf.constant([1.0]), variable)])
        checkpoint = tf.train.Checkpoint()
        checkpoint.read(path)
        for name in order:
            setattr(checkpoint, name, {"o": optimizer, "v": variable}[name])
            if steps:
                optimizer.apply_gradients([(tf.constant([0.0]), variable)])
        average = optimizer.variables[1].numpy()
        assert (average == 1) == (steps == 0 or order == "vo"), (average, steps)
