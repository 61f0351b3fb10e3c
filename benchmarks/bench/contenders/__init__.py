"""Who steps: optimizers that do a whole task, a module for each framework.

Each does the whole job - with clipping, averages and all, where the task has them - the way that its framework's
documentation shows.
"""

from typing import Protocol

from bench.models import Array


class Contender(Protocol):
    """An optimizer with its own copies of a task's tensors."""

    def step(self) -> object:
        """Do one step, or as many as the task says that a call does."""

    def weights(self) -> list[Array]:
        """Return the variables as they are now."""
