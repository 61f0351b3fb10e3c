"""TensorFlow's strategies, on two logical CPUs."""

import keras
import keras_runs as runs
import numpy
import pytest
import tensorflow as tf

from rmsprop.keras import RMSprop

OPTIONS = [
    {}, {"gradient_accumulation_steps": 3, "clipnorm": 0.1, "loss_scale_factor": 8.0},
    {
        "momentum": 0.5, "centered": True, "weight_decay": 0.01, "global_clipnorm": 0.1,
        "use_ema": True, "ema_overwrite_frequency": 5,
    },
]  # fmt: skip


@pytest.fixture(scope="module")
def strategy():
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_mirrored_model_trains_as_one(strategy, options):
    with strategy.scope():
        model = runs.model(RMSprop(0.01, **options))
    runs.fit(model)
    alone = runs.model(RMSprop(0.01, **options))
    runs.fit(alone)
    runs.assert_same(runs.weights(model), runs.weights(alone), tolerance=1e-5)
    for variable in model.trainable_variables:
        one, other = (part.numpy() for part in variable.value.values)
        numpy.testing.assert_array_equal(one, other)


def test_constraints_and_embeddings(strategy):
    with strategy.scope():
        constraint = keras.constraints.NonNeg()
        layers = [
            keras.layers.Embedding(9, 4),
            keras.layers.Flatten(),
            keras.layers.Dense(1, kernel_constraint=constraint),
        ]
        model = keras.Sequential([keras.Input((3,), dtype="int32"), *layers])
        model.compile(RMSprop(0.1), "mse")
    rows = numpy.random.default_rng(0).integers(0, 9, (32, 3))
    model.fit(rows, rows[:, :1].astype("float32") - 5, batch_size=8, verbose=0)
    assert runs.array(layers[-1].kernel).min() == 0


def test_a_loop_by_hand(strategy):
    with strategy.scope():
        model = runs.model(RMSprop(0.01))
        optimizer = model.optimizer
    x, y = runs.data(16)

    @tf.function
    def step(x, y):
        def replica(x, y):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(x) - y) ** 2) / 2
            optimizer.apply_gradients(
                zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
            )

        strategy.run(replica, args=(x, y))

    step(tf.constant(x), tf.constant(y))
    alone = runs.model(RMSprop(0.01))
    alone.train_on_batch(x, y)
    runs.assert_same(runs.weights(model), runs.weights(alone), tolerance=1e-6)
    assert int(optimizer.iterations.numpy()) == 1


def test_in_a_scope_and_no_replica(strategy):
    with strategy.scope():
        optimizer, variable = RMSprop(), keras.Variable(1.0)
        with pytest.raises(RuntimeError, match="MirroredStrategy.run"):
            optimizer.apply([tf.ones(())], [variable])
