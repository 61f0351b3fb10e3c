"""Training that `rmsprop.keras.RMSprop` resumes again and again, on any backend; a folder for each subclasses this.

Each part makes everything anew and goes on from the file of the one before. `main` does one of the parts, for every way
and every format; each is to be a process of its own.
"""

import itertools
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import keras_runs as runs
import numpy
import pytest
from processes import run

from rmsprop.keras import RMSprop

Own = keras.optimizers.RMSprop

PARTS = 5

#: Which class does which part.
WAYS = {
    "ours": [RMSprop] * PARTS,
    "both": [RMSprop, Own, RMSprop, Own, RMSprop],
    "after two of Keras's own": [Own, Own, RMSprop, RMSprop, Own],
}

#: Options that both classes have, and what ours adds: averages are other ones in Keras 3.
OPTIONS = {"learning_rate": 2.0**-7, "momentum": 0.9, "centered": True}
AVERAGES = {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3}

#: Where both classes have a part: their steps differ by rounding.
BOUND = 1e-6


class Format(NamedTuple):
    """A way in which a model and its optimizer are written to a file and read back.

    Attributes:
        name: of the file.
        save: ``save(model, path)``.
        restore: ``restore(model, path)`` puts weights and state into a model; TensorFlow gives what became of it.
        whole: whether the file says what the model and its optimizer are, so that `load_model` reads it.
    """

    name: str
    save: Callable
    restore: Callable
    whole: bool = False

    def __str__(self):
        return self.name

    def load(self, path, kind, options):
        """Give a model that goes on; only what is not whole needs the optimizer's class and options."""
        if self.whole:
            return keras.models.load_model(path)
        model = runs.model(kind(**options), seed=5)
        model.optimizer.build(model.trainable_variables)
        status = self.restore(model, path)
        if status is not None:
            status.assert_consumed()
        return model


def _save(model, path):
    model.save(path)


def _load_weights(model, path):
    model.load_weights(path)


def _checkpoint(model):
    import tensorflow as tf

    return tf.train.Checkpoint(model=model, optimizer=model.optimizer)


def _read(model, path):
    return _checkpoint(model).read(str(path))


FORMATS = [
    Format("model.keras", _save, _load_weights, whole=True),
    Format("model.weights.h5", lambda model, path: model.save_weights(path), _load_weights),
    Format("model.weights.json", lambda model, path: model.save_weights(path, max_shard_size=1e-6), _load_weights),
]
if runs.BACKEND == "tensorflow":
    FORMATS.append(Format("checkpoint", lambda model, path: _checkpoint(model).write(str(path)), _read))

#: Its optimizer comes back as if new; see docs/frameworks/keras.md.
H5 = Format("model.h5", _save, _load_weights, whole=True)

#: A file that says what the optimizer is cannot be read as another class.
PAIRS = [(way, form) for way, form in itertools.product(WAYS, FORMATS) if way == "ours" or not form.whole]
PAIRS.append(("ours", H5))
quick = pytest.mark.parametrize(
    ("way", "form"),
    [
        # Both classes write and read a file of weights alike, whatever its format: one is for `make test`.
        pytest.param(way, form, marks=[pytest.mark.slow] * (way == "both" and form.name != "model.weights.h5"))
        for way, form in PAIRS if way in ("ours", "both")
    ],
    ids=str,
)  # fmt: skip


def step(model, begin, end):
    """Step by made-up gradients, which is faster than to have Keras compile its loop."""
    model.optimizer.build(model.trainable_variables)
    for number in range(begin, end):
        random = numpy.random.default_rng(number)
        gradients = [runs.tensor(random.normal(size=one.shape).astype("float32")) for one in model.trainable_variables]
        model.optimizer.apply(gradients, model.trainable_variables)


def train(model, begin, end):
    """Train by Keras's own loop."""
    x, y = runs.data(16 * 2 * PARTS)
    for number in range(begin, end):
        rows = slice(16 * number, 16 * number + 16)
        model.train_on_batch(x[rows], y[rows])


def state(model):
    """The weights, the counter, the rate and all of the state."""
    return [runs.array(one) for one in (*model.trainable_variables, *model.optimizer.variables)]


def _options(way):
    return OPTIONS | (AVERAGES if way == "ours" else {})


def part(way, form, folder, number, go_on=train):
    """Do a part: two steps, and a file before the first and in the middle of training as well as one at the end."""
    kind = WAYS[way][number]
    if number:
        model = form.load(folder / f"{number - 1}-{form.name}", kind, _options(way))
        # On torch Keras's own class makes an instance of another.
        assert isinstance(model.optimizer, RMSprop) == (kind is RMSprop)
    else:
        model = runs.model(kind(**_options(way)))
        form.save(model, folder / f"before-{form.name}")
    go_on(model, 2 * number, 2 * number + 1)
    form.save(model, folder / f"middle-{form.name}")
    go_on(model, 2 * number + 1, 2 * number + 2)
    form.save(model, folder / f"{number}-{form.name}")
    return state(model)


def whole(way, form, go_on=train):
    """What is there after each part if nothing is interrupted."""
    model = runs.model(RMSprop(**_options(way)))
    for number in range(PARTS):
        if form is H5:
            model.compile(RMSprop(**_options(way)), model.loss)
        go_on(model, 2 * number, 2 * number + 2)
        yield state(model)


def main(folder, number):
    """Do a part of all trainings."""
    warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
    for way, form in PAIRS:
        place = Path(folder) / way
        place.mkdir(exist_ok=True)
        numpy.savez(place / f"{form.name}.npz", *part(way, form, place, int(number)))


