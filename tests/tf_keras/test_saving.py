"""A run that is saved, loaded and continued ends with the bits of the one that went on."""

import json
import zipfile

import h5py
import keras_saving
import numpy
import pytest
import tensorflow as tf
import tf_keras
from keras_models import BATCHES, OPTIONS, X, Y, assert_ours, assert_same, compiled, mlp, state, train
from keras_saving import FORMATS

from rmsprop.tf_keras import RMSprop

HALF = BATCHES // 2
pytestmark = pytest.mark.filterwarnings(keras_saving.IGNORE_H5)
formats = pytest.mark.parametrize("form", FORMATS, ids=str)


class Run:
    """A model trained to the half, saved in every format, and trained on."""

    def __init__(self, options, folder):
        self.model, self.folder = compiled(RMSprop(**options)), folder
        train(self.model, 0, HALF)
        self.config, self.half = self.model.optimizer.get_config(), state(self.model)
        for form in FORMATS:
            form.save(self.model, self.path(form))
        train(self.model, HALF, BATCHES)
        self.end = state(self.model)

    def path(self, form):
        return str(self.folder / form.name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return {name: Run(make(), tmp_path_factory.mktemp("run")) for name, make in OPTIONS.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_both_halves_of_a_run_change_everything(runs, name):
    """Else the tests here might compare what nobody changed."""
    one = runs[name]
    start = state(compiled(RMSprop(), mlp()))
    for key, array in one.end.items():
        assert (array != one.half[key]).any()
        assert key not in start or key == "iteration:0" or (start[key] != one.half[key]).any()


@formats
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.matrix
def test_a_run_goes_on_bit_exactly(runs, name, form):
    one = runs[name]
    model = form.load(one.path(form), OPTIONS[name]())
    assert_ours(model.optimizer)
    assert model.optimizer.get_config() == one.config
    train(model, HALF, BATCHES)
    assert_same(state(model), one.end)


FRESH = """
import sys
import numpy, tf_keras
folder, data = sys.argv[1], numpy.load(sys.argv[2])
try:
    tf_keras.models.load_model(folder + "/model.h5")
except ValueError as error:
    assert "rmsprop>RMSprop" in str(error)
else:
    raise AssertionError("loaded as something else")
assert "rmsprop" not in sys.modules
models = {"model.keras": tf_keras.models.load_model(folder + "/model.keras")}
import keras_models, keras_saving
for form in keras_saving.FORMATS[1:]:
    models[form.name] = form.load(folder + "/" + form.name, keras_models.OPTIONS["everything"]())
for name, model in models.items():
    keras_models.assert_ours(model.optimizer)
    for x, y in zip(data["x"], data["y"]):
        model.train_on_batch(x, y)
    numpy.savez(folder + "/" + name + ".end.npz", **keras_models.state(model))
"""


def test_another_process_goes_on_bit_exactly(runs, loaded, tmp_path):
    """A `.keras` file finds our class by itself; the older formats, for which it must be imported, say so."""
    one = runs["everything"]
    numpy.savez(tmp_path / "data.npz", x=X[HALF:], y=Y[HALF:])
    loaded.run(FRESH, one.folder, tmp_path / "data.npz")
    for form in FORMATS:
        with numpy.load(f"{one.path(form)}.end.npz") as found:
            assert_same(dict(found), one.end)


def test_files_name_our_class(runs):
    """A class without a package of its own in these places comes back as tf_keras's, which has the same name."""
    assert tf_keras.saving.get_registered_name(RMSprop) == "rmsprop>RMSprop"
    with zipfile.ZipFile(runs["plain"].folder / "model.keras") as file:
        written = json.loads(file.read("config.json"))["compile_config"]["optimizer"]
    assert (written["module"], written["registered_name"]) == ("rmsprop.tf_keras", "rmsprop>RMSprop")
    with h5py.File(runs["plain"].folder / "model.h5") as file:
        written = json.loads(file.attrs["training_config"])["optimizer_config"]
    assert written["class_name"] == "rmsprop>RMSprop"
    assert written["config"] == runs["plain"].config


@pytest.mark.parametrize("form", [form for form in FORMATS if form.restore], ids=str)
def test_a_model_that_has_stepped_goes_back(runs, form):
    """A traced step must not hold on to values."""
    one = runs["everything"]
    form.restore(one.model, one.path(form))
    assert_same(state(one.model), one.half)
    train(one.model, HALF, BATCHES)
    assert_same(state(one.model), one.end)


@formats
@pytest.mark.matrix(4)
def test_a_learning_rate_set_by_hand_is_kept(tmp_path, form):
    """Only HDF5 files of weights do not hold it, with tf_keras as with ours."""
    model = compiled(RMSprop(0.5))
    train(model, 0, 1)
    model.optimizer.learning_rate = 0.125
    form.save(model, str(tmp_path / form.name))
    found = form.load(str(tmp_path / form.name), {"learning_rate": 0.5}).optimizer
    kept = 0.5 if form.name == "model.weights.h5" else 0.125
    assert found.learning_rate.numpy() == found.get_config()["learning_rate"] == kept


def test_load_model_alone_does_not_restore_the_optimizer_of_a_saved_model(tmp_path):
    """As with tf_keras's own; `load_weights` of the same folder does, above."""
    for kind in (tf_keras.optimizers.RMSprop, RMSprop):
        model = compiled(kind(momentum=0.5))
        train(model, 0, 2)
        model.save(tmp_path / "saved_model", save_format="tf")
        found = tf_keras.models.load_model(tmp_path / "saved_model").optimizer
        assert (type(found), found.iterations.numpy()) == (kind, 0)


def test_without_state_to_fill_weights_h5_leaves_it_out(tmp_path):
    """As with tf_keras's own, which logs it."""
    for kind in (tf_keras.optimizers.RMSprop, RMSprop):
        model = compiled(kind(momentum=0.5))
        train(model, 0, 2)
        model.save_weights(tmp_path / "model.weights.h5")
        found = compiled(kind(momentum=0.5), mlp(seed=1))
        found.load_weights(tmp_path / "model.weights.h5")
        assert found.optimizer.iterations.numpy() == 0
        numpy.testing.assert_array_equal(found.get_weights()[0], model.get_weights()[0])


# Types ----------------------------------------------------------------------------------------------------------------


def _resumed(form, path, dtype, **options):
    """The end of an uninterrupted run, and of one that was saved and loaded."""
    model = compiled(RMSprop(use_ema=True, **options), mlp(dtype=dtype))
    train(model, 0, HALF)
    form.save(model, str(path / form.name))
    train(model, HALF, BATCHES)
    again = form.load(str(path / form.name))
    train(again, HALF, BATCHES)
    return state(again), state(model)


wholes = pytest.mark.parametrize("form", [form for form in FORMATS if form.whole], ids=str)


@wholes
@pytest.mark.parametrize(("dtype", "slot_dtype"), [("float16", "float32"), ("float64", None)])
@pytest.mark.matrix(2)
def test_models_of_other_types(tmp_path, form, dtype, slot_dtype):
    found, expected = _resumed(form, tmp_path, dtype, slot_dtype=slot_dtype)
    assert expected["velocity/first/kernel:0"].dtype == (slot_dtype or dtype)
    assert_same(found, expected)


def test_half_precision_models_in_saved_models(tmp_path):
    """The only whole format that tf_keras can read weights of bfloat16 from."""
    form = next(form for form in FORMATS if form.name == "saved_model")
    found, expected = _resumed(form, tmp_path, "bfloat16", slot_dtype="float32")
    assert_same(found, expected)


@wholes
@pytest.mark.matrix(2)
def test_half_precision_state_in_hdf5(tmp_path, form):
    """HDF5 gives a bfloat16 back as two bytes without a type."""
    found, expected = _resumed(form, tmp_path, "float32", slot_dtype="bfloat16")
    assert expected["average/first/kernel:0"].dtype == tf.bfloat16.as_numpy_dtype
    assert_same(found, expected)
