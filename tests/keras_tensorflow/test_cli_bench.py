"""``rmsprop bench --frontend keras`` on tensorflow."""

from keras_cli_bench import KerasBench, KerasContenders, KerasOption, figures

__all__ = ["figures"]


class TestContenders(KerasContenders):
    pass


class TestARun(KerasBench):
    pass


class TestOption(KerasOption):
    pass
