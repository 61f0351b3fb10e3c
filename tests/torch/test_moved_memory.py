"""Memory that is viewed anew, taken away or resized between steps: right numbers or an error, nothing outside of it."""

import pytest
import torch
from arrays import EVERYTHING, numbers
from torch_runs import assert_bits, tensor

from rmsprop.torch import RMSprop

HALVES = [(torch.float16, torch.bfloat16), (torch.bfloat16, torch.float16)]


def make(shape=(4, 3), dtype=torch.float32, steps=3, **options):
    """A parameter after some steps, with its gradient, and its optimizer."""
    # Copied: NumPy's memory could not be resized.
    w = torch.nn.Parameter(tensor(numbers(shape)).to(dtype, copy=True))
    w.grad = tensor(numbers(shape, seed=1)).to(dtype, copy=True)
    optimizer = RMSprop([w], 0.125, **options)
    for _ in range(steps):
        optimizer.step()
    return w, optimizer


def assert_goes_on(w, optimizer, **options):
    """The next steps are those of an optimizer made anew from what there is."""
    other = torch.nn.Parameter(w.detach().clone(memory_format=torch.preserve_format))
    fresh = RMSprop([other], 0.125, **options)
    fresh.state[other] = {name: slot.clone() for name, slot in optimizer.state[w].items()}
    fresh.iterations = optimizer.iterations
    for _ in range(3):
        other.grad = w.grad.clone()
        optimizer.step()
        fresh.step()
        assert_bits(w, other)
        for name, slot in fresh.state[other].items():
            assert_bits(optimizer.state[w][name], slot)


@pytest.mark.parametrize(("old", "new"), HALVES)
@pytest.mark.parametrize("options", [{"slot_dtype": "float32"}, {}, {"global_clipnorm": 0.5}], ids=str)
def test_a_parameter_that_is_viewed_as_another_type(options, old, new):
    w, optimizer = make(dtype=old, **options)
    w.grad = None
    w.data = w.data.view(new)
    w.data.copy_(tensor(numbers((4, 3))))
    w.grad = tensor(numbers((4, 3), seed=2)).to(new)
    assert_goes_on(w, optimizer, **options)


@pytest.mark.parametrize(("old", "new"), HALVES)
def test_a_gradient_that_is_viewed_as_another_type(old, new):
    """Where it was: the parameter's type alone moves to another memory."""
    w, optimizer = make(dtype=old)
    gradient, w.grad = w.grad, None
    w.data = w.data.to(new)
    gradient.data = gradient.data.view(new)
    w.grad = gradient.copy_(tensor(numbers((4, 3), seed=2)))
    assert_goes_on(w, optimizer)


@pytest.mark.parametrize(("old", "new"), HALVES)
def test_state_that_is_viewed_as_another_type(old, new):
    """Its numbers count, in the type in which state is kept."""
    w, optimizer = make(dtype=old)
    velocity = optimizer.state[w]["velocity"]
    velocity.data = velocity.data.view(new).fill_(0.5)
    expected = RMSprop([other := torch.nn.Parameter(w.detach().clone())], 0.125)
    expected.state[other]["velocity"] = torch.full((4, 3), 0.5, dtype=old)
    other.grad = w.grad.clone()
    expected.step()
    optimizer.step()
    assert_bits(w, other)


@pytest.mark.parametrize("what", ["parameter", "gradient", "velocity"])
def test_axes_that_are_exchanged_where_they_are(what):
    w, optimizer = make((4, 4), **EVERYTHING)
    one = {"parameter": w, "gradient": w.grad, "velocity": optimizer.state[w]["velocity"]}[what]
    one.data = one.data.t()
    assert_goes_on(w, optimizer, **EVERYTHING)


def test_a_parameter_that_gets_smaller_where_it_is():
    w, optimizer = make((8,))
    tail = w.detach()[4:].clone()
    whole = w.data
    w.grad, w.data = None, w.data[:4]
    w.grad = torch.ones(4)
    with pytest.raises(
        ValueError, match=r"the state 'velocity' of parameter 0 .* has the shape \[8\], the parameter \["
    ):
        optimizer.step()
    optimizer.state[w]["velocity"] = optimizer.state[w]["velocity"][:4]
    assert_goes_on(w, optimizer)
    assert torch.equal(whole[4:], tail)


