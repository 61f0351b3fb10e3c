"""`keras.distribution` on eight devices, which must be there before JAX starts: a process of its own."""

import textwrap

import pytest
from processes import path, run

SOURCE = """
    import keras, keras_runs as runs, numpy
    from rmsprop.keras import RMSprop

    options = dict(momentum=0.5, centered=True, use_ema=True, ema_overwrite_frequency=5, global_clipnorm=0.5)

    def train():
        keras.utils.set_random_seed(3)
        layers = [keras.layers.Dense(16, "relu", name="dense_a"), keras.layers.Dense(1, name="last")]
        model = keras.Sequential([keras.Input((8,)), *layers])
        model.compile(RMSprop(0.01, **options), "mse")
        runs.fit(model)
        runs.fit(model, epochs=1)
        return model

    expected = runs.weights(train())
    devices = keras.distribution.list_devices()
    assert len(devices) == 8
    mesh = keras.distribution.DeviceMesh((2, 4), ("batch", "model"), devices)
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*dense_a.*kernel"] = (None, "model")
    layout[".*dense_a.*bias"] = ("model",)
    for distribution in (
        keras.distribution.DataParallel(devices=devices),
        keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch"),
    ):
        keras.distribution.set_distribution(distribution)
        model = train()
        first = model.optimizer._velocities[0].value.sharding
        assert first.is_equivalent_to(model.trainable_variables[0].value.sharding, 2)
        kind = type(distribution).__name__
        assert first.is_fully_replicated == (kind == "DataParallel")
        assert len(first.device_set) == 8
        runs.assert_same(runs.weights(model), expected, tolerance=2e-6)
        average = model.optimizer._model_variables_moving_average[0].value
        assert average.sharding.is_equivalent_to(first, 2)
        print(kind)
"""


# Takes more than ten seconds: starts a process that compiles for eight devices
@pytest.mark.slow
def test_distributions():
    source = "import warnings; warnings.simplefilter('default')\n"
    source += textwrap.dedent(SOURCE)
    found = run(source, PYTHONPATH=path(), XLA_FLAGS="--xla_force_host_platform_device_count=8")
    assert found.split() == ["DataParallel", "ModelParallel"]
