"""A train step that is exported goes on elsewhere without us if it was traced with ``native=False``, else it fails."""

import gc
import json
from pathlib import Path

import numpy
import pytest
import tensorflow as tf
from processes import run

from rmsprop.tf_keras import RMSprop

QUIET = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}


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


LOAD = """
    import json, sys, warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf
    folder, x, y = sys.argv[1], tf.constant(json.loads(sys.argv[2])), tf.constant(json.loads(sys.argv[3]))
"""


def test_an_exported_step_goes_on_without_us(tmp_path):
    """In a process that never imports rmsprop; the same bits, as the same graph runs there."""
    expected = exported(tmp_path / "traced", native=False)
    source = (
        LOAD
        + """
    trainer = tf.saved_model.load(folder)
    found = [float(trainer.step(x, y)) for _ in range(4)] + trainer.w.numpy().tolist() + [float(trainer.b)]
    assert "rmsprop" not in sys.modules and "tf_keras" not in sys.modules
    print(json.dumps(found))
    """
    )
    found = json.loads(run(source, tmp_path / "traced", X.tolist(), Y.tolist(), **QUIET).splitlines()[-1])
    assert found == expected


def test_an_exported_native_step_is_refused_elsewhere(tmp_path):
    """Without us TensorFlow does not know the operation; with us it belongs to another process."""
    exported(tmp_path / "native", native=True)
    source = (
        LOAD
        + """
    try:
        tf.saved_model.load(folder)
    except Exception as error:
        print(type(error).__name__, error)
    from rmsprop.tf_keras import RMSprop
    for size in (3, 300, 300_000):  # some steps of this process's own
        w = tf.Variable(tf.ones(size))
        tf.function(RMSprop().apply_gradients)([(w, w)])
    trainer = tf.saved_model.load(folder)
    try:
        trainer.step(x, y)
    except tf.errors.InternalError as error:
        print(error.message)
    assert trainer.w.numpy().tolist() == json.loads(sys.argv[4])
    """
    )
    trainer = tf.saved_model.load(str(tmp_path / "native"))
    found = run(source, tmp_path / "native", X.tolist(), Y.tolist(), trainer.w.numpy().tolist(), **QUIET)
    assert "Op type not registered 'RmspropCall'" in found
    assert "an rmsprop optimizer that is not, or no longer, in this process" in found


def test_an_exported_native_step_goes_on_while_its_optimizer_lives(tmp_path):
    trainer = Trainer(native=True)
    expected = export(trainer, tmp_path / "native")
    loaded = tf.saved_model.load(str(tmp_path / "native"))
    assert [*steps(loaded, 4), *loaded.w.numpy().tolist(), float(loaded.b)] == expected
    before = loaded.w.numpy().tolist()
    del trainer
    gc.collect()
    with pytest.raises(tf.errors.InternalError, match="no longer, in this process"):
        steps(loaded, 1)
    assert loaded.w.numpy().tolist() == before


def test_a_model_without_its_train_step_is_exported_either_way(tmp_path):
    """The optimizer's variables come along, its steps do not."""
    trainers = {name: Trainer(native=name == "native") for name in ("native", "traced")}
    for name, trainer in trainers.items():
        steps(trainer, 2)
        tf.saved_model.save(Predictor(trainer), str(tmp_path / name))
    source = LOAD + (
        "    for name in ('native', 'traced'):\n"
        "        loaded = tf.saved_model.load(f'{folder}/{name}')\n"
        "        print(loaded.predict(x).numpy().tolist())\n"
    )
    found = run(source, tmp_path, X.tolist(), Y.tolist(), **QUIET).splitlines()[-2:]
    for line, trainer in zip(found, trainers.values(), strict=True):
        numpy.testing.assert_allclose(json.loads(line), X @ trainer.w.numpy(), rtol=1e-5)


class Predictor(tf.Module):
    """A model that holds the variables of an optimizer."""

    def __init__(self, trainer):
        self.trainer = trainer.w, trainer.optimizer.variables
        self.w = trainer.w

    @tf.function(input_signature=[tf.TensorSpec([None, 3])])
    def predict(self, x):
        return tf.linalg.matvec(x, self.w)
