"""What files hold of `rmsprop.keras.RMSprop`, on any backend; a folder for each subclasses this."""

import copy
import pickle
import re

import keras
import keras_runs as runs
import numpy
import pytest

import rmsprop
from rmsprop.keras import RMSprop

OPTIONS = {"momentum": 0.5, "centered": True, "use_ema": True, "ema_overwrite_frequency": 5, "weight_decay": 0.01}


def early(variable=None):
    """Give an optimizer read from a file that has no step yet, and its variable, whose value comes next."""
    variable = keras.Variable([1.0]) if variable is None else variable
    store = {}
    RMSprop(use_ema=True).save_own_variables(store)
    optimizer = RMSprop(use_ema=True)
    optimizer.build([variable])
    optimizer.load_own_variables(store)
    return optimizer, variable


def average(optimizer):
    return runs.array(optimizer._model_variables_moving_average[0])


class Saving:
    """There and back."""

    def test_bits_of_a_resumed_training(self, tmp_path):
        model = runs.model(RMSprop(0.01, **OPTIONS))
        runs.fit(model, epochs=1)
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        assert type(again.optimizer) is RMSprop
        assert again.optimizer.get_config() == model.optimizer.get_config()
        for one in (model, again):
            runs.fit(one)
        runs.assert_same(runs.weights(again), runs.weights(model))
        assert int(again.optimizer.iterations) == 18

    def test_the_class_comes_back_from_kerass_older_files(self, tmp_path):
        """Which give no optimizer its state back: Keras says so in its log."""
        model = runs.model(RMSprop(0.01, momentum=0.5))
        runs.fit(model, epochs=1)
        model.save(tmp_path / "model.h5")
        again = keras.models.load_model(tmp_path / "model.h5")
        assert type(again.optimizer) is RMSprop
        runs.fit(again, epochs=1)
        assert int(again.optimizer.iterations) == 6

    def test_weights_alone(self, tmp_path):
        model, other = runs.model(RMSprop(0.01, **OPTIONS)), runs.model(RMSprop(0.01, **OPTIONS), seed=4)
        runs.fit(model, epochs=1)
        model.save_weights(tmp_path / "some.weights.h5")
        other.optimizer.build(other.trainable_variables)
        other.load_weights(tmp_path / "some.weights.h5")
        for one in (model, other):
            runs.fit(one)
        runs.assert_same(runs.weights(other), runs.weights(model))

    @pytest.mark.parametrize(
        "options", [{}, {"momentum": 0.5}, {"momentum": 0.5, "centered": True, "use_ema": True}], ids=str
    )
    @pytest.mark.parametrize("ours_first", [True, False])
    @pytest.mark.matrix(2)
    def test_both_ways_with_kerass_own(self, tmp_path, options, ours_first):
        makes = (RMSprop, keras.optimizers.RMSprop) if ours_first else (keras.optimizers.RMSprop, RMSprop)
        model, other = (runs.model(make(0.01, **options)) for make in makes)
        runs.move(model)
        model.save_weights(tmp_path / "some.weights.h5")
        other.optimizer.build(other.trainable_variables)
        other.load_weights(tmp_path / "some.weights.h5")
        pairs = zip(other.optimizer.variables, model.optimizer.variables, strict=True)
        for mine, theirs in pairs:
            names = [re.sub(r"_\d+", "", one.name) for one in (mine, theirs)]
            assert names[0] == names[1]
            numpy.testing.assert_array_equal(runs.array(mine), runs.array(theirs))

    @pytest.mark.parametrize(
        ("there", "here", "match"),
        [
            ({"momentum": 0.5}, {"centered": True}, "4 momentum.*4 average_gradient"),
            ({"use_ema": True}, {"momentum": 0.5}, "4 average, 4 velocity.*4 velocity, 4 momentum"),
            ({}, {"momentum": 0.5}, "2 learning_rate|1 learning_rate, 4 velocity.*4 momentum"),
        ],
    )
    def test_unlike_state_is_refused_by_name(self, tmp_path, there, here, match):
        model, other = runs.model(RMSprop(0.01, **there)), runs.model(RMSprop(0.01, **here))
        runs.move(model)
        model.save_weights(tmp_path / "some.weights.h5")
        other.optimizer.build(other.trainable_variables)
        before = [runs.array(one) for one in other.optimizer.variables]
        with pytest.raises(ValueError, match=match):
            other.load_weights(tmp_path / "some.weights.h5")
        runs.assert_same([runs.array(one) for one in other.optimizer.variables], before)

    def test_a_file_without_an_optimizer(self, tmp_path):
        """Weights are read, and the state stays, as with Keras's own."""
        runs.network(seed=5).save_weights(tmp_path / "some.weights.h5")
        model = runs.model(RMSprop(0.01, **OPTIONS))
        runs.fit(model, epochs=1)
        before = [runs.array(one) for one in model.optimizer.variables]
        with pytest.warns(UserWarning, match="Skipping variable loading for optimizer"):
            model.load_weights(tmp_path / "some.weights.h5")
        runs.assert_same([runs.array(one) for one in model.optimizer.variables], before)
        runs.assert_same(runs.weights(model), runs.weights(runs.network(seed=5)))

    def test_unlike_state_in_several_files(self, tmp_path):
        """Keras cuts the weights of a large model up; each of the files says what the state is."""
        model, other = runs.model(RMSprop(0.01, momentum=0.5)), runs.model(RMSprop(0.01, centered=True))
        runs.move(model)
        model.save_weights(tmp_path / "some.weights.json", max_shard_size=7e-7)  # gigabytes
        assert len(list(tmp_path.glob("*.h5"))) > 2
        other.optimizer.build(other.trainable_variables)
        with pytest.raises(ValueError, match="4 momentum.*4 average_gradient"):
            other.load_weights(tmp_path / "some.weights.json")
        again = runs.model(RMSprop(0.01, momentum=0.5))
        again.optimizer.build(again.trainable_variables)
        again.load_weights(tmp_path / "some.weights.json")
        pairs = zip(again.optimizer.variables, model.optimizer.variables, strict=True)
        runs.assert_same(*map(list, zip(*([runs.array(one) for one in pair] for pair in pairs), strict=True)))

    def test_unlike_state_of_kerass_own_is_refused_where_it_shows(self, tmp_path):
        """Their files do not say what is what; but averages of squares are not negative."""
        model, other = runs.model(keras.optimizers.RMSprop(use_ema=True)), runs.model(RMSprop(momentum=0.5))
        runs.move(model)
        model.save_weights(tmp_path / "some.weights.h5")
        other.optimizer.build(other.trainable_variables)
        with pytest.raises(ValueError, match="negative numbers for .*velocity"):
            other.load_weights(tmp_path / "some.weights.h5")

    def test_a_schedule_takes_over(self, tmp_path):
        model = runs.model(RMSprop(0.01))
        other = runs.model(RMSprop(rmsprop.schedules.ExponentialDecay(0.1, 10, 0.5)))
        runs.move(model, 6)
        other.optimizer.build(other.trainable_variables)
        model.save_weights(tmp_path / "some.weights.h5")
        other.load_weights(tmp_path / "some.weights.h5")
        assert int(other.optimizer.iterations) == 6
        other.save_weights(tmp_path / "other.weights.h5")
        model.load_weights(tmp_path / "other.weights.h5")
        assert float(model.optimizer.learning_rate) == numpy.float32(0.01)

    def test_a_model_saved_before_its_first_step(self, tmp_path):
        """Averages start at the weights that are read, which they are after the optimizer is built."""
        model = runs.model(RMSprop(0.01, use_ema=True, ema_overwrite_frequency=3))
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        for one in (model, again):
            runs.fit(one)
        runs.assert_same(runs.weights(again), runs.weights(model))

    @pytest.mark.filterwarnings("ignore:Keras .* has no place in its files")
    @pytest.mark.parametrize(
        "again", [copy.deepcopy, lambda variable: pickle.loads(pickle.dumps(variable))], ids=["copy", "pickle"]
    )
    def test_a_copy_of_a_variable_that_is_read_after_the_optimizer(self, again):
        first, w = early()
        try:
            twin = again(w)
        except TypeError:
            if keras.backend.backend() != "tensorflow":
                raise
            pytest.skip("a variable of Keras on TensorFlow cannot be copied")
        twin.assign([5.0])
        assert (runs.array(twin), runs.array(w)) == (5, 1)
        w.assign([3.0])
        assert average(first) == 3
        again(twin).assign([6.0])
        assert runs.array(twin) == 5

    @pytest.mark.filterwarnings("ignore:Keras .* has no place in its files")
    def test_two_optimizers_of_a_variable_that_is_read_after_them(self):
        first, w = early()
        second, _ = early(w)
        w.assign([3.0])
        assert (average(first), average(second)) == (3, 3)

    @pytest.mark.filterwarnings("ignore:Keras .* has no place in its files")
    def test_a_step_ends_it(self):
        first, w = early()
        second, _ = early(w)
        second.apply_gradients([(keras.ops.zeros((1,)), w)])
        w.assign([3.0])
        assert average(second) == 1
        # On JAX a step of the second is an assignment, too.
        assert average(first) == (1 if keras.backend.backend() == "jax" else 3)

    @pytest.mark.parametrize("make", [RMSprop, pytest.param(keras.optimizers.RMSprop, marks=pytest.mark.slow)])
    def test_back_to_before_the_first_step(self, tmp_path, make):
        """A model that was trained starts again, by the train function that Keras has already."""
        options = OPTIONS | {"initial_velocity": 0.5}
        fresh = runs.model(make(0.01, **OPTIONS))
        fresh.save_weights(tmp_path / "some.weights.h5")
        model, expected = (runs.model(RMSprop(0.01, **options)) for _ in range(2))
        runs.fit(model, epochs=1)
        state = [id(one) for one in model.optimizer.variables]
        model.load_weights(tmp_path / "some.weights.h5")
        assert [id(one) for one in model.optimizer.variables] == state
        for one in (model, expected):
            runs.fit(one)
        runs.assert_same(runs.weights(model), runs.weights(expected))
        pairs = zip(model.optimizer.variables, expected.optimizer.variables, strict=True)
        runs.assert_same(*map(list, zip(*([runs.array(one) for one in pair] for pair in pairs), strict=True)))

    def test_set_weights(self):
        optimizer, _ = runs.build({}, {"w": numpy.ones(2, "float32")})
        with pytest.raises(ValueError, match="weights holds 1 arrays, the optimizer has 3"):
            optimizer.set_weights([numpy.zeros(())])
        optimizer.set_weights([numpy.int32(5), numpy.float32(0.5), numpy.ones(2, "float32")])
        assert int(optimizer.iterations) == 5

    @pytest.mark.parametrize("dtype", ["int16", "int32", "int64"])
    def test_a_count_of_any_type(self, dtype):
        """It counts in the optimizer's own, as with Keras's own; by its value steps are counted on."""
        optimizer, named = runs.build({}, {"w": numpy.ones(2, "float32")})
        own = optimizer.iterations.dtype
        optimizer.set_weights([numpy.array(5, dtype), numpy.float32(0.5), numpy.ones(2, "float32")])
        runs.step(optimizer, named, {"w": numpy.ones(2, "float32")})
        optimizer.iterations.assign(numpy.array(int(optimizer.iterations) + 1, dtype))
        runs.step(optimizer, named, {"w": numpy.ones(2, "float32")})
        assert (int(optimizer.iterations), optimizer.iterations.dtype) == (8, own)

    def test_state_of_half_types(self, tmp_path):
        keras.config.set_dtype_policy("bfloat16")
        try:
            model = runs.model(RMSprop(0.01, momentum=0.5))
            runs.fit(model, epochs=1)
            model.save(tmp_path / "model.keras")
            again = keras.models.load_model(tmp_path / "model.keras")
            for mine, theirs in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
                numpy.testing.assert_array_equal(runs.array(mine), runs.array(theirs))
        finally:
            keras.config.set_dtype_policy("float32")
