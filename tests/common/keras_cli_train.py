"""What ``rmsprop train --backend keras`` does on any backend of Keras's: a folder for each takes these tests over."""

import json
import re

import keras
import pytest
from cli_training import (
    Networks,
    Resumes,
    Runs,
    assert_follows,
    contents,
    learn,
    record_of,
    small,
    train,
    train_three_epochs,
)

from rmsprop.cli._network import make_network, start_values
from rmsprop.cli._network_keras import BACKEND, KerasNetwork
from rmsprop.cli._training import Settings

OTHER = {"jax": "torch", "tensorflow": "jax", "torch": "tensorflow"}[BACKEND]


@pytest.fixture(scope="module")
def three_epochs(tmp_path_factory):
    """The folder of a small run of three epochs that nothing disturbed."""
    return train_three_epochs(small("keras"), tmp_path_factory.mktemp("undisturbed"))


class KerasRuns(Runs):
    backend = "keras"

    def test_learns_as_with_numpy(self, tmp_path):
        ours = learn(tmp_path, "--backend", "keras")
        assert ours["test_accuracy"] >= 0.97
        assert (ours["backend"], ours["keras_backend"]) == ("keras", BACKEND)
        # Measured over 40 epochs: 2.6e-8 on TensorFlow, 2.8e-8 on JAX, 7.2e-8 on torch, of how they sum, and not an
        # image.
        assert_follows(ours, make_network(Settings("numpy")), tmp_path / "numpy")

    def test_learns_as_with_kerass_own(self, tmp_path):
        """Whose averages start elsewhere, so that those figures are others."""
        settings = Settings()
        start = start_values(settings.hidden, settings.seed)
        original, ours = (
            KerasNetwork(start, settings.learning_rate, *make) for make in ([keras.optimizers.RMSprop], [])
        )
        found = []
        for name, network in {"original": original, "ours": ours}.items():
            (tmp_path / name).mkdir()
            found.append(record_of(network, tmp_path / name, 5))
        # Measured: 2.5e-8 at most, of rounding.
        assert found[1].losses == pytest.approx(found[0].losses, abs=1e-6)
        assert found[1].raw_accuracies == found[0].raw_accuracies
        # Measured: 7 % after one epoch.
        assert found[1].test_losses[0] != pytest.approx(found[0].test_losses[0], rel=1e-3)


class KerasNetworks(Networks):
    backend = "keras"

    def as_numpys(self, gradient):
        return keras.ops.convert_to_numpy(gradient)


class KerasResumes(Resumes):
    backend, network = "keras", KerasNetwork

    def test_knows_the_backend_of_keras(self, three_epochs):
        settings = json.loads(contents(three_epochs)[1]["training"])["settings"]
        assert (settings["backend"], settings["keras_backend"]) == ("keras", BACKEND)

    def test_gives_the_same_bits_in_another_process(self, three_epochs, tmp_path, monkeypatch):
        """Which nothing tells on which backend to go on, but the checkpoint."""
        monkeypatch.delenv("KERAS_BACKEND")
        super().test_gives_the_same_bits_in_another_process(three_epochs, tmp_path)

    def test_refuses_another_backend_of_keras(self, three_epochs, monkeypatch, capsys):
        monkeypatch.setattr(keras.backend, "backend", lambda: OTHER)
        assert train(three_epochs, "--resume") == 2
        error = f"rmsprop train: error: KERAS_BACKEND={OTHER}: .* was made with KERAS_BACKEND={BACKEND}\n"
        assert re.fullmatch(error, capsys.readouterr().err)
