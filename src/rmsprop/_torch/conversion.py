"""Other libraries' RMSprop for torch: their options and state in our terms, and what has no equal here."""

from collections.abc import Callable, Mapping
from inspect import unwrap
from typing import Any, Final, NamedTuple, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from rmsprop._core import slots
from rmsprop._core.warnings import warn
from rmsprop._torch.arguments import check_options, check_torch_words, number
from rmsprop._torch.slots import empty_alike, slot_dtype


@final
class Rule(NamedTuple):
    """An optimizer that can be read: where it comes from, and how it starts and divides."""

    package: str
    name: str
    initial_velocity: float
    epsilon_in_root: bool


#: By package and name, so that none of the libraries is imported here.
KNOWN: Final = {
    "torch.optim.RMSprop": Rule("torch", "RMSprop", 0.0, False),
    "timm.optim.RMSpropTF": Rule("timm", "RMSpropTF", 1.0, True),
    "Stable-Baselines3's RMSpropTFLike": Rule("stable_baselines3", "RMSpropTFLike", 1.0, True),
}

#: What only their groups have: it is translated, or chooses an implementation.
_THEIRS: Final = (
    "alpha", "eps", "foreach", "decoupled_decay", "corrected_weight_decay", "max_lr_snapshot", "lr_in_momentum",
    "caution",
)  # fmt: skip

#: The least epsilon that is not 0 in float32, in which the step computes.
_LEAST: Final = torch.finfo(torch.float32).tiny

#: Our slots, and what the others call them.
_SLOTS: Final = {"velocity": "square_avg", "momentum": "momentum_buffer", "average_gradient": "grad_avg"}


def convert(make: Callable[..., Any], other: Any, options: Mapping[str, Any]) -> Any:
    """Make an optimizer of ours from another library's; `options` are arguments of ours that replace its options.

    Warns:
        UserWarning: the differences, a line each.

    Raises:
        TypeError: `other` is of an unknown class.
        ValueError: an option or a parameter of it has no meaning here.
    """
    rule = _rule_of(other)
    lines: dict[str, None] = {}
    groups = []
    for group in other.param_groups:
        if rule.package != "torch" and any(parameter.is_complex() for parameter in group["params"]):
            raise ValueError(f"{rule.name} squares complex numbers as such: there is no velocity to go on with")
        entries, differences = _translate_group(rule, group, options)
        lines |= dict.fromkeys(differences)
        names = entries.pop("param_names", None)
        parameters = list(group["params"]) if names is None else list(zip(names, group["params"], strict=True))
        groups.append(entries | {"params": parameters})
    defaults, _ = _translate_group(rule, other.defaults, options)
    if lines:
        warn("\n  ".join([f"RMSprop does not do all that {type(other).__name__} did:", *lines]))
    found = make(groups, **{**defaults, **options})
    states = [other.state.get(parameter, {}) for group in other.param_groups for parameter in group["params"]]
    found.iterations = max((int(state["step"]) for state in states if "step" in state), default=0)
    _copy_state(found, other)
    return found


def _rule_of(other: Any) -> Rule:
    for rule in KNOWN.values():
        for one in type(other).__mro__:
            if (one.__module__.partition(".")[0], one.__name__) == rule[:2] and _step(type(other)) is _step(one):
                return rule
    inner = getattr(other, "optimizer", None)
    hint = "; pass the optimizer that it wraps, its .optimizer" if isinstance(inner, Optimizer) else ""
    shown = f"{type(other).__module__}.{type(other).__qualname__}"
    raise TypeError(f"from_optimizer knows {', '.join(KNOWN)}, and not {shown}{hint}")


def _step(kind: Any) -> Any:
    """Return what a class does at a step, which torch wraps once for each class; a derived class may have its own."""
    return unwrap(kind.step)


def _translate_group(
    rule: Rule, group: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return a group's entries in our terms, with the user's own entries, and the differences."""
    check_torch_words(None, None, *(group.get(flag, False) for flag in ("capturable", "differentiable", "maximize")))
    entries = {key: one for key, one in group.items() if key not in _THEIRS}
    decay, line = _decay(group)
    lines = [line] if line and "weight_decay" not in options else []
    epsilon = group["eps"]
    if not rule.epsilon_in_root and epsilon:
        epsilon = max(epsilon**2, _LEAST)
    if epsilon != group["eps"] and "epsilon" not in options:
        lines.append(
            f"eps={group['eps']:g} outside the root has become epsilon={epsilon:g} inside it: the same where velocity "
            "is 0, nearly so where its root is far above eps, and steps up to 1.42 times as long between"
        )
    momentum = options.get("momentum", group["momentum"]) > 0
    if momentum and not group.get("lr_in_momentum", False):
        lines.append(
            "the learning rate multiplies the momentum there and goes into it here: the same until it changes, from "
            "when on earlier gradients keep the rate that they came with"
        )
    if momentum and group.get("caution", False):
        lines.append("caution=True is left out: all elements are stepped, also against their gradient's sign")
    ours = {"rho": group["alpha"], "epsilon": epsilon, "weight_decay": decay, "initial_velocity": rule.initial_velocity}
    given = {"lr" if word == "learning_rate" else word for word in options}
    return {key: one for key, one in (entries | ours).items() if key not in given}, lines


def _decay(group: Mapping[str, Any]) -> tuple[float, str]:
    """Return the weight decay, and the difference."""
    decay = group["weight_decay"]
    if not decay:
        return decay, ""
    if not group.get("decoupled_decay", False):
        line = (
            f"weight_decay={decay:g} is added to the gradient there and decoupled here, which is another strength: for "
            "the same set it to 0 and add weight_decay / 2 * (w**2).sum() to the loss"
        )
        return decay, line
    if not group.get("corrected_weight_decay", False):
        return decay, ""
    corrected = decay * number(group["lr"]) / group["max_lr_snapshot"]
    line = (
        f"corrected weight_decay={decay:g} has become weight_decay={corrected:g}: the same until the learning rate "
        "changes, with which the decay then goes, and no longer with its square"
    )
    return corrected, line


@torch.no_grad()
def _copy_state(ours: Optimizer, other: Optimizer) -> None:
    """Copy the state of another optimizer for the same groups."""
    for group, theirs in zip(ours.param_groups, other.param_groups, strict=True):
        options = check_options(group)
        scale = 1.0 if theirs.get("lr_in_momentum", False) else number(theirs["lr"])
        for parameter in group["params"]:
            state = other.state.get(parameter, {})
            for slot in slots.slots(options):
                found = state.get(_SLOTS[slot.name])
                if isinstance(found, Tensor):
                    made = empty_alike(parameter, slot_dtype(options, parameter))
                    factor = scale if slot.name == "momentum" else 1.0
                    ours.state[parameter][slot.name] = made.copy_(found if factor == 1.0 else found * factor)
