"""The loop of ``rmsprop train``, and its record in a checkpoint.

A checkpoint is written after every epoch and when Ctrl-C stops the loop. Its tensors are the network and the
optimizer's state; its metadata is a `Record`. A training that is stopped and resumed ends with the same bits as one
without a stop.
"""

import json
import math
import signal
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, final

from rmsprop.cli import CommandError

if TYPE_CHECKING:
    from rmsprop.cli._digits import Array, Digits
    from rmsprop.cli._network import Network
    from rmsprop.cli._report import Clock, Display


@final
@dataclass(frozen=True)
class Settings:
    """The settings that decide the numbers of a training; a resumed training has the same.

    Attributes:
        hidden: sizes of the network's hidden layers.
        batch_size: images a step.
        learning_rate: of the optimizer.
        seed: of everything random.
    """

    hidden: tuple[int, ...] = (256, 128)
    batch_size: int = 64
    learning_rate: float = 0.001
    seed: int = 0


@final
class AnotherBackend(Exception):
    """A run of an earlier version, whose `rmsprop train` had a network for each framework; the text is its name."""


@final
@dataclass
class Record:
    """The progress of a training, as a checkpoint has it.

    Attributes:
        settings: of the training.
        epochs: of the whole training.
        epoch: epochs done.
        step: steps done of the next epoch.
        loss_sum: sum of the losses of these steps.
        losses: mean loss of each epoch, of the distorted images.
        test_losses: after each epoch, the test loss of the averaged weights.
        accuracies: after each epoch, the test accuracy of the averaged weights.
        raw_accuracies: after each epoch, the test accuracy of the weights themselves.
    """

    settings: Settings
    epochs: int = 60
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    losses: list[float] = field(default_factory=list)
    test_losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    raw_accuracies: list[float] = field(default_factory=list)

    def to_metadata(self) -> dict[str, str]:
        """Return the metadata of the checkpoint; JSON preserves every bit of a float."""
        return {"training": json.dumps(asdict(self))}

    @classmethod
    def from_metadata(cls, metadata: dict[str, str]) -> "Record":
        """Read the result of `to_metadata`.

        Raises:
            AnotherBackend: an earlier version wrote the metadata, for another framework than NumPy.
            KeyError, TypeError, ValueError: the metadata is something else.
        """
        fields = json.loads(metadata["training"])
        settings = fields.pop("settings")
        earlier = {name: settings.pop(name, None) for name in ("backend", "network", "keras_backend")}
        if earlier["backend"] not in (None, "numpy"):
            raise AnotherBackend(earlier["backend"])
        return cls(Settings(**{**settings, "hidden": tuple(settings["hidden"])}), **fields)


@final
class Stop:
    """Within a ``with`` block, the first Ctrl-C is a request to stop; the second raises KeyboardInterrupt.

    Attributes:
        requested: whether there was a first one.
    """

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> "Stop":
        self._before = signal.getsignal(signal.SIGINT)
        # A program that was started to ignore Ctrl-C (nohup, a shell's &) ignores it.
        if self._before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._request)
        return self

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGINT, self._before)


@final
class Training:
    """The training of a network at the progress of a record, which this updates."""

    def __init__(self, record: Record, digits: "Digits", network: "Network", path: Path, clock: "Clock") -> None:
        self.record = record
        self._digits, self.network, self._path, self._clock = digits, network, path, clock
        self.steps_an_epoch = math.ceil(len(digits.images) / record.settings.batch_size)
        self._started = False

    def run(self, display: "Display", stop: Stop) -> None:
        """Train up to the last epoch, or up to the end of the step in which `stop` is requested."""
        while self.record.epoch < self.record.epochs:
            self._epoch(display, stop)
            if stop.requested:
                return

    def _epoch(self, display: "Display", stop: Stop) -> None:
        """Do an epoch, or the rest of it, and write a checkpoint."""
        from rmsprop.cli._digits import shuffled_epoch

        record = self.record
        size = record.settings.batch_size
        with self._clock.measure("data"):
            images, labels = shuffled_epoch(self._digits, record.settings.seed, record.epoch + 1)
        while record.step < self.steps_an_epoch:
            batch = slice(record.step * size, (record.step + 1) * size)
            loss = self._step(images[batch], labels[batch])
            record.step += 1
            record.loss_sum += loss
            display.step(record.step, loss)
            if stop.requested:
                break
        if record.step == self.steps_an_epoch:
            self._finish_epoch(display)
        with self._clock.measure("checkpoints"):
            self.network.save(self._path, record.to_metadata())

    def _step(self, images: "Array", labels: "Array") -> float:
        with self._clock.measure("gradients"):
            loss, gradients = self.network.gradients(images, labels)
        self._require_finite(loss)
        # The first step compiles a kernel or loads one: measured apart, as it does not grow with the training.
        with self._clock.measure("optimizer" if self._started else "first_step"):
            self.network.step(gradients)
        self._started = True
        return loss

    def _finish_epoch(self, display: "Display") -> None:
        record = self.record
        test = self._digits.test_images, self._digits.test_labels
        with self._clock.measure("evaluation"):
            raw_accuracy = self.network.evaluate(*test)[1]
            with self.network.averaged():
                test_loss, accuracy = self.network.evaluate(*test)
        self._require_finite(test_loss)
        record.losses.append(record.loss_sum / record.step)
        record.test_losses.append(test_loss)
        record.accuracies.append(accuracy)
        record.raw_accuracies.append(raw_accuracy)
        record.epoch, record.step, record.loss_sum = record.epoch + 1, 0, 0.0
        display.epoch(record)

    def _require_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise CommandError(
                f"the loss became {loss} in epoch {self.record.epoch + 1}: choose a --learning-rate "
                f"below {self.record.settings.learning_rate:g}"
            )
