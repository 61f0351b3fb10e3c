"""Training that is cut into parts, each of which makes everything anew and goes on from the file of the one before.
`main` does one of the parts, for every way and every format; each is to be a process of its own.
"""

import itertools
import warnings
from pathlib import Path

import conftest  # noqa: F401, before TensorFlow
import numpy
import tf_keras
from keras_models import compiled, mlp, state, train
from keras_saving import FORMATS

from rmsprop.tf_keras import RMSprop

Original = tf_keras.optimizers.RMSprop

PARTS = 5

#: Which class does which part.
WAYS = {
    "ours": [RMSprop] * PARTS,
    "original": [Original] * PARTS,
    "both": [RMSprop, Original, RMSprop, Original, RMSprop],
    "after two of the original": [Original, Original, RMSprop, RMSprop, Original],
}

OPTIONS = {
    "learning_rate": 2.0**-7, "momentum": 0.9, "centered": True, "use_ema": True, "ema_momentum": 0.5,
    "ema_overwrite_frequency": 3,
}  # fmt: skip

#: A file that says what the optimizer is cannot be read as another class. SavedModels keep the original's state only
#: for `load_weights`, of a model that is built.
PAIRS = [
    (way, form)
    for way, form in itertools.product(WAYS, FORMATS)
    if not form.whole or (len(set(WAYS[way])) == 1 and not (way == "original" and form.name == "saved_model"))
]


def part(way, form, folder, number):
    """Do a part: two steps, and a file in the middle of training as well as one at the end."""
    kind = WAYS[way][number]
    if number:
        model = form.load(str(folder / f"{number - 1}-{form.name}"), OPTIONS, kind)
        assert type(model.optimizer) is kind
    else:
        model = compiled(kind(**OPTIONS), mlp())
        form.save(model, str(folder / f"before-{form.name}"))
    train(model, 2 * number, 2 * number + 1)
    form.save(model, str(folder / f"middle-{form.name}"))
    train(model, 2 * number + 1, 2 * number + 2)
    form.save(model, str(folder / f"{number}-{form.name}"))
    return state(model)


def whole(kind=RMSprop, begin=0):
    """The same training in one piece."""
    model = compiled(kind(**OPTIONS), mlp())
    train(model, begin, 2 * PARTS)
    return state(model)


def main(folder, what, number=None):
    """Do a part of all trainings, or the training "in_one_piece" by either class."""
    if what == "in_one_piece":
        for kind in (RMSprop, Original):
            numpy.savez(Path(folder) / f"{kind.__module__}.npz", **whole(kind))
        return
    warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file", UserWarning)
    for way, form in PAIRS:
        place = Path(folder) / way
        place.mkdir(exist_ok=True)
        numpy.savez(place / f"{form.name}.npz", **part(way, form, place, int(number)))
        tf_keras.backend.clear_session()
