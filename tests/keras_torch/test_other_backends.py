"""A file that is trained on one backend goes on with another; each is a process of its own."""

import textwrap
from pathlib import Path

import numpy
import pytest
from processes import run

SOURCE = """
    import sys, warnings
    warnings.simplefilter("default")
    sys.path.insert(0, {tests!r})
    import keras, keras_runs as runs, numpy
    from rmsprop.keras import RMSprop
    options = dict(momentum=0.5, centered=True, use_ema=True, ema_overwrite_frequency=4, weight_decay=0.01)
    before, after = sys.argv[1:]
    if before == "none":
        model = runs.model(RMSprop(0.01, **options))
        random = numpy.random.default_rng(0)
        model.set_weights([random.normal(size=one.shape) / 4 for one in model.get_weights()])
    else:
        model = keras.models.load_model(before)
        assert type(model.optimizer) is RMSprop
    runs.fit(model, epochs=1)
    model.save(after + ".keras")
    numpy.savez(after + ".npz", *runs.weights(model), *(runs.array(one) for one in model.optimizer.variables))
"""


def train(backend, before, after):
    source = textwrap.dedent(SOURCE).format(tests=str(Path(__file__).parent.parent))
    run(source, before, after, KERAS_BACKEND=backend)
    with numpy.load(f"{after}.npz") as found:
        return list(found.values())


@pytest.mark.parametrize(("first", "second"), [("tensorflow", "jax"), ("jax", "torch"), ("torch", "tensorflow")])
def test_a_training_goes_on(tmp_path, first, second):
    train(first, "none", tmp_path / "start")
    there = train(second, tmp_path / "start.keras", tmp_path / "there")
    here = train(first, tmp_path / "start.keras", tmp_path / "here")
    assert int(there[4]) == int(here[4]) == 12
    for one, other in zip(there, here, strict=True):
        numpy.testing.assert_allclose(one, other, rtol=0, atol=5e-6)
