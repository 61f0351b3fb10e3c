"""What stands where parameters belong, and words of torch's users: the error names the mistake and the remedy."""

import numpy
import pytest
import torch

from rmsprop.schedules import ExponentialDecay
from rmsprop.torch import RMSprop

MODEL = torch.nn.Linear(2, 1)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        (0.1, r"params=0\.1 is a learning rate: parameters come first, RMSprop\(model\.parameters\(\), 0\.1\)"),
        (ExponentialDecay(0.1, 10, 0.5), r"params=ExponentialDecay.* is a learning rate"),
        (MODEL, r"params is a model, a Linear: pass its parameters, RMSprop\(model\.parameters\(\)\)"),
        ([MODEL], r"params holds a model, a Linear"),
        ([{"params": MODEL}], r"params is a model, a Linear"),
        (torch.nn.Sequential(MODEL), r"params is a model, a Sequential"),
        (torch.nn.ModuleList([MODEL]), r"params is a model, a ModuleList"),
        (torch.nn.ModuleDict({"a": MODEL}), r"params is a model, a ModuleDict"),
        ([{"params": torch.nn.ParameterDict({"a": MODEL.weight})}], r"params is a model, a ParameterDict"),
        ([torch.nn.ParameterList([MODEL.weight])], r"params holds a model, a ParameterList"),
        (torch.optim.RMSprop(MODEL.parameters()), r"an optimizer, a RMSprop: RMSprop\.from_optimizer"),
        ([numpy.ones(2)], r"params holds a ndarray, not a tensor of torch's: rmsprop\.RMSprop steps NumPy's arrays"),
    ],
    ids=[
        "a number",
        "a schedule",
        "a model",
        "a list of models",
        "a group",
        "a sequence of models",
        "models",
        "named models",
        "named parameters",
        "a list of lists",
        "an optimizer",
        "an array",
    ],
)
def test_params(params, match):
    with pytest.raises(TypeError, match=match):
        RMSprop(params)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"decay": 0.9}, "decay=0.9: use rho"),
        ({"max_grad_norm": 0.5}, "max_grad_norm=0.5: use global_clipnorm"),
        ({"momentun": 0.9}, r"momentun=0.9: did you mean momentum\? the arguments are params, .*maximize"),
        ({"mask": 0.9}, r"mask=0.9: the arguments are params, .*lr, maximize, .*slot_dtype, native$"),
    ],
    ids=str,
)
def test_words(words, match):
    with pytest.raises(TypeError, match=f"RMSprop has no argument {match}"):
        RMSprop(MODEL.parameters(), **words)


class Iterated(torch.nn.Module):
    def __init__(self, pairs):
        super().__init__()
        self.one, self.pairs = torch.nn.Parameter(torch.ones(2)), pairs

    def __iter__(self):
        yield ("one", self.one) if self.pairs else self.one


@pytest.mark.parametrize(
    "module",
    [torch.nn.ParameterList([torch.ones(2)]), Iterated(False), Iterated(True)],
    ids=["ParameterList", "tensors", "named tensors"],
)
@pytest.mark.parametrize("in_a_group", [False, True], ids=["alone", "in a group"])
def test_modules_that_iterate_tensors_are_parameters(module, in_a_group):
    optimizer = RMSprop([{"params": module}] if in_a_group else module)
    (parameter,) = module.parameters()
    assert optimizer.param_groups[0]["params"][0] is parameter


OWN = {"max_grad_norm": 0.5, "bias_correction": 1, "ema_decay": 2, "global_clip_norm": 3, "decoupled_decay": 4}


def test_groups_own_entries_may_have_words_of_other_libraries():
    w = torch.nn.Parameter(torch.ones(2))
    optimizer = RMSprop([{"params": [w], **OWN}])
    optimizer.param_groups[0] |= {"l2": 5, "lr_in_momentum": 6, "eps_in_sqrt": 7}
    optimizer.minimize(w.sum())
    assert optimizer.param_groups[0].items() >= OWN.items()
    optimizer.param_groups[0]["alpha"] = 0.9
    with pytest.raises(TypeError, match=r"alpha=0\.9: use rho"):
        optimizer.minimize(w.sum())


class Halved(torch.nn.Module):
    def forward(self, step):
        return 0.5 / (1 + step)


def test_a_module_without_parameters_is_a_function_of_the_step():
    optimizer = RMSprop([w := torch.nn.Parameter(torch.ones(2))], Halved())
    other = RMSprop([v := torch.nn.Parameter(torch.ones(2))], lambda step: 0.5 / (1 + step))
    for _ in range(3):
        optimizer.minimize(w.sum())
        other.minimize(v.sum())
    assert torch.equal(w, v)
    assert optimizer.param_groups[0]["lr"] == 0.5 / 3
    with pytest.raises(TypeError, match="learning_rate=Linear.* is a model, not a number"):
        RMSprop([w], torch.nn.Linear(1, 1))
