"""``rmsprop train --backend torch``: it learns as with NumPy, can be stopped, and goes on bit for bit."""

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
from rmsprop.cli import main
from rmsprop.cli._digits import load_digits
from rmsprop.cli._network import make_network
from rmsprop.cli._network_torch import TorchNetwork
from rmsprop.cli._report import Clock
from rmsprop.cli._training import Record, Settings, Stop, Training

# Small and quick: 180 steps an epoch.
SMALL = ("--backend", "torch", "--hidden", "8", "--batch-size", "8", "--learning-rate", "0.003")

IMAGES = 360  # in the test set


def train(folder, *arguments):
    """Run ``rmsprop train`` in this process and give its exit code."""
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


@pytest.fixture(scope="module")
def three_epochs(tmp_path_factory):
    """The folder of a small run of three epochs that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert train(folder, *SMALL, "--epochs", "3") == 0
    return folder


class TestARun:
    def test_is_silent_but_for_its_report(self, tmp_path):
        """In a process of its own, which imports torch."""
        command = [sys.executable, "-W", "error", "-m", "rmsprop", "train", *SMALL, "--epochs", "1"]
        command += ["--out", tmp_path, "--json", tmp_path / "figures.json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.match(r"epoch 1/1   loss \d\.\d+ ", done.stdout)
        figures = json.loads((tmp_path / "figures.json").read_text())
        assert (figures["backend"], figures["steps"], figures["parameters"]) == (
            "torch",
            180,
            64 * 8 + 8 + 8 * 10 + 10,
        )

    def test_ends_with_the_accuracy_of_numpy(self, tmp_path):
        (tmp_path / "ours").mkdir()
        figures_path = tmp_path / "ours" / "figures.json"
        assert train(tmp_path / "ours", "--backend", "torch", "--json", str(figures_path)) == 0
        ours = json.loads(figures_path.read_text())
        assert ours["test_accuracy"] >= 0.97

        settings = Settings()
        (tmp_path / "numpy").mkdir()
        numpys = make_network("numpy", settings.hidden, settings.learning_rate, settings.seed)
        theirs = record_of(numpys, tmp_path / "numpy", 60)
        # Measured: 5.9e-8 over 25 epochs, of rounding; it grows, to 7.5e-4 in the 58th.
        assert np.abs(np.subtract(ours["losses"], theirs.losses))[:25].max() <= 1e-6
        # Measured: no image in 25 epochs, and one in three of those after them, of the same growth; none at the end.
        images = np.abs(np.subtract(ours["accuracies"], theirs.accuracies)) * IMAGES
        assert images[:25].max() == pytest.approx(0)
        assert images[-1] <= 2 + 1e-9

    def test_that_diverges_says_so(self, tmp_path, capsys):
        assert train(tmp_path, *SMALL, "--learning-rate", "1e30") == 2
        error = r"rmsprop train: error: the loss became (nan|inf) in epoch 1: choose a --learning-rate below 1e\+30\n"
        assert re.fullmatch(error, capsys.readouterr().err)
        assert not checkpoint(tmp_path).exists()


class TestTheNetwork:
    def test_is_numpys(self):
        """The start values, a batch's loss and gradients, and what is evaluated."""
        ours, numpys = (make_network(name, (16, 8), 0.001, 5) for name in ("torch", "numpy"))
        digits = load_digits(5)
        batch = digits.images[:64], digits.labels[:64]
        assert ours.parameters == numpys.parameters
        (loss, gradients), (expected, others) = ours.gradients(*batch), numpys.gradients(*batch)
        assert loss == pytest.approx(expected, rel=1e-6)  # measured: the same
        for one, other in zip(gradients, others, strict=True):
            # Measured: 1.7e-7, of rounding.
            assert np.abs(one.t().numpy() - other).max() <= 2e-6 * np.abs(other).max()
        test = digits.test_images, digits.test_labels
        assert ours.evaluate(*test) == pytest.approx(numpys.evaluate(*test), rel=1e-6)  # measured: the same

    def test_has_its_averages_for_a_while(self):
        network, digits = make_network("torch", (8,), 0.01, 0), load_digits(0)
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


class TestResume:
    def test_gives_the_same_bits(self, three_epochs, tmp_path):
        assert train(tmp_path, *SMALL, "--epochs", "1") == 0
        # Settings that are not given, the backend among them, come from the checkpoint.
        assert train(tmp_path, "--resume", "--epochs", "3") == 0
        assert bits(tmp_path) == bits(three_epochs)

    def test_gives_the_same_bits_in_another_process(self, three_epochs, tmp_path):
        assert train(tmp_path, *SMALL, "--epochs", "2") == 0
        command = [sys.executable, "-m", "rmsprop", "train", "--resume", "--epochs", "3", "--out", tmp_path]
        subprocess.run(command, capture_output=True, timeout=300, check=True)
        assert bits(tmp_path) == bits(three_epochs)

    @pytest.mark.parametrize(
        ("step", "where"),
        [
            pytest.param(1, "0 of 3 epochs and 1 of 180 steps", id="first_step"),
            pytest.param(180, "1 of 3 epochs", id="last_step_of_an_epoch"),
            pytest.param(253, "1 of 3 epochs and 73 of 180 steps", id="in_an_epoch"),
        ],
    )
    def test_undoes_a_ctrl_c(self, step, where, three_epochs, tmp_path, monkeypatch, capsys):
        def interrupted(self, gradients):
            if self.iterations + 1 == step:
                signal.raise_signal(signal.SIGINT)
            done(self, gradients)

        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            done = TorchNetwork.step
            monkeypatch.setattr(TorchNetwork, "step", interrupted)
            assert train(tmp_path, *SMALL, "--epochs", "3") == 130
        finally:
            signal.signal(signal.SIGINT, before)
        assert f"stopped after {where}\n" in capsys.readouterr().out
        assert train(tmp_path, "--resume") == 0
        assert bits(tmp_path) == bits(three_epochs)

    def test_refuses_another_backend(self, three_epochs, capsys):
        before = checkpoint(three_epochs).read_bytes()
        assert train(three_epochs, "--resume", "--backend", "numpy") == 2
        error = "rmsprop train: error: --backend numpy: .* was made with --backend torch\n"
        assert re.fullmatch(error, capsys.readouterr().err)
        assert checkpoint(three_epochs).read_bytes() == before

    def test_refuses_a_checkpoint_without_its_tensors(self, three_epochs, tmp_path, capsys):
        save_file({}, checkpoint(tmp_path), metadata=contents(three_epochs)[1])
        assert train(tmp_path, "--resume") == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "layer1/weights is missing" in error
