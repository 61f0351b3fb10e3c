"""``rmsprop train --backend keras`` on torch."""

from keras_cli_train import KerasNetworks, KerasResumes, KerasRuns, three_epochs

__all__ = ["three_epochs"]


class TestARun(KerasRuns):
    epochs, images = 40, 1


class TestTheNetwork(KerasNetworks):
    pass


class TestResume(KerasResumes):
    pass
