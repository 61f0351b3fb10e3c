"""A parameter group's entries: their names, their checks, and `Options` made of them."""

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import fields
from operator import itemgetter
from typing import Any, Final

import numpy
from torch import Tensor

from rmsprop._core.options import Options, refuse_attribute
from rmsprop._core.other_words import refuse_unknown
from rmsprop._core.rates import LearningRate, check_learning_rate
from rmsprop._core.warnings import warn

#: Arguments of the whole optimizer; the learning rate is `lr` in a group.
_NOT_A_GROUPS: Final = ("learning_rate", "jit_compile", "native", "name")

#: Arguments of which each group may have its own value, and their defaults.
_DEFAULTS: Final = {field.name: field.default for field in fields(Options) if field.name not in _NOT_A_GROUPS}

#: Words of other libraries that a group may not have, as the constructor may not. Its other entries are the user's:
#: further words may mean something else to a scheduler or a wrapper.
_REFUSED: Final = ("alpha", "eps", "decay_rate", "nesterov", "initial_scale", "clip_norm", "clip_value")

#: Words of torch's own optimizers, in the order of `check_torch_words`.
TORCH_WORDS: Final = ("foreach", "fused", "capturable", "differentiable", "maximize")

#: What an entry is in a group that was written before the entry existed.
DEFAULTS: Final = {
    "lr": 0.001, **_DEFAULTS, "maximize": False, "capturable": False, "foreach": None, "fused": None,
    "differentiable": False,
}  # fmt: skip

_PLAIN: Final = frozenset((float, int, bool, str, type(None), list))

#: A smaller momentum is what another optimizer has at that position of its arguments.
_LEAST_MOMENTUM: Final = 1e-3

#: A rate below 0 by no more than this is 0: schedulers that multiply their way down to 0 end there by rounding.
_ROUNDING: Final = 1e-12

#: The entries that a step reads, beside the learning rate.
values_of: Callable[[Mapping[str, Any]], tuple[Any, ...]] = itemgetter(*_DEFAULTS, "maximize")


def check_options(group: Mapping[str, Any], jit_compile: bool = True, name: str = "RMSprop") -> Options:
    """Return a group's options, checked, with the constructor's errors.

    `Options.learning_rate` is a placeholder, 0.0: the group's entry "lr" is the rate, and `rate_number` checks it.
    """
    refuse_unknown({word: group[word] for word in _REFUSED if word in group}, _DEFAULTS)
    _check_flag("maximize", group["maximize"])
    return Options(
        learning_rate=0.0, jit_compile=jit_compile, name=name, **dict(zip(_DEFAULTS, values_of(group), strict=False))
    )


def make_plain(group: MutableMapping[str, Any]) -> None:
    """Replace NumPy's numbers by Python's, and tensors except `lr`: weights-only files hold no others."""
    odd = [name for name, value in group.items() if type(value) not in _PLAIN]
    for name in odd:
        value: Any = group[name]
        is_array = isinstance(value, numpy.ndarray) or (isinstance(value, Tensor) and name != "lr")
        is_scalar = isinstance(value, numpy.generic) or (is_array and value.ndim == 0)
        if is_scalar and (name in DEFAULTS or name == "iterations"):
            group[name] = value.item()


def choose_rate(learning_rate: Any, lr: Any) -> Any:
    """Return the learning rate, which has two names; a TypeError if both were given."""
    if lr is None:
        return 0.001 if learning_rate is None else learning_rate
    if learning_rate is not None:
        raise TypeError(
            f"learning_rate={learning_rate!r} and lr={lr!r} are two names of one argument: give one of them"
        )
    return lr


def check_rate(value: Any) -> LearningRate | Tensor:
    """Return a learning rate, checked: a number, a tensor of one, which stays the tensor, a schedule or a function."""
    if not isinstance(value, Tensor):
        return check_learning_rate(value)
    check_learning_rate(_one_number(value))
    return value


def _one_number(rate: Tensor) -> float:
    if rate.numel() != 1 or rate.is_complex():
        raise ValueError(f"learning_rate={rate!r} is not a tensor of one real number")
    return float(rate)


def rate_number(rate: Any) -> float:
    """Return a group's learning rate as a number, checked."""
    value = _one_number(rate) if isinstance(rate, Tensor) else rate
    if isinstance(value, float) and -_ROUNDING < value < 0:
        return 0.0
    checked = check_learning_rate(value)
    assert isinstance(checked, float)
    return checked


def check_torch_words(foreach: Any, fused: Any, capturable: Any, differentiable: Any, maximize: Any) -> None:
    """Check the arguments of torch's own optimizers, which choose an implementation."""
    for name, value in (("foreach", foreach), ("fused", fused)):
        if value is not None:
            _check_flag(name, value)
    for name, value in (("capturable", capturable), ("differentiable", differentiable), ("maximize", maximize)):
        _check_flag(name, value)
    if foreach:
        raise ValueError("foreach=True: there is one implementation, which does all tensors in one pass: leave it out")
    if differentiable:
        raise ValueError("differentiable=True: a step writes to the parameters in place and cannot be differentiated")


def warn_of_tiny_momentum(momentum: float) -> None:
    """Warn of what is an epsilon more likely, given by position."""
    if 0 < momentum < _LEAST_MOMENTUM:
        warn(
            f"momentum={momentum!r} keeps next to nothing; was it meant as epsilon? Positions differ from those of "
            "torch.optim.RMSprop: write RMSprop(params, learning_rate=..., rho=..., epsilon=..., momentum=...)"
        )


def _check_flag(name: str, value: Any) -> None:
    if not isinstance(value, bool | numpy.bool_):
        raise TypeError(f"{name}={value!r} is not True or False")


def check_attribute(name: str, value: Any) -> None:
    """Raise an AttributeError if an attribute that is assigned to an optimizer is an option: nothing would read it."""
    if name in _DEFAULTS or name in TORCH_WORDS:
        raise AttributeError(
            f"{name}={value!r} cannot be assigned to the optimizer: set param_groups[i][{name!r}], which counts from "
            "the next step on, or give it to the constructor"
        )
    try:
        refuse_attribute("RMSprop", name, value)
    except AttributeError as error:
        live = "" if name in _NOT_A_GROUPS else "; options that count from the next step on are in param_groups[i]"
        raise AttributeError(f"{error}{live}") from None
