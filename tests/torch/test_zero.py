"""`ZeroRedundancyOptimizer`: it has groups of its own, copies their entries to ours and back, and saves them."""

import warnings

import pytest
import torch
import torch.distributed as dist
from torch_entries import parameter, rates, saved, steps

from rmsprop.schedules import CosineDecay
from rmsprop.torch import RMSprop

SCHEDULE = CosineDecay(0.5, 10)


@pytest.fixture
def zero():
    """Gives the class, in a group of this process alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own, while it is imported
        from torch.distributed.optim import ZeroRedundancyOptimizer
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield ZeroRedundancyOptimizer
    dist.destroy_process_group()


@pytest.mark.parametrize("rate", [0.25, SCHEDULE, CosineDecay(0.0, 8, warmup_target=0.5, warmup_steps=2)], ids=str)
@pytest.mark.parametrize("word", ["lr", "learning_rate"])
def test_a_run_is_saved_as_weights_only_and_goes_on(word, rate, zero):
    def make():
        ws = [parameter(), parameter(2.0)]
        return ws, zero(ws, RMSprop, momentum=0.5, **{word: rate})

    ones, optimizer = make()
    steps(optimizer, 2)
    optimizer.consolidate_state_dict(0)
    found = saved(optimizer.state_dict())
    others, again = make()
    with torch.no_grad():
        for w, v in zip(ones, others, strict=True):
            v.copy_(w)
    again.load_state_dict(found)
    for one in (optimizer, again):
        steps(one, 2)
    assert rates(again) == [rate if rate == 0.25 else rate(3)]
    assert all(map(torch.equal, ones, others))
    again.param_groups[0]["lr"] = 0.125
    if rate == 0.25:
        steps(again, 1)
    else:
        with pytest.raises(TypeError, match=r"\['lr'\]=0\.125 cannot be set while the schedule"):
            steps(again, 1)
