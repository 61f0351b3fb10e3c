"""The plan of one custom call, as a text that the call carries.

A compiled executable may live longer than the optimizer it was traced for, come out of a cache on disk, or be run by
several threads at once. So the text is enough to plan the launches, in any process.
"""

import hashlib
import json
from typing import Final, NamedTuple, Self, final

import numpy

from rmsprop._core.plan import Plan, Tensor
from rmsprop._core.tables import VERSION, Storage

#: The types of numbers among the arguments.
NUMBERS: Final = ("float32", "float64", "int32", "int64")

#: Characters of the key at the beginning of a text.
KEY: Final = 16


@final
class CallPlan(NamedTuple):
    """A custom call.

    Its arguments are numbers, then the gradients of all tensors, then the variables of all, then each slot of all. Its
    results are new variables and slots, in the memory of the old ones.

    Attributes:
        numbers: name and type of each: "iterations", and columns of `rmsprop._core.tables.GROUP`.
        known: columns whose numbers are known, name -> number.
        state: the names of `rmsprop._core.rule.STATE` that are on.
        tensors: for each tensor its size, the names of the types in `rmsprop._core.tables.Storage`, and what is on.
        clips: whether a norm scales the gradients.
        version: of the text.
    """

    numbers: tuple[tuple[str, str], ...]
    known: tuple[tuple[str, float], ...]
    state: tuple[str, ...]
    tensors: tuple[tuple[int, tuple[str, ...], tuple[str, ...]], ...]
    clips: bool = False
    version: int = VERSION

    def text(self) -> str:
        """Return the plan as a key, by which compiled code finds it, and JSON."""
        return with_key(json.dumps(self))

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the plan of a text.

        Raises:
            ValueError: another version wrote the text, or somebody has changed it.
        """
        if with_key(text[KEY:]) != text:
            raise ValueError(f"the plan of this step does not belong to its key {text[:KEY]!r}")
        *fields, version = json.loads(text[KEY:])
        if version != VERSION:
            raise ValueError(f"this step was compiled by another version of rmsprop: {version} is not {VERSION}")
        return cls(*fields)

    def plan(self) -> Plan:
        """Return the launches and norms."""
        return Plan(
            Tensor(size, Storage(*map(numpy.dtype, types)), tuple(on), clips=self.clips)
            for size, types, on in self.tensors
        )

    def operands(self) -> list[tuple[str, int]]:
        """Return the type and the size of each argument."""
        found = [(dtype, 1) for _, dtype in self.numbers]
        for name in ("gradient", *self.state):
            place = {"gradient": 0, "variable": 1}.get(name, 2)
            found += [(types[place], size) for size, types, _ in self.tensors]
        return found


def with_key(text: str) -> str:
    """Return a text behind its key."""
    return hashlib.sha256(text.encode()).hexdigest()[:KEY] + text
