"""``rmsprop train --backend torch``: it learns as with NumPy, can be stopped, and goes on bit for bit."""

import pytest
from cli_training import Networks, Resumes, Runs, assert_follows, learn, small, train_three_epochs

from rmsprop.cli._network import make_network
from rmsprop.cli._network_torch import TorchDense
from rmsprop.cli._training import Settings


@pytest.fixture(scope="module")
def three_epochs(tmp_path_factory):
    """The folder of a small run of three epochs that nothing disturbed."""
    return train_three_epochs(small("torch"), tmp_path_factory.mktemp("undisturbed"))


class TestARun(Runs):
    backend = "torch"

    def test_learns_as_with_numpy(self, tmp_path):
        ours = learn(tmp_path, "--backend", "torch")
        assert ours["test_accuracy"] >= 0.97
        # Measured: 5.9e-8 over 25 epochs, and not an image.
        assert_follows(ours, make_network(Settings("numpy")), tmp_path / "numpy")


class TestTheNetwork(Networks):
    backend = "torch"

    def as_numpys(self, gradient):
        return gradient.t().numpy()


class TestResume(Resumes):
    backend, network = "torch", TorchDense
