"""``rmsprop train --backend jax``: it learns as with NumPy, can be stopped, and goes on bit for bit."""

import json

import numpy as np
import pytest
from cli_training import Networks, Resumes, Runs, assert_follows, record_of, small, train, train_three_epochs

from rmsprop.cli._network import make_network
from rmsprop.cli._network_jax import JaxNetwork
from rmsprop.cli._training import Settings


@pytest.fixture(scope="module")
def three_epochs(tmp_path_factory):
    """The folder of a small run of three epochs that nothing disturbed."""
    return train_three_epochs(small("jax"), tmp_path_factory.mktemp("undisturbed"))


class TestARun(Runs):
    backend = "jax"

    def test_ends_with_the_accuracy_of_numpy(self, tmp_path):
        figures = tmp_path / "figures.json"
        assert train(tmp_path, "--backend", "jax", "--json", str(figures)) == 0
        ours = json.loads(figures.read_text())
        assert ours["test_accuracy"] >= 0.97

        (tmp_path / "numpy").mkdir()
        numpys = make_network(Settings("numpy"))
        # Measured: 2.8e-8 over 40 epochs, it grows to 5.7e-4 in the 60th (7.4e-8 and 5.6e-4 with RMSPROP_NATIVE=0), of
        # how XLA sums; not an image in 60 epochs, but on another machine it may turn some at the end.
        assert_follows(ours, record_of(numpys, tmp_path / "numpy", 60), 35, 2)


class TestTheNetwork(Networks):
    backend = "jax"

    def as_numpys(self, gradient):
        return np.asarray(gradient)


class TestResume(Resumes):
    backend, network = "jax", JaxNetwork
