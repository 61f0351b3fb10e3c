"""What ``rmsprop train`` does with the backend of any framework: tests that each backend's own module takes over.

A subclass says which `backend` it tests, and which `network` class. Frameworks are tested in processes of their own, so
these classes stand here, and not parametrized in one module.
"""

import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import rmsprop
from rmsprop.cli import _report, main
from rmsprop.cli._digits import load_digits
from rmsprop.cli._network import make_network
from rmsprop.cli._report import Clock
from rmsprop.cli._training import Record, Settings, Stop, Training


def small(backend):
    """Arguments for a quick run: 180 steps an epoch."""
    return "--backend", backend, "--hidden", "8", "--batch-size", "8", "--learning-rate", "0.003"


IMAGES = 360  # in the test set

#: After so many epochs with the command's defaults it has learnt, and rounding does not show yet: where the libraries
#: sum in another order, losses stay within 1e-6 for 25 epochs (torch) to 40 (tf_keras), and images for longer.
LEARNT = 24


def train(folder, *arguments):
    """Run ``rmsprop train`` in this process and give its exit code.

    Without the picture: it takes longer than a small run and is the same for every backend.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_report, "plot_curves", lambda path, record: None)
        return main(["train", "--out", str(folder), *arguments])


def checkpoint(folder):
    return folder / "checkpoint.safetensors"


def contents(folder):
    """Read a checkpoint: the tensors, and the metadata."""
    with safe_open(checkpoint(folder), framework="np") as file:
        # The file iterates over its tensors only in newer versions of safetensors.
        names = file.keys()
        return {name: file.get_tensor(name) for name in names}, file.metadata()


def bits(folder):
    tensors, metadata = contents(folder)
    return {name: tensor.tobytes() for name, tensor in tensors.items()}, metadata


class Silent:
    """A display that shows nothing."""

    def step(self, steps, loss):
        pass

    def epoch(self, record):
        pass


def record_of(network, folder, epochs):
    """Train a network as the command does, with its defaults, and give the record."""
    record = Record(Settings(), epochs)
    training = Training(record, load_digits(0), network, checkpoint(folder), Clock())
    training.run(Silent(), Stop())
    return record


def train_three_epochs(quick, folder):
    """Train a small network for three epochs that nothing disturbs, and give the folder."""
    assert train(folder, *quick, "--epochs", "3") == 0
    return folder


def learn(folder, *arguments):
    """Run the command with its defaults for `LEARNT` epochs, and give what it says it did."""
    figures = folder / "figures.json"
    assert train(folder, "--epochs", str(LEARNT), *arguments, "--json", str(figures)) == 0
    return json.loads(figures.read_text())


def assert_follows(figures, network, folder):
    """What the command did has the losses of another network in each epoch, and its accuracy."""
    folder.mkdir()
    theirs = record_of(network, folder, LEARNT)
    assert np.abs(np.subtract(figures["losses"], theirs.losses)).max() <= 1e-6
    assert np.abs(np.subtract(figures["accuracies"], theirs.accuracies)).max() * IMAGES == pytest.approx(0)


class Runs:
    backend: str

    def test_that_diverges_says_so(self, tmp_path, capsys):
        assert train(tmp_path, *small(self.backend), "--learning-rate", "1e30") == 2
        error = r"rmsprop train: error: the loss became (nan|inf) in epoch 1: choose a --learning-rate below 1e\+30\n"
        assert re.fullmatch(error, capsys.readouterr().err)
        assert not checkpoint(tmp_path).exists()


class Networks:
    backend: str

    def as_numpys(self, gradient):
        """Give a gradient as an array that lies as NumPy's network has it."""
        return gradient.numpy()

    def test_is_numpys(self):
        """The start values, a batch's loss and gradients, and what is evaluated."""
        ours, numpys = (make_network(Settings(name, hidden=(16, 8), seed=5)) for name in (self.backend, "numpy"))
        digits = load_digits(5)
        batch = digits.images[:64], digits.labels[:64]
        assert ours.parameters == numpys.parameters
        (loss, gradients), (expected, others) = ours.gradients(*batch), numpys.gradients(*batch)
        assert loss == pytest.approx(expected, rel=1e-6)  # measured: 9.6e-8, of rounding
        for one, other in zip(gradients, others, strict=True):
            # Measured: 1.7e-7, of rounding.
            assert np.abs(self.as_numpys(one) - other).max() <= 2e-6 * np.abs(other).max()
        test = digits.test_images, digits.test_labels
        assert ours.evaluate(*test) == pytest.approx(numpys.evaluate(*test), rel=1e-6)  # measured: the same

    def test_has_its_averages_for_a_while(self):
        network, digits = make_network(Settings(self.backend, hidden=(8,), learning_rate=0.01)), load_digits(0)
        for _ in range(3):
            network.step(network.gradients(digits.images[:64], digits.labels[:64])[1])
        test = digits.test_images, digits.test_labels
        before = network.evaluate(*test)
        with network.averaged():
            assert network.evaluate(*test) != before
        assert network.evaluate(*test) == before
        assert network.iterations == 3

    def test_writes_what_the_numpy_optimizer_reads(self, three_epochs):
        tensors, metadata = contents(three_epochs)
        variables = {
            name.removeprefix("variable/"): np.zeros_like(tensor)
            for name, tensor in tensors.items()
            if name.startswith("variable/")
        }
        optimizer = rmsprop.RMSprop(use_ema=True, ema_overwrite_frequency=None)
        optimizer.build(variables)
        assert optimizer.load(checkpoint(three_epochs), variables=True) == {"training": metadata["training"]}
        assert (optimizer.iterations, optimizer.learning_rate) == (540, 0.003)
        for name, array in variables.items():
            assert array.tobytes() == tensors[f"variable/{name}"].tobytes()
        state = {name: array.tobytes() for name, array in optimizer.variables.items() if name != "iterations"}
        assert state == {name: tensor.tobytes() for name, tensor in tensors.items() if not name.startswith("variable/")}
        assert len(state) == 2 * len(variables)


