"""``rmsprop train --backend torch``: it learns as with NumPy, can be stopped, and goes on bit for bit."""

import json

import pytest
from cli_training import Networks, Resumes, Runs, assert_follows, record_of, small, train, train_three_epochs

from rmsprop.cli._network import make_network
from rmsprop.cli._network_torch import TorchDense
from rmsprop.cli._training import Settings


@pytest.fixture(scope="module")
def three_epochs(tmp_path_factory):
    """The folder of a small run of three epochs that nothing disturbed."""
    return train_three_epochs(small("torch"), tmp_path_factory.mktemp("undisturbed"))


class TestARun(Runs):
    backend = "torch"

    def test_ends_with_the_accuracy_of_numpy(self, tmp_path):
        figures = tmp_path / "figures.json"
        assert train(tmp_path, "--backend", "torch", "--json", str(figures)) == 0
        ours = json.loads(figures.read_text())
        assert ours["test_accuracy"] >= 0.97

        (tmp_path / "numpy").mkdir()
        numpys = make_network(Settings("numpy"))
        # Measured: 5.9e-8 over 25 epochs, it grows to 7.5e-4 in the 58th; no image in 25 epochs, one in three of those
        # after them, none at the end.
        assert_follows(ours, record_of(numpys, tmp_path / "numpy", 60), 25, 2)


class TestTheNetwork(Networks):
    backend = "torch"

    def as_numpys(self, gradient):
        return gradient.t().numpy()


class TestResume(Resumes):
    backend, network = "torch", TorchDense
