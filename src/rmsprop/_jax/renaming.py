"""States that were saved with earlier names of their attributes."""

from collections.abc import Mapping
from typing import Any, Final

from rmsprop._jax.state import FIELDS, RMSpropState

#: Old name -> attribute.
_RENAMED: Final = FIELDS | {"learning_rate": "rate"}

#: What every state has.
_NEEDED: Final = ("iterations", "velocities")


def renamed_state(saved: Any) -> RMSpropState:
    """Make a state from names and values that were saved, with old or new names.

    In early states the attributes are `velocity`, `momentum`, `average_gradient`, `average` and `learning_rate`.
    Pickles hold them by position and need nothing. Checkpoints of Orbax and Flax hold them by name: restore such a
    checkpoint without a target, and pass the dictionary that stands for the state. Trees in it stay as they are; where
    the library made dictionaries of lists and tuples, its own functions put them back, as in the example.

    Args:
        saved: a mapping, or an object with the names as attributes, like a named tuple. New names give the same state;
            what is missing is None.

    Raises:
        TypeError: `saved` is neither.
        ValueError: `saved` has an entry of another name, the same one twice, or neither steps nor velocities.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import serialization
        >>> from rmsprop.jax import RMSprop, renamed_state
        >>> optimizer, params = RMSprop(learning_rate=0.5), [jnp.ones(2)]
        >>> restored = {"iterations": 3, "velocity": {"0": jnp.ones(2)}, "learning_rate": jnp.array(0.25)}
        >>> entries = serialization.to_state_dict(renamed_state(restored))
        >>> state = serialization.from_state_dict(optimizer.init(params), entries)
        >>> print(state.iterations, state.velocities, state.rate)
        3 [Array([1., 1.], dtype=float32)] 0.25
    """
    if isinstance(saved, RMSpropState):
        return saved
    if isinstance(saved, Mapping):
        entries: Mapping[str, Any] = saved
    else:
        names = getattr(saved, "_fields", (*RMSpropState._fields, *_RENAMED))
        entries = {name: getattr(saved, name) for name in names if hasattr(saved, name)}
        if not entries:
            kind = type(saved).__name__
            raise TypeError(f"saved is a {kind}, neither a mapping nor an object with a state's attributes")
    named: dict[str, Any] = {}
    for name, value in entries.items():
        field = _RENAMED.get(name, name)
        if field not in RMSpropState._fields:
            known = ", ".join((*RMSpropState._fields, *_RENAMED))
            raise ValueError(f"saved holds {name!r}, which no state has: the names are {known}")
        if field in named:
            raise ValueError(f"saved holds {field!r} twice, by its old name and by its new one")
        named[field] = value
    missing = [field for field in _NEEDED if field not in named]
    if missing:
        raise ValueError(f"saved holds no {' and no '.join(missing)}, which every state has: is it the whole state?")
    return RMSpropState(**named)