class Resumes:
    backend: str
    network: type
    first_layer = "layer1/weights"

    def quick(self):
        """Arguments with which `three_epochs` were trained."""
        return small(self.backend)

    def test_gives_the_same_bits(self, three_epochs, tmp_path):
        assert train(tmp_path, *self.quick(), "--epochs", "1") == 0
        # Settings that are not given, the backend among them, come from the checkpoint.
        assert train(tmp_path, "--resume", "--epochs", "3") == 0
        assert bits(tmp_path) == bits(three_epochs)

    def test_gives_the_same_bits_in_another_process(self, three_epochs, tmp_path):
        """Which imports the framework, ends another run and does one of its own, silent but for the reports."""
        assert train(tmp_path, *self.quick(), "--epochs", "2") == 0
        resumed = ["train", "--resume", "--epochs", "3", "--out", str(tmp_path)]
        begun = ["train", *small(self.backend), "--epochs", "1", "--out", str(tmp_path / "begun")]
        begun += ["--json", str(tmp_path / "figures.json")]
        source = f"import sys; from rmsprop.cli import main; sys.exit(main({resumed}) or main({begun}))"
        command = [sys.executable, "-W", "error", "-c", source]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert bits(tmp_path) == bits(three_epochs)
        assert re.match(r"epoch 3/3   loss \d\.\d+ ", done.stdout)
        assert re.search(r"^epoch 1/1   loss \d\.\d+ ", done.stdout, re.MULTILINE)
        figures = json.loads((tmp_path / "figures.json").read_text())
        parameters = 64 * 8 + 8 + 8 * 10 + 10
        assert (figures["backend"], figures["steps"], figures["parameters"]) == (self.backend, 180, parameters)

    @pytest.mark.parametrize(
        ("step", "where"),
        [
            pytest.param(1, "0 of 3 epochs and 1 of 180 steps", id="first_step"),
            pytest.param(180, "1 of 3 epochs", id="last_step_of_an_epoch"),
            pytest.param(253, "1 of 3 epochs and 73 of 180 steps", id="in_an_epoch"),
        ],
    )
    def test_undoes_a_ctrl_c(self, step, where, three_epochs, tmp_path, monkeypatch, capsys):
        def interrupted(network, gradients):
            if network.iterations + 1 == step:
                signal.raise_signal(signal.SIGINT)
            done(network, gradients)

        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            done = self.network.step
            monkeypatch.setattr(self.network, "step", interrupted)
            assert train(tmp_path, *self.quick(), "--epochs", "3") == 130
        finally:
            signal.signal(signal.SIGINT, before)
        assert f"stopped after {where}\n" in capsys.readouterr().out
        assert train(tmp_path, "--resume") == 0
        assert bits(tmp_path) == bits(three_epochs)

    def test_refuses_another_backend(self, three_epochs, capsys):
        before = checkpoint(three_epochs).read_bytes()
        assert train(three_epochs, "--resume", "--backend", "numpy") == 2
        error = f"rmsprop train: error: --backend numpy: .* was made with --backend {self.backend}\n"
        assert re.fullmatch(error, capsys.readouterr().err)
        assert checkpoint(three_epochs).read_bytes() == before

    def test_refuses_a_checkpoint_without_its_tensors(self, three_epochs, tmp_path, capsys):
        save_file({}, checkpoint(tmp_path), metadata=contents(three_epochs)[1])
        assert train(tmp_path, "--resume") == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert f"{self.first_layer} is missing" in error