class Early(keras.Model):
    """A model whose optimizer Keras's reader of files comes to before it comes to the layer."""

    def __init__(self, seed, constraint=None):
        super().__init__()
        keras.utils.set_random_seed(seed)
        self.layer = keras.layers.Dense(1, kernel_constraint=constraint)
        self.layer.build((None, 8))
        self.built = True
        self.a_first_optimizer = RMSprop(**OPTIONS | AVERAGES | {"ema_overwrite_frequency": None})

    def call(self, x):
        """Give what the layer gives."""
        return self.layer(x)

    def step(self):
        """Step by gradients that are all 1, and give weights and state."""
        variables = self.layer.trainable_variables
        self.a_first_optimizer.apply([keras.ops.ones(one.shape) for one in variables], variables)
        return self.arrays()

    def arrays(self):
        """Give weights and state."""
        return [runs.array(one) for one in (*self.layer.trainable_variables, *self.a_first_optimizer.variables)]

    def averages(self):
        """Give the averages of the weights."""
        return [runs.array(one) for one in self.a_first_optimizer.variables if one.name.endswith("average")]


class Resuming:
    """It goes on as if it had never stopped."""

    @pytest.mark.slow
    def test_five_processes_in_every_format(self, tmp_path):
        path = os.pathsep.join(filter(None, sys.path))
        for number in range(PARTS):
            source = "import sys, keras_resuming; keras_resuming.main(*sys.argv[1:])"
            run(source, tmp_path, number, timeout=900, PYTHONPATH=path)
        for way, form in PAIRS:
            with numpy.load(tmp_path / way / f"{form.name}.npz") as found:
                *_, expected = whole(way, form)
                runs.assert_same(list(found.values()), expected, 0 if way == "ours" else BOUND)

    @quick
    @pytest.mark.matrix(3)
    def test_five_resumptions(self, way, form, tmp_path):
        for number, expected in enumerate(whole(way, form, step)):
            runs.assert_same(part(way, form, tmp_path, number, step), expected, 0 if way == "ours" else BOUND)

    @pytest.mark.parametrize("form", FORMATS, ids=str)
    @pytest.mark.parametrize("make", [RMSprop, Own])
    @pytest.mark.matrix(4)
    def test_a_file_from_before_the_first_step(self, make, form, tmp_path):
        """Loaded into a trained model it takes all of it back to the start, and the next file holds all of it."""
        early = runs.model(make(**OPTIONS))
        form.save(early, tmp_path / f"early-{form.name}")
        model = runs.model(RMSprop(**OPTIONS, initial_velocity=0.5), seed=4)
        expected = runs.model(RMSprop(**model.optimizer.get_config()))
        expected.optimizer.build(expected.trainable_variables)
        step(model, 0, 3)
        form.restore(model, tmp_path / f"early-{form.name}")
        runs.assert_same(state(model), state(expected))
        step(model, 3, 5)
        form.save(model, tmp_path / form.name)
        again = form.load(tmp_path / form.name, RMSprop, model.optimizer.get_config())
        step(again, 5, 7)
        step(expected, 3, 7)
        runs.assert_same(state(again), state(expected))

    @pytest.mark.parametrize("form", FORMATS, ids=str)
    def test_averages_start_at_the_weights_of_an_early_file(self, form, tmp_path):
        early = runs.model(RMSprop(**OPTIONS | AVERAGES))
        form.save(early, tmp_path / form.name)
        model = runs.model(RMSprop(**OPTIONS | AVERAGES), seed=4)
        step(model, 0, 2)
        form.restore(model, tmp_path / form.name)
        for one in (model, early):
            step(one, 2, 6)
        runs.assert_same(state(model), state(early))

    @pytest.mark.parametrize("constraint", [None, keras.constraints.NonNeg()], ids=["free", "constrained"])
    def test_weights_that_are_read_after_the_optimizer(self, constraint, tmp_path):
        """Averages start at them; a file with state has its own."""
        early, model = (Early(seed, constraint) for seed in (1, 2))
        early.save_weights(tmp_path / "early.weights.h5")
        expected = [early.step(), early.step()]
        early.save_weights(tmp_path / "late.weights.h5")
        model.step()
        for _ in range(2):
            model.load_weights(tmp_path / "early.weights.h5")
            runs.assert_same(model.averages(), runs.weights(model.layer))
            for arrays in expected:
                runs.assert_same(model.step(), arrays)
            model.load_weights(tmp_path / "late.weights.h5")
            runs.assert_same(model.arrays(), expected[-1])

    def test_weights_that_are_assigned_after_a_step_are_no_start(self, tmp_path):
        early = Early(1)
        early.save_weights(tmp_path / "early.weights.h5")
        early.step()
        early.load_weights(tmp_path / "early.weights.h5")
        early.step()
        expected = early.averages()
        for variable in early.layer.trainable_variables:
            variable.assign(keras.ops.zeros(variable.shape))
        runs.assert_same(early.averages(), expected)

    def test_keras_trains_by_weights_that_are_read_before_the_optimizer(self, tmp_path):
        """What its train step brings back is the state, whatever averages wait for."""
        early, model = (runs.model(RMSprop(**OPTIONS | AVERAGES), seed=seed) for seed in (3, 4))
        early.save_weights(tmp_path / "early.weights.h5")
        train(model, 0, 2)
        model.load_weights(tmp_path / "early.weights.h5")
        for one in (early, model):
            train(one, 2, 6)
        runs.assert_same(state(model), state(early))
