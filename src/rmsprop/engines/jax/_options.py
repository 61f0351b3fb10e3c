"""Where optimizers that were pickled before `rmsprop._jax.array_options` look for `ArrayOptions`."""

from rmsprop._jax.array_options import ArrayOptions as ArrayOptions
