"""Where optimizers that were pickled before `rmsprop._core.options` look for `Options`."""

from rmsprop._core.options import Options as Options
