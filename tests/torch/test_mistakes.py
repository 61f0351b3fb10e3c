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
        (torch.optim.RMSprop(MODEL.parameters()), r"an optimizer, a RMSprop: RMSprop\.from_optimizer"),
        ([numpy.ones(2)], r"params holds a ndarray, not a tensor of torch's: rmsprop\.RMSprop steps NumPy's arrays"),
    ],
    ids=["a number", "a schedule", "a model", "a list of models", "a group", "an optimizer", "an array"],
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
        ({"mask": 0.9}, r"mask=0.9: the arguments are params, .*lr, maximize, .*slot_dtype$"),
    ],
    ids=str,
)
def test_words(words, match):
    with pytest.raises(TypeError, match=f"RMSprop has no argument {match}"):
        RMSprop(MODEL.parameters(), **words)
