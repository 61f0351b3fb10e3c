"""Arguments of which some are arrays, and where parameters are sharded."""

from dataclasses import dataclass
from typing import Any, Final

import jax
import jax.numpy as jnp

from rmsprop._core.options import Options

#: The options that may be arrays.
_NUMBERS: Final = (
    "learning_rate", "rho", "momentum", "epsilon", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm",
    "ema_momentum", "ema_overwrite_frequency", "initial_velocity",
)  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class ArrayOptions(Options):
    """Options whose numbers may be arrays of JAX's, as `optax.inject_hyperparams` hands them over.

    Such an option is on, whatever its value; the value is checked where it can be seen.

    Attributes:
        axis_name: axes of a mesh over which parameters are sharded in a `shard_map`: norms are summed over them.
        arrays: names of the options that are arrays.
    """

    axis_name: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        arrays = {name: getattr(self, name) for name in _NUMBERS if isinstance(getattr(self, name), jax.Array)}
        for name, value in arrays.items():
            self._set(name, _visible(name, value))
        super().__post_init__()
        for name, value in arrays.items():
            self._set(name, value)
        self._set("axis_name", _axes(self.axis_name))

    @property
    def arrays(self) -> list[str]:
        """Names of the options that are arrays."""
        return [name for name in _NUMBERS if isinstance(getattr(self, name), jax.Array)]

    @property
    def decays(self) -> bool:
        """Whether weight decay is on."""
        return isinstance(self.weight_decay, jax.Array) or bool(self.weight_decay)

    @property
    def has_momentum(self) -> bool:
        """Whether a momentum is kept."""
        return isinstance(self.momentum, jax.Array) or self.momentum > 0

    def get_config(self) -> dict[str, Any]:
        """Give the arguments as values that JSON can hold."""
        config = super().get_config()
        if self.axis_name is None:
            del config["axis_name"]
        return config


def _visible(name: str, value: jax.Array) -> Any:
    """Give the number in an array, or one that any check lets pass if the array is only being traced."""
    whole = name == "ema_overwrite_frequency"
    kinds = (jnp.integer,) if whole else (jnp.integer, jnp.floating)
    if value.shape != () or not any(jnp.issubdtype(value.dtype, kind) for kind in kinds):
        raise TypeError(f"{name}={value!r} is not an array of a {'whole ' if whole else ''}number without axes")
    if isinstance(value, jax.core.Tracer) or not value.is_fully_addressable:
        return 1
    return int(value) if whole else float(value)


def _axes(value: Any) -> tuple[str, ...] | None:
    names = (value,) if isinstance(value, str) else value
    if names is not None and not (isinstance(names, tuple | list) and all(isinstance(name, str) for name in names)):
        raise TypeError(f"axis_name={value!r} is not a name of a mesh axis, a tuple of them, or None")
    return None if names is None else tuple(names)
