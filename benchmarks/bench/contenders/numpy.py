"""Ours on NumPy arrays."""

from typing import final

from bench.models import Array, Task


@final
class Ours:
    """`rmsprop.RMSprop` on NumPy arrays."""

    def __init__(self, task: Task) -> None:
        from rmsprop import RMSprop

        self._variables = [array.copy() for array in task.variables]
        self._gradients = task.gradients
        self._optimizer = RMSprop(**task.options)
        self._optimizer.build(self._variables)

    def step(self) -> object:
        """Do the steps of one call."""
        return self._optimizer.apply_gradients(zip(self._gradients, self._variables, strict=True))

    def weights(self) -> list[Array]:
        """Return the variables as they are now."""
        return self._variables
