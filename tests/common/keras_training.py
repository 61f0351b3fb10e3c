"""Models trained with `rmsprop.keras.RMSprop` by Keras, on any backend; a folder for each subclasses this."""

import warnings
from typing import ClassVar

import keras
import keras_runs as runs
import numpy
import pytest

import rmsprop
from rmsprop.keras import RMSprop

#: Options without what only ours has, or has otherwise than Keras's own; whole numbers of steps.
SHARED = [
    {}, {"clipvalue": 0.1, "loss_scale_factor": 16.0},
    {"momentum": 0.5, "centered": True, "weight_decay": 0.01, "global_clipnorm": 1.0, "gradient_accumulation_steps": 3},
]  # fmt: skip


def ids(options):
    return "-".join(options) or "plain"


class Training:
    """By `fit` and by hand."""

    #: Ways of `compile` that the backend knows.
    WAYS: ClassVar = ({}, {"run_eagerly": True})

    @pytest.mark.parametrize("options", SHARED, ids=ids)
    @pytest.mark.matrix(2)
    def test_fit_as_with_kerass_own(self, options):
        trained = []
        for make in (RMSprop, keras.optimizers.RMSprop):
            model = runs.model(make(0.01, **options))
            runs.fit(model)
            trained.append(runs.weights(model))
        runs.assert_same(*trained, tolerance=5e-6)

    def test_ways_to_compile(self):
        options = {
            "momentum": 0.5,
            "centered": True,
            "use_ema": True,
            "ema_overwrite_frequency": 5,
            "weight_decay": 0.01,
        }
        trained = []
        for way in self.WAYS:
            model = runs.model(RMSprop(0.01, **options), **way)
            runs.fit(model)
            trained.append(runs.weights(model))
            assert int(model.optimizer.iterations) == 12
        for one in trained[1:]:
            runs.assert_same(one, trained[0], tolerance=5e-6)

    def test_fit_finalizes(self):
        model = runs.model(RMSprop(0.01, use_ema=True, ema_overwrite_frequency=None))
        runs.fit(model)
        for variable, average in zip(
            model.trainable_variables, model.optimizer._model_variables_moving_average, strict=True
        ):
            numpy.testing.assert_array_equal(runs.array(variable), runs.array(average))
        before = runs.weights(model)
        runs.fit(model, epochs=1)  # goes on
        assert not numpy.array_equal(before[0], runs.weights(model)[0])

    def test_train_on_batch(self):
        one, other = runs.model(RMSprop(0.01)), runs.model(RMSprop(0.01))
        x, y = runs.data(16)
        one.train_on_batch(x, y)
        other.fit(x, y, batch_size=16, verbose=0)
        runs.assert_same(runs.weights(one), runs.weights(other), tolerance=1e-6)

    @pytest.mark.parametrize("library", ["keras", "rmsprop"])
    def test_schedules(self, library):
        """Numbers set step by step by hand train the same."""
        schedules = keras.optimizers.schedules if library == "keras" else rmsprop.schedules
        model = runs.model(RMSprop(schedules.PiecewiseConstantDecay([2], [2.0**-7, 2.0**-9])))
        runs.fit(model, epochs=1)
        by_hand = runs.model(RMSprop(0.1))
        x, y = runs.data()
        for place in range(6):
            by_hand.optimizer.learning_rate = 2.0**-7 if place <= 2 else 2.0**-9
            by_hand.train_on_batch(x[16 * place : 16 * place + 16], y[16 * place : 16 * place + 16])
        runs.assert_same(runs.weights(model), runs.weights(by_hand), tolerance=1e-6)

    def test_a_schedule_that_looks_at_the_step(self):
        """Where steps are not traced Python decides, as with Keras's own."""

        class Schedule(keras.optimizers.schedules.LearningRateSchedule):
            def __call__(self, step):
                return 2.0**-7 if step <= 2 else 2.0**-9

        trained = []
        for make in (RMSprop, keras.optimizers.RMSprop):
            model = runs.model(make(Schedule()), run_eagerly=True)
            runs.fit(model, epochs=1)
            trained.append(runs.weights(model))
        runs.assert_same(*trained, tolerance=1e-6)

    def test_a_function_as_learning_rate_is_called_at_every_step(self):
        calls = []

        def rate():
            calls.append(1)
            return 2.0**-7 / len(calls)

        runs.fit(runs.model(RMSprop(rate)), epochs=1)
        assert len(calls) == 6

    def test_callbacks_set_the_learning_rate(self):
        callbacks = [keras.callbacks.LearningRateScheduler(lambda epoch, lr: 0.5**epoch)]
        model = runs.model(RMSprop(0.01))
        history = runs.fit(model, epochs=3, callbacks=callbacks)
        assert history.history["learning_rate"] == [1.0, 0.5, 0.25]
        plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=1e9)
        runs.fit(model, epochs=3, callbacks=[plateau])
        assert float(model.optimizer.learning_rate) == 0.0625

    def test_callbacks_over_a_schedule(self):
        model = runs.model(RMSprop(rmsprop.schedules.ExponentialDecay(0.1, 10, 0.5)))
        with pytest.raises(TypeError, match="cannot be set while the schedule"):
            runs.fit(model, epochs=1, callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)])

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
    def test_mixed_precision(self, policy):
        keras.mixed_precision.set_dtype_policy(policy)
        try:
            model = runs.model(RMSprop(0.001, use_ema=True))
            history = runs.fit(model, epochs=3).history["loss"]
        finally:
            keras.mixed_precision.set_dtype_policy("float32")
        wrapped = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        assert wrapped == (policy == "mixed_float16")
        inner = model.optimizer.inner_optimizer if wrapped else model.optimizer
        # At first its loss scale is too high for a step.
        assert 9 < int(inner.iterations) <= 18
        assert {one.dtype for one in inner._velocities} == {"float32"}
        assert history[-1] < history[0]

    def test_a_step_that_loss_scaling_skips(self):
        inner = RMSprop(0.01, momentum=0.5)
        model = runs.model(keras.optimizers.LossScaleOptimizer(inner, initial_scale=4.0))
        x, y = runs.data(16)
        model.train_on_batch(x, y)
        before = runs.weights(model), [runs.array(one) for one in inner.variables]
        model.train_on_batch(numpy.full_like(x, numpy.inf), y)
        runs.assert_same(runs.weights(model), before[0])
        runs.assert_same([runs.array(one) for one in inner.variables], before[1])
        assert float(model.optimizer.dynamic_scale.value) == 2.0

    def test_embeddings(self):
        """A row that several of a batch have is stepped once, as by a product with a matrix of zeros and ones.

        Keras's own sums squares of such rows on TensorFlow, not their sum's square.
        """
        trained = []
        for lookup in (keras.layers.Embedding(20, 4), keras.layers.Dense(4, use_bias=False)):
            keras.utils.set_random_seed(0)
            given = keras.Input((3,), dtype="int32")
            is_dense = isinstance(lookup, keras.layers.Dense)
            found = lookup(keras.ops.one_hot(given, 20) if is_dense else given)
            model = keras.Model(given, keras.layers.Dense(1)(keras.layers.Flatten()(found)))
            random = numpy.random.default_rng(0)
            model.set_weights([random.normal(size=one.shape) for one in model.get_weights()])
            model.compile(RMSprop(0.01, momentum=0.5, global_clipnorm=0.5), "mse")
            rows, y = random.integers(0, 8, (64, 3)), random.normal(size=(64, 1)).astype("float32")
            model.fit(rows, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
            trained.append(runs.weights(model))
        runs.assert_same(*trained, tolerance=5e-6)

    def test_constraints_in_a_model(self):
        keras.utils.set_random_seed(0)
        layer = keras.layers.Dense(1, kernel_constraint=keras.constraints.NonNeg())
        model = keras.Sequential([keras.Input((8,)), layer])
        model.compile(RMSprop(0.1), "mse")
        runs.fit(model)
        assert runs.array(layer.kernel).min() == 0

    @pytest.mark.parametrize("scaled", [False, True])
    def test_nothing_to_train(self, scaled):
        """As with Keras's own: what is frozen is fitted, and trained when it thaws."""
        optimizer = RMSprop(0.01, use_ema=True)
        model = runs.network()
        model.trainable = False
        model.compile(keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer, "mse")
        before = runs.weights(model)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The model does not have any trainable weights")
            runs.fit(model, epochs=1)
        runs.assert_same(runs.weights(model), before)
        assert int(optimizer.iterations) == 0
        if not scaled:  # Keras's own is built for good
            model.trainable = True
            model.compile(optimizer, "mse")
            runs.fit(model, epochs=1)
            assert int(optimizer.iterations) == 6

    def test_a_part_that_is_frozen(self):
        """It stays, and there are averages of the rest alone, which `fit` writes at its end."""
        optimizer, model = RMSprop(0.01, use_ema=True, ema_overwrite_frequency=None), runs.network()
        first = model.layers[0]
        first.trainable = False
        model.compile(optimizer, "mse")
        before = [runs.array(one) for one in first.weights]
        runs.fit(model, epochs=1)
        runs.assert_same([runs.array(one) for one in first.weights], before)
        trained = [runs.array(one) for one in model.trainable_variables]
        count, _, *state = (runs.array(one) for one in optimizer.variables)
        assert (int(count), len(state)) == (6, 4)
        runs.assert_same(state[:2], trained)

    def test_an_optimizer_is_for_one_model(self):
        model = runs.model(RMSprop(0.01))
        runs.fit(model, epochs=1)
        other = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        other.compile(model.optimizer, "mse")
        with pytest.raises(ValueError, match="optimizer was built (for|with)"):
            runs.fit(other, epochs=1)
