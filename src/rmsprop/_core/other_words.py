"""Words of other libraries, and misspelt ones: the error has the word to write instead."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

#: Words of other libraries, and what to write instead.
OTHER_WORDS: Final = {
    "lr": "use learning_rate",
    "alpha": "use rho (torch's alpha is the same decay of the average of squares)",
    "decay_rate": "use rho",
    "beta": "use rho",
    "eps": "use epsilon (it stands inside the square root here, so torch's value does not carry over)",
    "eps_in_sqrt": "epsilon always stands inside the square root here",
    "decay": "use rho if it is the decay of the average of squares, as in TensorFlow 1 and optax; if it is Keras's old "
    "decay of the learning rate, use rmsprop.schedules.InverseTimeDecay as learning_rate; the decay of weights is "
    "weight_decay",
    "l2": "use weight_decay",
    "decoupled_decay": "weight_decay is always decoupled here",
    "nesterov": "momentum is plain here, as in Keras",
    "lr_in_momentum": "the learning rate is always inside the momentum here",
    "initial_scale": "use initial_velocity",
    "bias_correction": "averages are not corrected for their start here, as in Keras",
    "clip_norm": "use clipnorm",
    "clip_value": "use clipvalue",
    "global_clip_norm": "use global_clipnorm",
    "max_grad_norm": "use global_clipnorm",
    "ema_decay": "use ema_momentum, and use_ema=True",
}

#: Package -> the front end of its arrays, and their name.
_STEPPED: Final = {
    "numpy": "rmsprop.RMSprop steps NumPy's arrays",
    "torch": "rmsprop.torch.RMSprop steps torch's tensors",
    "jax": "rmsprop.jax.RMSprop steps JAX's arrays",
    "jaxlib": "rmsprop.jax.RMSprop steps JAX's arrays",
    "tensorflow": "rmsprop.tf_keras.RMSprop steps TensorFlow's variables",
    "tf_keras": "rmsprop.tf_keras.RMSprop steps TensorFlow's variables",
    "keras": "rmsprop.keras.RMSprop steps Keras 3's variables",
}

#: The least likeness of a misspelt keyword and an argument; 1 is equality.
_LIKENESS: Final = 0.75

_P = ParamSpec("_P")
_R = TypeVar("_R")


def refuse_unknown(keywords: Mapping[str, Any], arguments: Iterable[str]) -> None:
    """Raise a TypeError that names the right argument for the first of these keywords, if there is one."""
    for keyword, value in keywords.items():
        raise TypeError(f"RMSprop has no argument {keyword}={value!r}: {_advice(keyword, list(arguments))}")


def _advice(keyword: str, arguments: list[str]) -> str:
    if keyword in OTHER_WORDS:
        return OTHER_WORDS[keyword]
    from difflib import get_close_matches  # which most programs never need

    nearest = get_close_matches(keyword, arguments, 1, _LIKENESS)
    meant = f"did you mean {nearest[0]}? " if nearest else ""
    return f"{meant}the arguments are {', '.join(arguments)}"


def refuses_other_words(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a constructor, so that it refuses unknown keywords with an error that names the right argument.

    The written signature has only the arguments, so that a type checker finds a wrong one. At run time the signature
    has ``**kwargs`` too, as `optax.inject_hyperparams` binds arguments by it before it calls.
    """
    signature = inspect.signature(function)
    known = frozenset(signature.parameters)
    arguments = [name for name in signature.parameters if name != "self"]

    @wraps(function)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        if not known.issuperset(kwargs):
            # `optax.inject_hyperparams` passes the rest, empty or not, as an argument of that name, which has no known
            # argument. One with a known argument is the user's own, which would be dropped.
            rest: Any = kwargs.pop("kwargs", {})
            unknown = {name: value for name, value in kwargs.items() if name not in known}
            is_handed_on = isinstance(rest, dict) and known.isdisjoint(rest)
            refuse_unknown(unknown | (rest if is_handed_on else {"kwargs": rest}), arguments)
        return function(*args, **kwargs)

    rest = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD, annotation=Any)
    shown = signature.replace(parameters=[*signature.parameters.values(), rest])
    checked.__signature__ = shown  # type: ignore[attr-defined]
    return checked


def stepped_by(value: Any, here: str = "") -> str:
    """Return which front end steps an array or a variable of another library.

    Args:
        value: the array or variable.
        here: the package whose arrays the calling front end steps.

    Returns:
        A clause for an error text; "" if there is no such front end, or it is the calling one.
    """
    for kind in type(value).__mro__:
        package = kind.__module__.partition(".")[0]
        if package in _STEPPED:
            return "" if package == here else _STEPPED[package]
    return ""
