"""``rmsprop train --backend keras`` on tensorflow."""

from keras_cli_train import KerasNetworks, KerasResumes, KerasRuns, three_epochs

__all__ = ["three_epochs"]


class TestARun(KerasRuns):
    pass


class TestTheNetwork(KerasNetworks):
    pass


class TestResume(KerasResumes):
    pass
