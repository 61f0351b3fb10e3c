"""Where optimizers that were pickled before `rmsprop._numpy.state` look for `State`."""

from rmsprop._numpy.state import State as State
