"""The arguments, of which some may be arrays."""

from dataclasses import dataclass, fields
from typing import Any, Final, final

import jax
import jax.numpy as jnp

from rmsprop._core.options import Options
from rmsprop._core.rates import is_schedule, takes_the_step

#: The options that may be arrays.
_NUMBERS: Final = tuple(
    field.name for field in fields(Options) if not isinstance(field.default, bool | str) and field.name != "slot_dtype"
)


@final
@dataclass(frozen=True, eq=False, repr=False)
class ArrayOptions(Options):
    """Options whose numbers may be arrays of JAX, as `optax.inject_hyperparams` makes them.

    Such an option is on, whatever its value. The value is checked where it can be seen.

    Attributes:
        axis_name: mesh axes over which parameters are sharded in a `shard_map`: norms are summed over them.
    """

    axis_name: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        arrays = {name: getattr(self, name) for name in _NUMBERS if isinstance(getattr(self, name), jax.Array)}
        for name, value in arrays.items():
            self._set(name, _visible(name, value))
        super().__post_init__()
        vars(self).update(arrays, axis_name=_axes(self.axis_name))

    @property
    def decays(self) -> bool:
        """Whether weight decay is on."""
        return isinstance(self.weight_decay, jax.Array) or bool(self.weight_decay)

    @property
    def has_momentum(self) -> bool:
        """Whether there is a momentum."""
        return isinstance(self.momentum, jax.Array) or self.momentum > 0

    @property
    def calls_rate(self) -> bool:
        """Whether the learning rate is a function without arguments, called at every step."""
        rate = self.learning_rate
        return callable(rate) and not is_schedule(rate) and not takes_the_step(rate)

    @property
    def schedules_rate(self) -> bool:
        """Whether the learning rate is a schedule, or a function of the step."""
        return callable(self.learning_rate) and not self.calls_rate

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as values that JSON can hold; `axis_name` only if it is given."""
        config = super().get_config()
        if self.axis_name is None:
            del config["axis_name"]
        return config


def _visible(name: str, value: jax.Array) -> Any:
    """Return the number in an array; of a traced array a number that passes any check."""
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
