"""A train step that is exported goes on elsewhere without us if it was traced with ``native=False``, else it fails."""

import gc
import json
from pathlib import Path

import numpy
import pytest
import tensorflow as tf

from rmsprop.tf_keras import RMSprop


class Trainer(tf.Module):
    """A line, fitted to points."""

    def __init__(self, **arguments):
        self.w, self.b = tf.Variable([1.0, 2.0, 3.0]), tf.Variable(0.0)
        self.optimizer = RMSprop(2.0**-5, momentum=0.9, centered=True, clipnorm=1.0, use_ema=True, **arguments)
        self.optimizer.build([self.w, self.b])

    @tf.function(input_signature=[tf.TensorSpec([None, 3]), tf.TensorSpec([None])])
    def step(self, x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(tf.linalg.matvec(x, self.w) + self.b - y))
        variables = [self.w, self.b]
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss


X, Y = numpy.random.default_rng(0).normal(size=(4, 3)), numpy.arange(4.0)


def steps(trainer, count):
    return [float(trainer.step(tf.constant(X, tf.float32), tf.constant(Y, tf.float32))) for _ in range(count)]


def exported(folder: Path, **arguments):
    """Save a new trainer after three steps, and give what it does in four more."""
    return export(Trainer(**arguments), folder)


def export(trainer, folder):
    steps(trainer, 3)
    tf.saved_model.save(trainer, str(folder))
    return [*steps(trainer, 4), *trainer.w.numpy().tolist(), float(trainer.b)]


#: What another process finds in exported trainers and predictors: first without us, then with us.
ELSEWHERE = """
    import json, sys, warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf
    folder, x, y = sys.argv[1], tf.constant(json.loads(sys.argv[2])), tf.constant(json.loads(sys.argv[3]))
    found = {}
    trainer = tf.saved_model.load(f"{folder}/traced")
    losses = [float(trainer.step(x, y)) for _ in range(4)]
    found["traced"] = [*losses, *trainer.w.numpy().tolist(), float(trainer.b)]
    for name in ("native", "traced"):
        predictor = tf.saved_model.load(f"{folder}/predictor, {name}")  # held, as its function does not hold it
        found[f"predictions, {name}"] = predictor.predict(x).numpy().tolist()
    assert "rmsprop" not in sys.modules and "tf_keras" not in sys.modules
    try:
        tf.saved_model.load(f"{folder}/native")
    except Exception as error:
        found["native, without us"] = f"{type(error).__name__} {error}"

    from rmsprop.tf_keras import RMSprop
    for size in (3, 300, 300_000):  # some steps of this process's own
        w = tf.Variable(tf.ones(size))
        tf.function(RMSprop().apply_gradients)([(w, w)])
    trainer = tf.saved_model.load(f"{folder}/native")
    found["before"] = trainer.w.numpy().tolist()
    try:
        trainer.step(x, y)
    except tf.errors.InternalError as error:
        found["native, with us"] = error.message
    found["after"] = trainer.w.numpy().tolist()
    print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def elsewhere(loaded, tmp_path_factory):
    """What was expected of the exported ones, and what another process found."""
    folder = tmp_path_factory.mktemp("exported")
    expected = {"traced": exported(folder / "traced", native=False)}
    exported(folder / "native", native=True)
    expected["before"] = tf.saved_model.load(str(folder / "native")).w.numpy().tolist()
    for name in ("native", "traced"):
        trainer = Trainer(native=name == "native")
        steps(trainer, 2)
        tf.saved_model.save(Predictor(trainer), str(folder / f"predictor, {name}"))
        expected[f"predictions, {name}"] = X @ trainer.w.numpy()
    return expected, json.loads(loaded.run(ELSEWHERE, folder, X.tolist(), Y.tolist()).splitlines()[-1])


def test_an_exported_step_goes_on_without_us(elsewhere):
    """In a process that has not imported rmsprop; the same bits, as the same graph runs there."""
    expected, found = elsewhere
    assert found["traced"] == expected["traced"]


def test_an_exported_native_step_is_refused_elsewhere(elsewhere):
    """Without us TensorFlow does not know the operation; with us it belongs to another process."""
    expected, found = elsewhere
    assert "Op type not registered 'RmspropCall'" in found["native, without us"]
    assert "an rmsprop optimizer that is not, or no longer, in this process" in found["native, with us"]
    assert found["before"] == found["after"] == expected["before"]


@pytest.mark.parametrize("name", ["native", "traced"])
def test_a_model_without_its_train_step_is_exported_either_way(elsewhere, name):
    """The optimizer's variables come along, its steps do not."""
    expected, found = (one[f"predictions, {name}"] for one in elsewhere)
    numpy.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_exported_native_step_goes_on_while_its_optimizer_lives(tmp_path):
    trainer = Trainer(native=True)
    expected = export(trainer, tmp_path / "native")
    loaded = tf.saved_model.load(str(tmp_path / "native"))
    assert [*steps(loaded, 4), *loaded.w.numpy().tolist(), float(loaded.b)] == expected
    again, expected = tf.saved_model.load(str(tmp_path / "native")), steps(trainer, 2)
    before = again.w.numpy().tolist()
    del trainer
    gc.collect()
    assert steps(loaded, 2) == expected  # TensorFlow holds the steps of functions that have run
    del loaded
    gc.collect()
    with pytest.raises(tf.errors.InternalError, match="no longer, in this process"):
        steps(again, 1)
    assert again.w.numpy().tolist() == before


class Predictor(tf.Module):
    """A model that holds the variables of an optimizer."""

    def __init__(self, trainer):
        self.trainer = trainer.w, trainer.optimizer.variables
        self.w = trainer.w

    @tf.function(input_signature=[tf.TensorSpec([None, 3])])
    def predict(self, x):
        return tf.linalg.matvec(x, self.w)
