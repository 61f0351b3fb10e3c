"""Training that is resumed again and again, from files of either class, goes on as if it had never stopped."""

import os
import sys

import keras_saving
import numpy
import pytest
import resuming
import tensorflow as tf
from keras_models import assert_same, compiled, furthest, mlp, state, train
from processes import run
from resuming import OPTIONS, PARTS, WAYS, Original, RMSprop

pytestmark = pytest.mark.filterwarnings(keras_saving.IGNORE_H5)
ways = pytest.mark.parametrize("way", WAYS)

# Measured up to 3.3e-7: the original multiplies by an approximate reciprocal root.
BOUND = 1e-6


@pytest.mark.slow
def test_five_processes_in_every_format(tmp_path):
    path = os.pathsep.join(filter(None, sys.path))
    # In one piece too in a process of its own: whatever other tests interrupt may leave names in TensorFlow's scopes.
    for part in ["in_one_piece", *(f"part {number}" for number in range(PARTS))]:
        source = "import sys, resuming; resuming.main(*sys.argv[1:])"
        run(source, tmp_path, *part.split(), timeout=900, PYTHONPATH=path)
    ours, theirs = (dict(numpy.load(tmp_path / f"{kind.__module__}.npz")) for kind in (RMSprop, Original))
    for way, form in resuming.PAIRS:
        with numpy.load(tmp_path / way / f"{form.name}.npz") as found:
            if way == "ours":
                assert_same(dict(found), ours)
            else:
                assert furthest([found[name] for name in theirs], theirs.values()) <= BOUND, (way, form)


# In one process, without models -----------------------------------------------------------------------------------


GRADIENTS = numpy.random.default_rng(0).normal(size=(3 * PARTS, 2, 3)).astype(numpy.float32)


class Run:
    """Two variables and their optimizer."""

    def __init__(self, kind, start=1.0, **options):
        # One variable is called like a slot.
        self.variables = [tf.Variable(tf.fill(3, start), name=name) for name in ("w", "momentum/b")]
        self.optimizer = kind(**OPTIONS | options)

    def step(self, begin, end):
        for row in GRADIENTS[begin:end]:
            self.optimizer.apply_gradients(zip(map(tf.constant, row), self.variables, strict=True))
        return self

    def checkpoint(self):
        return tf.train.Checkpoint(optimizer=self.optimizer, variables=self.variables)

    def arrays(self):
        return [one.numpy() for one in (*self.variables, *self.optimizer.variables)]


@ways
@pytest.mark.parametrize("options", [{}, {"name": "momentum"}, {"centered": False}, {"momentum": 0.0}], ids=str)
@pytest.mark.matrix(4)
def test_five_resumptions_of_checkpoints(way, options, tmp_path):
    path = None
    for number, kind in enumerate(WAYS[way]):
        run, last = Run(kind, **options), path
        checkpoint = run.checkpoint()
        # Looked at before it has any state.
        path = checkpoint.save(str(tmp_path / "checkpoint"))
        if number:
            status = checkpoint.restore(last)
            run.optimizer.build(run.variables)
            status.assert_consumed()
            status.assert_existing_objects_matched()
        run.step(2 * number, 2 * number + 2)
        path = checkpoint.save(str(tmp_path / "checkpoint"))
        expected = Run(kind, **options).step(0, 2 * number + 2).arrays()
        assert furthest(run.arrays(), expected) <= (0 if way == "ours" else BOUND), number
        # And back into what has gone on.
        run.step(2 * number + 2, 2 * number + 3)
        checkpoint.restore(path).assert_consumed()
        assert furthest(run.arrays(), expected) <= (0 if way == "ours" else BOUND), number


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("kind", [Original, RMSprop])
def test_the_list_of_the_original_goes_by_its_names(kind, built, tmp_path):
    """Where an optimizer's state is in its list alone, a momentum is no average of gradients either."""
    options = {"centered": False, "use_ema": False}
    one = Run(Original, **options)
    one.checkpoint().save(str(tmp_path / "before"))
    path = one.step(0, 2).checkpoint().save(str(tmp_path / "after"))
    other = Run(RMSprop, momentum=0.0, use_ema=False)
    if built:
        other.optimizer.build(other.variables)
    status = other.checkpoint().restore(path)
    other.optimizer.build(other.variables)
    with pytest.raises(AssertionError):
        status.assert_existing_objects_matched()
    for variable in other.optimizer.variables[-2:]:
        assert not variable.numpy().any()


def test_the_last_of_several_files_counts(tmp_path):
    """Whatever waits for the state to be built."""
    one = Run(RMSprop)
    early = one.checkpoint().write(str(tmp_path / "early"))
    late = one.step(0, 3).checkpoint().write(str(tmp_path / "late"))
    start, end = Run(RMSprop), one.arrays()
    start.optimizer.build(start.variables)
    for paths, expected in (([early, late], end), ([late, early], start.arrays()), ([early, late, early, late], end)):
        other = Run(RMSprop, start=5.0)
        for path in paths:
            other.checkpoint().read(path)
        other.optimizer.build(other.variables)
        assert furthest(other.arrays(), expected) == 0


def test_weights_are_loaded_twice(tmp_path):
    model = compiled(RMSprop(**OPTIONS))
    train(model, 0, 3)
    model.save_weights(tmp_path / "weights")
    expected = state(model)
    other = compiled(RMSprop(**OPTIONS), mlp(seed=1))
    for _ in range(2):
        other.load_weights(tmp_path / "weights")
    train(other, 3, 5)
    other.load_weights(tmp_path / "weights").assert_existing_objects_matched()
    assert_same(state(other), expected)
    other.save_weights(tmp_path / "again")
    third = compiled(RMSprop(**OPTIONS), mlp(seed=2))
    third.load_weights(tmp_path / "again")
    for one in (model, third):
        train(one, 3, 5)
    assert_same(state(third), state(model))
