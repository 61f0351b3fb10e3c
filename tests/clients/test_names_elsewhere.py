"""What `docs/tasks/names.md` has for tools that the environment lacks: its files, read as these tools read them."""

import importlib
import re
from pathlib import Path

import pytest
import torch
import yaml
from stable_baselines3 import A2C
from torch import nn

from rmsprop.schedules import CosineDecay
from rmsprop.torch import RMSprop

PAGE = (Path(__file__).parents[2] / "docs" / "tasks" / "names.md").read_text()
INPUTS = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))


def file_of(section):
    """Read the first YAML of a section of the page."""
    return yaml.safe_load(re.search(rf"^## {section}\n.*?^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[1])


def class_by_name(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def instantiated(node):
    """What Hydra makes of a node: inner ones first; of a partial one the function and its arguments."""
    if not isinstance(node, dict):
        return node
    arguments = {key: instantiated(value) for key, value in node.items() if not key.startswith("_")}
    kind = class_by_name(node["_target_"])
    return (lambda **more: kind(**arguments, **more)) if node.get("_partial_") else kind(**arguments)


def test_the_file_for_hydra():
    model = nn.Linear(4, 1)
    optimizer = instantiated(file_of("Hydra")["optimizer"])(params=model.named_parameters())
    assert (type(optimizer), optimizer.param_groups[0]["momentum"]) == (RMSprop, 0.9)
    optimizer.iterations = 5000
    gradients(model)
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(CosineDecay(0.1, 10000)(5000))


def test_the_file_for_torchrl():
    """Its trainers call it with `params=` and a generator."""
    optimizer = instantiated(file_of("TorchRL")["optimizer"])(params=nn.Linear(4, 1).parameters())
    assert (type(optimizer), optimizer.param_groups[0]["momentum"]) == (RMSprop, 0.9)


def test_the_file_for_rl_zoo():
    hyperparameters = file_of("RL Zoo")["CartPole-v1"]
    policy = eval(hyperparameters["policy_kwargs"], {"get_class_by_name": class_by_name})
    agent = A2C("MlpPolicy", "CartPole-v1", policy_kwargs=policy, device="cpu").learn(50)
    optimizer = agent.policy.optimizer
    assert (type(optimizer), optimizer.iterations) == (RMSprop, 10)
    assert [optimizer.param_groups[0][name] for name in ("rho", "epsilon", "initial_velocity")] == [0.99, 1e-5, 1.0]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def gradients(model):
    model.zero_grad()
    model(INPUTS).square().mean().backward()
    return [parameter.grad for parameter in model.parameters()]


def weights(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


def flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


class Zero:
    """What stages 1 and 2 of DeepSpeed's ZeRO do on one process: one tensor for each group, which parameters follow."""

    def __init__(self, optimizer):
        self._optimizer = optimizer
        self._parameters = [group["params"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["params"] = [nn.Parameter(flat(group["params"]))]

    def step(self):
        for parameters, group in zip(self._parameters, self._optimizer.param_groups, strict=True):
            (whole,) = group["params"]
            whole.grad = flat([parameter.grad for parameter in parameters])
        self._optimizer.step()
        for parameters, group in zip(self._parameters, self._optimizer.param_groups, strict=True):
            (whole,) = group["params"]
            parts = whole.detach().split([parameter.numel() for parameter in parameters])
            for parameter, part in zip(parameters, parts, strict=True):
                parameter.data.copy_(part.view_as(parameter))


def trained(options, wrap):
    model = network()
    optimizer = RMSprop(model.parameters(), lr=0.01, **options)
    stepping = wrap(optimizer)
    for _ in range(5):
        gradients(model)
        stepping.step()
    assert optimizer.iterations == 5
    return flat(weights(model))


@pytest.mark.parametrize(
    ("options", "same"),
    [({"momentum": 0.9}, True), ({"weight_decay": 0.1}, True), ({"clipvalue": 0.01}, True), ({"clipnorm": 0.1}, False)],
)
def test_zeros_tensors_have_the_same_bits_and_other_norms(options, same):
    alone = trained(options, lambda optimizer: optimizer)
    assert torch.equal(alone, trained(options, Zero)) == same


@pytest.mark.parametrize("by_name", [False, True])
def test_zero_and_excluded_parameters_are_refused(by_name):
    """None of what was excluded is left: a step says so, before it changes anything."""
    model = network()
    optimizer = RMSprop(model.named_parameters() if by_name else model.parameters(), lr=0.01, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(**({"var_names": ["bias"]} if by_name else {"var_list": [model[0].bias]}))
    zero, before = Zero(optimizer), weights(model)
    gradients(model)
    with pytest.raises(ValueError, match="exclude"):
        zero.step()
    assert all(map(torch.equal, before, weights(model)))


def test_stage_3_counts_each_group():
    """It leaves one group's tensor in its place at a time: the other groups are empty during the call."""
    model = network()
    optimizer = RMSprop([{"params": part.parameters()} for part in (model[0], model[2])], lr=0.01)
    gradients(model)
    groups = [group["params"] for group in optimizer.param_groups]
    before = weights(model)
    for one in range(2):
        for number, group in enumerate(optimizer.param_groups):
            group["params"] = groups[number] if number == one else []
        optimizer.step()
    assert optimizer.iterations == 2
    assert not any(map(torch.equal, before, weights(model)))
