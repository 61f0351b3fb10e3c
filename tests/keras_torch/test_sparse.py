"""See `tests/common/keras_sparse.py`."""

import keras_sparse
import torch


class TestSparse(keras_sparse.Sparse):
    """Sparse COO tensors, not coalesced."""

    def make(self, rows, values, shape):
        places = torch.tensor([rows], dtype=torch.int64)
        return torch.sparse_coo_tensor(places, torch.tensor(values), shape, check_invariants=True)
