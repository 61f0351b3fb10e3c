"""Trainings that are begun, and gone on with from a file, by the backend that this process has."""

import keras
import keras_runs as runs
import numpy

from rmsprop.keras import RMSprop

OPTIONS = {"momentum": 0.5, "centered": True, "use_ema": True, "ema_overwrite_frequency": 4, "weight_decay": 0.01}


def begin(folder, after):
    """Train a model that starts with the same weights on each backend, and save it.

    Files say whether steps are compiled, and torch would do that at length where JAX has said so.
    """
    model = runs.model(RMSprop(0.01, **OPTIONS), jit_compile=False)
    random = numpy.random.default_rng(0)
    model.set_weights([random.normal(size=one.shape) / 4 for one in model.get_weights()])
    runs.fit(model, epochs=1)
    model.save(f"{folder}/{after}.keras")


def go_on(folder, before, after):
    """Train a saved model, and write down its weights and its optimizer's variables."""
    model = keras.models.load_model(f"{folder}/{before}.keras")
    assert type(model.optimizer) is RMSprop
    runs.fit(model, epochs=1)
    numpy.savez(f"{folder}/{after}.npz", *runs.weights(model), *(runs.array(one) for one in model.optimizer.variables))


def do(folder, *others):
    """Begin a training and go on with it, then with what the others began."""
    begin(folder, runs.BACKEND)
    for one in (runs.BACKEND, *others):
        go_on(folder, one, f"{one}-{runs.BACKEND}")
