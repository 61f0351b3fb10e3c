"""The switch that turns native steps off where a framework has to save, export or cache what it traces."""

import os
from typing import Final

#: The environment variable that turns native steps off in the whole process, with the value 0.
SWITCH: Final = "RMSPROP_NATIVE"


def native_by_default() -> bool:
    """Whether the environment lets steps go by our own kernels.

    Raises:
        ValueError: the environment variable says neither yes nor no.
    """
    value = os.environ.get(SWITCH, "1")
    if value not in ("0", "1"):
        raise ValueError(f"{SWITCH}={value!r} is neither 0 nor 1")
    return value == "1"


def against_native(native: bool | None) -> str:
    """Why a user wants no kernels of ours; "" if none is known.

    Args:
        native: the argument of the optimizer; None: as the environment says.

    Raises:
        ValueError: as `native_by_default`.
    """
    if native is None:
        return "" if native_by_default() else f"{SWITCH}=0"
    return "" if native else "native=False"
