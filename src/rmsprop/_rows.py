"""Where optimizers that were pickled before `rmsprop._core.rows` look for `RowSparse`."""

from rmsprop._core.rows import RowSparse as RowSparse
