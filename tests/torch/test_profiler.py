"""Torch's wrapper around `step`: called when there is somebody to tell, and only once."""

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from rmsprop.torch import RMSprop


def make():
    w = torch.nn.Parameter(torch.ones(3))
    w.grad = torch.ones(3)
    return RMSprop([w])


def test_a_profiler_sees_the_step_once():
    optimizer = make()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        optimizer.step()
    names = [event.name for event in profile.events()]
    assert names.count("Optimizer.step#RMSprop.step") == 1
    assert optimizer.iterations == 1


def test_hooks_for_all_optimizers_run_once():
    optimizer, seen = make(), []
    handles = [
        register_optimizer_step_pre_hook(lambda one, args, kwargs: seen.append(("before", one, one.iterations))),
        register_optimizer_step_post_hook(lambda one, args, kwargs: seen.append(("after", one, one.iterations))),
    ]
    optimizer.step()
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert seen == [("before", optimizer, 0), ("after", optimizer, 1)]


def test_a_hook_may_change_the_arguments():
    optimizer, called = make(), []
    optimizer.register_step_pre_hook(lambda one, args, kwargs: ((one, lambda: called.append(1) or 7.0), {}))
    assert optimizer.step() == 7.0
    assert called == [1]
