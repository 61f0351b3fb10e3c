"""Sets of parameters that get gradients in turn, as the tasks of one model do."""

import weakref

import pytest
import torch

from rmsprop.torch import RMSprop


def _model(count: int) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
    generator = torch.Generator().manual_seed(3)
    return tuple(
        [torch.nn.Parameter(torch.randn(4, 3, generator=generator)) for _ in range(length)] for length in (3, count)
    )


def _turn(optimizer, trunk, head, turn):
    optimizer.zero_grad()
    for place, parameter in enumerate([*trunk, head]):
        parameter.grad = torch.full((4, 3), 0.1 * (place + 1) * (1 + turn % 7))
    optimizer.step()


@pytest.mark.parametrize("count", [3, 70])
def test_alternating_sets_step_as_one_by_one(count):
    found = []
    for jit_compile in (True, False):
        trunk, heads = _model(count)
        optimizer = RMSprop([*trunk, *heads], lr=0.01, momentum=0.9, global_clipnorm=1.0, jit_compile=jit_compile)
        for turn in range(4 * count):
            optimizer.param_groups[0]["lr"] = 0.01 / (1 + turn)
            _turn(optimizer, trunk, heads[turn * 2 % count], turn)
            if turn % 5 == 4:  # a part of another set
                optimizer.zero_grad()
                trunk[0].grad = torch.ones(4, 3)
                optimizer.step()
        found.append([*trunk, *heads])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_options_that_change_reach_each_of_alternating_sets():
    found = []
    for jit_compile in (True, False):
        trunk, heads = _model(2)
        optimizer = RMSprop([*trunk, *heads], lr=0.01, weight_decay=0.1, jit_compile=jit_compile)
        for turn in range(12):
            if turn == 6:
                optimizer.param_groups[0].update(weight_decay=0.3, rho=0.5)
            if turn == 9:
                optimizer.load_state_dict(optimizer.state_dict())
            _turn(optimizer, trunk, heads[turn % 2], turn)
        found.append([*trunk, *heads])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_parameters_that_were_replaced_are_freed_with_their_state():
    # As trainers of Gaussian splatting do: each time there are more of them.
    cloud, other = torch.nn.Parameter(torch.ones(8, 3)), torch.nn.Parameter(torch.ones(5))
    optimizer = RMSprop([{"params": [cloud]}, {"params": [other]}], lr=0.01, momentum=0.9)
    group, gone = optimizer.param_groups[0], []
    del cloud
    for _ in range(3):
        for each in (group["params"][0], other):
            each.grad = torch.ones_like(each)
        optimizer.step()
        old = group["params"][0]
        state = optimizer.state.pop(old)
        gone += [weakref.ref(old), *map(weakref.ref, state.values())]
        new = torch.nn.Parameter(torch.cat([old.detach(), old.detach()]))
        optimizer.state[new] = {name: torch.cat([slot, slot]) for name, slot in state.items()}
        group["params"][0] = new
        new.grad = torch.ones_like(new)
        del old, state, new
        optimizer.step()
    assert [one() for one in gone] == [None] * len(gone)
