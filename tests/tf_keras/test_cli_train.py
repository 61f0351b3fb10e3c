"""``rmsprop train --backend tf_keras``: it learns as with the original, can be stopped, and goes on bit for bit."""

import pytest
import tf_keras
from cli_training import Networks, Resumes, Runs, assert_follows, learn, small, train_three_epochs

from rmsprop.cli._network import make_network, start_values
from rmsprop.cli._network_tf_keras import TfKerasNetwork
from rmsprop.cli._training import Settings


@pytest.fixture(scope="module")
def three_epochs(tmp_path_factory):
    """The folder of a small run of three epochs that nothing disturbed."""
    return train_three_epochs(small("tf_keras"), tmp_path_factory.mktemp("undisturbed"))


class TestARun(Runs):
    backend = "tf_keras"

    def test_learns_as_with_the_original_and_with_numpy(self, tmp_path):
        ours = learn(tmp_path, "--backend", "tf_keras")
        assert ours["test_accuracy"] >= 0.97

        settings = Settings()
        start = start_values(settings.hidden, settings.seed)
        # Measured: 6.2e-8 and 2.6e-8 over 40 epochs, and not an image.
        original = TfKerasNetwork(start, settings.learning_rate, tf_keras.optimizers.RMSprop)
        assert_follows(ours, original, tmp_path / "original")
        assert_follows(ours, make_network(Settings("numpy")), tmp_path / "numpy")


class TestTheNetwork(Networks):
    backend = "tf_keras"


class TestResume(Resumes):
    backend, network = "tf_keras", TfKerasNetwork
