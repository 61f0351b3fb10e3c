"""tf_keras's callbacks: those that change the learning rate, those that save, and those that stop."""

import csv

import numpy
import pytest
import tf_keras
from keras_models import (
    BATCH,
    BATCHES,
    EVERYTHING,
    assert_ours,
    assert_same,
    compiled,
    furthest,
    mlp,
    state,
)
from keras_zoo import INPUTS, TARGETS, fitted

from rmsprop import schedules
from rmsprop.tf_keras import RMSprop

Original = tf_keras.optimizers.RMSprop
callbacks = tf_keras.callbacks
kinds = pytest.mark.parametrize("kind", [Original, RMSprop], ids=["the original", "ours"])


def fit(model, epochs, *given, initial_epoch=0):
    """Train on, and give what was logged."""
    return model.fit(
        INPUTS, TARGETS, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0, callbacks=list(given),
        initial_epoch=initial_epoch,
    ).history  # fmt: skip


# Learning rates -------------------------------------------------------------------------------------------------------


def test_learning_rate_scheduler():
    """Each epoch has its rate, and nothing is traced again for it."""
    model, traced = compiled(RMSprop(0.5, momentum=0.9)), []
    count = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: traced.append(model.train_function.experimental_get_tracing_count())
    )
    history = fit(model, 3, callbacks.LearningRateScheduler(lambda epoch, rate: rate / 4), count)
    assert history["lr"] == [0.125, 0.03125, 0.0078125]
    assert model.optimizer.learning_rate.numpy() == 0.0078125
    assert traced == [traced[0]] * 3
    by_hand = compiled(RMSprop(0.5, momentum=0.9))
    for epoch, rate in enumerate(history["lr"]):
        by_hand.optimizer.learning_rate = rate
        fit(by_hand, epoch + 1, initial_epoch=epoch)
    assert_same(state(model), state(by_hand))


@pytest.mark.slow
def test_learning_rate_scheduler_beside_the_original():
    models = []
    for kind in (RMSprop, Original):
        models.append(compiled(kind(**EVERYTHING)))
        fit(models[-1], 3, callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2))
    # Measured 4.0e-7: an ulp or two of each step, which the gradients feed back.
    assert furthest(*(model.get_weights() for model in models)) <= 3e-6


@kinds
def test_reduce_lr_on_plateau(kind):
    """No epoch is better by 100, so that each after the first is one of patience."""
    model = compiled(kind(0.5))
    plateau = callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=100, min_lr=0.125)
    assert fit(model, 6, plateau)["lr"] == [0.5, 0.5, 0.25, 0.125, 0.125, 0.125]


@pytest.mark.parametrize(
    "schedule", [tf_keras.optimizers.schedules.ExponentialDecay, schedules.ExponentialDecay], ids=["tf_keras's", "ours"]
)
@pytest.mark.parametrize(
    "callback",
    [
        lambda: callbacks.LearningRateScheduler(lambda epoch: 0.5),
        lambda: callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=100),
    ],
)
def test_a_callback_cannot_set_the_rate_of_a_schedule(schedule, callback):
    """The original lets it, and ignores it."""
    with pytest.raises(TypeError, match="cannot be set while the schedule .* rules: for LearningRateScheduler"):
        fit(compiled(RMSprop(schedule(0.5, 10, 0.5))), 2, callback())


@pytest.mark.parametrize(
    "schedule", [tf_keras.optimizers.schedules.ExponentialDecay, schedules.ExponentialDecay], ids=["tf_keras's", "ours"]
)
def test_callbacks_see_the_rate_of_the_next_step(schedule):
    seen = []
    look = callbacks.LambdaCallback(
        on_batch_begin=lambda batch, logs: seen.append(float(model.optimizer.learning_rate))
    )
    model = compiled(RMSprop(schedule(0.5, 5, 0.5)))
    fit(model, 1, look)
    expected = [0.5 * 0.5 ** (step / 5) for step in range(BATCHES)]
    numpy.testing.assert_allclose(seen, expected, rtol=3e-7)  # measured 6.0e-8: float32
    assert seen[0] == 0.5


@kinds
def test_csv_logger_writes_the_rate(kind, tmp_path):
    plateau = callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=100)
    fit(compiled(kind(0.5)), 4, plateau, callbacks.CSVLogger(tmp_path / "log.csv"))
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["lr"]) for row in rows] == [0.5, 0.5, 0.25, 0.125]


# Saving ---------------------------------------------------------------------------------------------------------------


