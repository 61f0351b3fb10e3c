"""Every way in which a model and its optimizer are written to a file and read back."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf
import tf_keras
from keras_models import compiled, mlp

from rmsprop.tf_keras import RMSprop

#: tf_keras warns at each `.h5` file that it is a format of the past.
IGNORE_H5 = "ignore:You are saving your model as an HDF5 file:UserWarning"


class Format(NamedTuple):
    """One way.

    Attributes:
        name: of the file or folder.
        save: ``save(model, path)``.
        whole: whether the file says what the model and its optimizer are, so that `load_model` reads it.
        restore: ``restore(model, path)`` puts weights and state into a model; None if only `load_model` can.
    """

    name: str
    save: Callable
    whole: bool
    restore: Callable | None

    def __str__(self):
        return self.name

    def load(self, path, options=None, kind=RMSprop):
        """Give a model that goes on; only what is not whole needs the optimizer's options and class."""
        model = tf_keras.models.load_model(path) if self.whole else compiled(kind(**options), mlp(seed=1))
        if self.restore is not None:
            self.restore(model, path)
        return model


def _load_weights(model, path):
    model.load_weights(path).assert_existing_objects_matched().expect_partial()


def _load_weights_h5(model, path):
    # Without state to fill tf_keras leaves it out, and logs that.
    model.optimizer.build(model.trainable_variables)
    model.load_weights(path)


def _checkpoint(model):
    return tf.train.Checkpoint(model=model, optimizer=model.optimizer)


def _read(model, path):
    status = _checkpoint(model).read(path)
    model.optimizer.build(model.trainable_variables)
    status.assert_existing_objects_matched().expect_partial()


def _manager(model, path):
    return tf.train.CheckpointManager(_checkpoint(model), path, max_to_keep=2)


def _restore_managed(model, path):
    assert _manager(model, path).restore_or_initialize() is not None


FORMATS = [
    Format("model.keras", lambda model, path: model.save(path), True, None),
    Format("model.h5", lambda model, path: model.save(path), True, None),
    # Here load_model alone gives a fresh optimizer, of whatever class; its state is there nevertheless.
    Format("saved_model", lambda model, path: model.save(path, save_format="tf"), True, _load_weights),
    Format("saved_by_tensorflow", tf.saved_model.save, False, _load_weights),
    Format("weights", lambda model, path: model.save_weights(path), False, _load_weights),
    Format("model.weights.h5", lambda model, path: model.save_weights(path), False, _load_weights_h5),
    Format("checkpoint", lambda model, path: _checkpoint(model).write(path), False, _read),
    Format("managed", lambda model, path: _manager(model, path).save(), False, _restore_managed),
]
