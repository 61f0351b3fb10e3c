"""What carries over from a running optimizer of somebody else's, and what does not.

- `torch.optim.RMSprop` has epsilon outside of the root, a momentum of gradients divided by roots, and weight decay that
  is an L2 penalty, added to the gradient.
- timm's `RMSpropTF` has epsilon inside, and a momentum of steps; with ``lr_in_momentum=False`` as torch. Its decay is a
  penalty, with ``decoupled_decay=True`` the same as here.
- Stable-Baselines3's `RMSpropTFLike` has epsilon inside, momentum and decay as torch.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

#: Their names of the state.
_SLOTS: Final = {"velocity": "square_avg", "momentum": "momentum_buffer", "average_gradient": "grad_avg"}

#: Entries that are converted, or that only choose an implementation; any other is the user's or a scheduler's.
_THEIRS: Final = (
    "params", "lr", "alpha", "eps", "momentum", "centered", "weight_decay", "maximize", "decoupled_decay",
    "lr_in_momentum", "capturable", "foreach", "fused", "differentiable", "caution",
)  # fmt: skip


class Converted(NamedTuple):
    """Ours, made from theirs.

    Attributes:
        groups: parameter groups.
        states: parameter -> slot name -> tensor.
        iterations: steps done.
        notes: what is not as it was, a sentence each.
    """

    groups: list[dict[str, Any]]
    states: dict[Tensor, dict[str, Tensor]]
    iterations: int
    notes: list[str]


def convert(other: Any, options: Mapping[str, Any]) -> Converted:
    """Read another optimizer's groups and state.

    Args:
        other: it.
        options: arguments that rule over what is read.

    Raises:
        TypeError: it is none of those that are known.
        ValueError: it does what RMSprop as Keras defines it cannot, and `options` do not say what to do instead.
    """
    kind = _kind(other)
    groups = [_group(kind, place, group, options) for place, group in enumerate(other.param_groups)]
    states: dict[Tensor, dict[str, Tensor]] = {}
    steps = 0
    for theirs, ours in zip(other.param_groups, groups, strict=True):
        for parameter in theirs["params"]:
            if state := other.state.get(parameter):
                states[parameter] = _state(kind, theirs, ours, state)
                steps = max(steps, int(state.get("step", 0)))
    notes = []
    if kind == "RMSprop" and "epsilon" not in options:
        notes.append(
            "eps stands outside of the square root there and cannot be carried over; its square, taken as epsilon, "
            "gives the same steps where the velocity is 0 or large, and between them steps up to 1.41 times as long"
        )
    return Converted(groups, states, steps, notes)


def _kind(other: Any) -> str:
    if isinstance(other, torch.optim.RMSprop):
        return "RMSprop"
    for one in type(other).__mro__:
        if one.__name__ in ("RMSpropTF", "RMSpropTFLike"):
            return one.__name__
    raise TypeError(
        f"other={type(other).__module__}.{type(other).__qualname__} is not known: "
        "torch.optim.RMSprop, timm's RMSpropTF and Stable-Baselines3's RMSpropTFLike are"
    )


def _group(kind: str, place: int, theirs: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    if theirs["weight_decay"] and not theirs.get("decoupled_decay") and "weight_decay" not in options:
        raise ValueError(
            f"weight_decay={theirs['weight_decay']!r} of group {place} is an L2 penalty there, added to the gradient, "
            "which cannot be carried over: say weight_decay=, which is decoupled here, or None"
        )
    if theirs.get("caution"):
        raise ValueError(
            f"caution={theirs['caution']!r} of group {place} cannot be carried over: there is no such option"
        )
    outside = kind == "RMSprop"
    ours = {name: value for name, value in theirs.items() if name not in _THEIRS}
    ours |= {
        "params": list(theirs["params"]),
        "lr": theirs["lr"],
        "rho": theirs["alpha"],
        "epsilon": theirs["eps"] ** 2 if outside else theirs["eps"],
        "momentum": theirs["momentum"],
        "centered": bool(theirs["centered"]),
        "weight_decay": theirs["weight_decay"],
        "maximize": bool(theirs.get("maximize", False)),
        "initial_velocity": 0.0 if outside else 1.0,
    }
    if "param_names" in ours:
        ours["params"] = list(zip(ours.pop("param_names"), ours["params"], strict=True))
    given = {"lr" if name == "learning_rate" else name for name in options}
    return {name: value for name, value in ours.items() if name not in given}


@torch.no_grad()
def _state(
    kind: str, theirs: Mapping[str, Any], ours: Mapping[str, Any], state: Mapping[str, Any]
) -> dict[str, Tensor]:
    found = {slot: state[name].clone() for slot, name in _SLOTS.items() if isinstance(state.get(name), Tensor)}
    if "momentum" in found and not (kind == "RMSpropTF" and theirs.get("lr_in_momentum", True)):
        found["momentum"] *= float(theirs["lr"])
    return found
