"""Sparse gradients: the step of the dense gradient that they stand for."""

import pytest
import torch
from arrays import EVERYTHING, numbers

from rmsprop import RowSparse
from rmsprop.torch import RMSprop


def sparse(rows, values, shape, dtype=torch.float32):
    return torch.sparse_coo_tensor(
        torch.tensor([rows], dtype=torch.int64), torch.as_tensor(values).to(dtype), shape, check_invariants=True
    )


@pytest.mark.parametrize("options", [{}, EVERYTHING, {"clipvalue": 0.5, "momentum": 0.9}], ids=str)
@pytest.mark.parametrize("lies", ["contiguous", "transposed"])
def test_the_step_of_the_dense_gradient(options, lies):
    start = torch.tensor(numbers((6, 4)))
    start = start if lies == "contiguous" else start.t().contiguous().t()
    w, dense = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    optimizer, other = RMSprop([w], 0.125, **options), RMSprop([dense], 0.125, **options)
    for rows in ([4, 1, 4], [0], [], [5, 5, 5, 2]):
        values = numbers((len(rows), 4))
        w.grad = sparse(rows, values, (6, 4))
        # Torch sums repeated rows in another order.
        dense.grad = torch.from_numpy(RowSparse(rows, values, (6, 4)).to_dense())
        optimizer.step()
        other.step()
        assert torch.equal(w, dense)
    assert torch.equal(optimizer.state[w]["velocity"], other.state[dense]["velocity"])


@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 0, 1], [2, 0, 2]], ids=str)
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (2, 0, 1)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64])
@pytest.mark.matrix
def test_rows_may_lie_in_any_order(rows, axes, dtype):
    values = torch.tensor(numbers((3, 3, 2))).to(dtype)
    back = [axes.index(axis) for axis in range(3)]
    lying = values.permute(axes).contiguous().permute(back)
    w, dense = (torch.nn.Parameter(torch.zeros(5, 3, 2, dtype=dtype)) for _ in range(2))
    w.grad = torch.sparse_coo_tensor(torch.tensor([rows]), lying, (5, 3, 2), check_invariants=True)
    dense.grad = torch.sparse_coo_tensor(torch.tensor([rows]), values, (5, 3, 2), check_invariants=True).to_dense()
    for parameter in (w, dense):
        RMSprop([parameter], 1.0, rho=1.0, epsilon=1.0).step()
    assert torch.equal(w, dense)


def test_duplicates_are_summed_before_they_are_clipped():
    w = torch.nn.Parameter(torch.zeros(2, 1))
    w.grad = sparse([1, 1], [[3.0], [3.0]], (2, 1))
    RMSprop([w], 1.0, rho=1.0, epsilon=1.0, clipvalue=4.0).step()
    assert w.tolist() == [[0.0], [-4.0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_duplicates_of_half_types_are_summed_in_float32(dtype):
    """One at a time, the small ones would be lost in either type."""
    rows, values = [0] * 257, [[256.0], *[[0.125]] * 256]
    if dtype == torch.bfloat16:
        values[0] = [64.0]
    w = torch.nn.Parameter(torch.zeros(1, 1, dtype=dtype))
    w.grad = sparse(rows, values, (1, 1), dtype)
    RMSprop([w], 1.0, rho=1.0, epsilon=1.0).step()
    assert w.item() == -values[0][0] - 32


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float64])
def test_other_types(dtype):
    w, dense = (torch.nn.Parameter(torch.ones(4, 3, dtype=dtype)) for _ in range(2))
    w.grad = sparse([2, 0, 2], torch.tensor(numbers((3, 3))).tolist(), (4, 3), dtype)
    dense.grad = w.grad.to_dense()
    RMSprop([w], 0.125, clipnorm=0.5).step()
    RMSprop([dense], 0.125, clipnorm=0.5).step()
    assert torch.equal(w, dense)


def test_several_sparse_axes_and_one_dimension():
    for shape in ((3, 4), (5,)):
        w, dense = (torch.nn.Parameter(torch.ones(shape)) for _ in range(2))
        dense.grad = torch.zeros(shape)
        dense.grad[(1,) * len(shape)] = 2
        w.grad = dense.grad.to_sparse()
        RMSprop([w]).step()
        RMSprop([dense]).step()
        assert torch.equal(w, dense)


def test_an_embedding_trains():
    torch.manual_seed(0)
    embedding = torch.nn.Embedding(10, 3, sparse=True)
    dense = torch.nn.Embedding(10, 3)
    dense.load_state_dict(embedding.state_dict())
    optimizers = RMSprop(embedding.parameters(), 0.1), RMSprop(dense.parameters(), 0.1)
    for _ in range(3):
        for model, optimizer in zip((embedding, dense), optimizers, strict=True):
            optimizer.minimize(model(torch.tensor([1, 4, 1, 9])).square().sum())
    assert torch.equal(embedding.weight, dense.weight)
    assert embedding.weight.grad.is_sparse


def test_sparse_and_dense_by_turns():
    w = torch.nn.Parameter(torch.zeros(3, 2))
    optimizer = RMSprop([w], 1.0, rho=1.0, epsilon=1.0)
    for _ in range(2):
        w.grad = torch.ones(3, 2)
        optimizer.step()
        w.grad = sparse([1], [[1.0, 1.0]], (3, 2))
        optimizer.step()
        optimizer.step()
    assert w.tolist() == [[-2, -2], [-6, -6], [-2, -2]]