def storage_of(what, w, optimizer):
    tensors = {"the parameter": w, "gradient": w.grad, "state": optimizer.state[w]["velocity"]}
    return tensors[what].untyped_storage()


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("length", [0, 16, 47])
@pytest.mark.parametrize("what", ["the parameter", "gradient", "state"])
def test_memory_that_was_taken_away(what, length, jit_compile):
    """An error and no step; with its memory given back it goes on."""
    w, optimizer = make(jit_compile=jit_compile)
    storage = storage_of(what, w, optimizer)
    kept = {name: slot.clone() for name, slot in optimizer.state[w].items()} | {"w": w.detach().clone()}
    gradient, whole = w.grad.clone(), storage.nbytes()
    storage.resize_(0)
    storage.resize_(length)  # perhaps where it was
    for _ in range(2):
        with pytest.raises(ValueError, match="its storage was resized"):
            optimizer.step()
    storage.resize_(whole)
    w.data.copy_(kept["w"])
    w.grad.copy_(gradient)
    for name, slot in optimizer.state[w].items():
        slot.copy_(kept[name])
    assert optimizer.iterations == 3
    assert_goes_on(w, optimizer, jit_compile=jit_compile)


@pytest.mark.parametrize("part", ["_values", "_indices"])
@pytest.mark.parametrize("axes", [1, 2])
def test_a_sparse_gradient_whose_memory_was_taken_away(axes, part):
    w, optimizer = make()
    w.grad = torch.ones(4, 3).to_sparse(axes)
    getattr(w.grad, part)().untyped_storage().resize_(4)
    before = w.detach().clone()
    with pytest.raises(ValueError, match="the gradient of parameter 0 .* its storage was resized"):
        optimizer.step()
    assert torch.equal(w, before)


@pytest.mark.parametrize("action", [
    lambda w, state: w.untyped_storage().resize_(0),
    lambda w, state: w.grad.untyped_storage().resize_(0),
    lambda w, state: state.untyped_storage().resize_(0),
    lambda w, state: w.data.resize_(2000),
], ids=["parameter", "gradient", "state", "data"])  # fmt: skip
@pytest.mark.parametrize("options", [{}, {"jit_compile": False}, EVERYTHING], ids=str)
def test_memory_may_be_resized_after_a_step(options, action):
    w, optimizer = make((1000,), **options)
    action(w, optimizer.state[w]["velocity"])


def test_memory_of_sparse_gradients_may_be_resized_after_a_step():
    w, optimizer = make()
    w.grad = torch.sparse_coo_tensor(torch.tensor([[2, 0]]), torch.ones(2, 3), (4, 3), check_invariants=True)
    optimizer.step()
    for part in (w.grad._values(), w.grad._indices()):
        part.untyped_storage().resize_(0)


@pytest.mark.parametrize("change", [
    lambda w: w.data.set_(torch.full((4, 3), 2.0)),
    lambda w: setattr(w, "data", torch.full((4, 3), 2.0)),
    lambda w: w.untyped_storage().resize_(400),
    lambda w: w.untyped_storage().share_memory_() if hasattr(w.untyped_storage(), "share_memory_") else None,
], ids=["set_", "data", "resized", "shared"])  # fmt: skip
def test_memory_that_moved(change):
    w, optimizer = make(**EVERYTHING)
    change(w)
    assert_goes_on(w, optimizer, **EVERYTHING)


def test_a_parameter_and_its_gradient_that_grow():
    w, optimizer = make((4,))
    w.data = w.data.resize_(6).fill_(1.0)
    w.grad = torch.ones(6)
    with pytest.raises(ValueError, match=r"has the shape \[4\], the parameter \[6\]"):
        optimizer.step()
    with torch.no_grad():
        optimizer.state[w]["velocity"].resize_(6).fill_(0.25)
    assert_goes_on(w, optimizer)


def test_a_gradient_with_gaps_that_reaches_into_the_parameter():
    """Its numbers lie farther apart than they are long."""
    expected = None
    for shares in (False, True):
        memory = torch.arange(1.0, 33.0)
        w = torch.nn.Parameter(memory[24:28])
        optimizer = RMSprop([w], 0.125)
        for _ in range(3):
            gradient = memory[3::8]  # of which the last is the parameter's
            w.grad = gradient if shares else gradient.clone()
            optimizer.step()
        expected = w.detach().clone() if expected is None else expected
    assert torch.equal(w.detach(), expected)