class _Kept(callbacks.Callback):
    """What there was at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.states = []

    def on_epoch_end(self, epoch, logs=None):
        self.states.append(state(self.model))


class _Score(callbacks.Callback):
    """The third epoch is the best, wherever the test runs."""

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = [5, 4, 1, 2, 3, 3, 3][epoch]


BEST = 2


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
@pytest.mark.parametrize(
    ("name", "of_weights"),
    [
        ("best.keras", False), ("best.h5", True),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in [("best.h5", False), ("best", False), ("best", True)]),
    ],
)  # fmt: skip
def test_model_checkpoint_keeps_the_best(name, of_weights, tmp_path):
    """The state of the best epoch, with which training goes on."""
    kept, path = _Kept(), str(tmp_path / name)  # the callback takes no other path for whole models
    model = compiled(RMSprop(2.0**-5, momentum=0.5))
    save = callbacks.ModelCheckpoint(path, "score", mode="min", save_best_only=True, save_weights_only=of_weights)
    fit(model, 5, kept, _Score(), save)
    best = kept.states[BEST]
    if of_weights:
        again = compiled(RMSprop(2.0**-5, momentum=0.5), mlp(seed=1))
        again.load_weights(path)
    else:
        again = tf_keras.models.load_model(path)
        assert_ours(again.optimizer)
    # A file of weights that ends in h5 holds no optimizer, and from a SavedModel load_model does not read it.
    if (name, of_weights) in (("best.h5", True), ("best", False)):
        weights = {variable.name: variable.numpy() for variable in again.weights}
        assert_same(weights, {name: best[name] for name in weights})
    else:
        again.optimizer.build(again.trainable_variables)
        assert_same(state(again), best)


class _Interrupted(Exception):
    """What a power cut is here."""


class _Interrupt(callbacks.Callback):
    def __init__(self, epoch, batch):
        super().__init__()
        self._epoch, self._batch, self._when = None, batch, epoch

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self._epoch, batch) == (self._when, self._batch):
            raise _Interrupted


@pytest.mark.parametrize(
    "options",
    [
        EVERYTHING,
        pytest.param({"learning_rate": schedules.CosineDecay(2.0**-5, 30), "momentum": 0.9}, marks=pytest.mark.slow),
    ],
    ids=["everything", "a schedule of ours"],
)
def test_backup_and_restore(options, tmp_path):
    """Interrupted in the third epoch and run again, it ends with the bits of the run that was not."""
    expected = compiled(RMSprop(**options))
    fit(expected, 4)
    with pytest.raises(_Interrupted):
        fit(compiled(RMSprop(**options)), 4, callbacks.BackupAndRestore(tmp_path), _Interrupt(2, 6))
    again, batches = compiled(RMSprop(**options), mlp(seed=1)), []
    count = callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: batches.append(batch))
    fit(again, 4, callbacks.BackupAndRestore(tmp_path), count)
    assert batches == [*range(BATCHES)] * 2
    assert_same(state(again), state(expected))


def test_backup_and_restore_within_an_epoch(tmp_path):
    """It goes on from the state at step 25. tf_keras then starts the epoch's data anew, whatever the optimizer."""
    states = {}

    def keep(model):
        return callbacks.LambdaCallback(
            on_train_batch_begin=lambda batch, logs: states.setdefault(int(model.optimizer.iterations), state(model))
        )

    model = compiled(RMSprop(**EVERYTHING))
    with pytest.raises(_Interrupted):
        fit(model, 4, callbacks.BackupAndRestore(tmp_path, 5), keep(model), _Interrupt(2, 6))
    expected = states[25]
    states.clear()
    again = compiled(RMSprop(**EVERYTHING), mlp(seed=1))
    fit(again, 4, callbacks.BackupAndRestore(tmp_path, 5), keep(again))
    assert min(states) == 25
    assert_same(states[25], expected)


# Stopping -------------------------------------------------------------------------------------------------------------


@kinds
@pytest.mark.parametrize("use_ema", [pytest.param(False, marks=pytest.mark.slow), True])
def test_early_stopping_restores_the_best_weights(kind, use_ema):
    """After `fit` has put the averages in: these are lost then, in tf_keras's order."""
    kept, model = _Kept(), compiled(kind(2.0**-5, momentum=0.5, use_ema=use_ema))
    stop = callbacks.EarlyStopping("score", mode="min", patience=2, restore_best_weights=True)
    fit(model, 7, kept, _Score(), stop)
    assert len(kept.states) == BEST + 3
    for variable in model.weights:
        numpy.testing.assert_array_equal(variable.numpy(), kept.states[BEST][variable.name])
    assert model.optimizer.iterations.numpy() == BATCHES * (BEST + 3)


def test_terminate_on_nan():
    """A NaN is not swallowed."""
    targets = TARGETS.copy()
    targets[BATCH * 3] = numpy.nan
    model = compiled(RMSprop())
    model.fit(INPUTS, targets, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[callbacks.TerminateOnNaN()])
    assert model.optimizer.iterations.numpy() == 4
    assert numpy.isnan(model.get_weights()[0]).all()


def test_other_arguments_may_be_changed_between_fits():
    """They are read when a step is traced, which `compile` makes `fit` do again."""
    model, _ = fitted("sequential", RMSprop(2.0**-7), epochs=1)
    before = model.get_weights()[0]
    model.optimizer.clipvalue = 2.0**-20
    model.optimizer.epsilon = 1.0
    model.compile(model.optimizer, "mse")
    fit(model, 1)
    change = abs(model.get_weights()[0] - before).max()
    assert 0 < change <= 2 * BATCHES * 2.0**-27
