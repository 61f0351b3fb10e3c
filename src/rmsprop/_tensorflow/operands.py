"""The tensors of an operation: their types and shapes, as compiled code compares them and as error texts name them."""

from collections.abc import Sequence
from math import prod
from typing import Any, Final, NamedTuple, final

import numpy
import tensorflow as tf

from rmsprop._core.cpu.c_memory import CMemory
from rmsprop._tensorflow.tables import OPERAND, TEXTS

#: The length of an axis that may have any.
ANY: Final = -1


#: Characters of a variable's name that an error text has at most, so that compiled code has memory for it.
_SHOWN: Final = 200


def shown(name: str) -> str:
    """Return a variable's name for error texts."""
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}...")


@final
class Operand(NamedTuple):
    """The type and shape of one tensor of an operation.

    Attributes:
        dtype: TensorFlow's type.
        shape: lengths of the axes; `ANY` allows any length.
        name: for error texts.
    """

    dtype: Any
    shape: tuple[int, ...]
    name: str = ""

    def error(self, dtype: Any, shape: Sequence[int]) -> str:
        """Return the text for a tensor of another type or shape than it must have."""
        found = f"{TEXTS['is_of_type'] % tf.as_dtype(dtype).name}{', '.join(map(str, shape))}"
        return f"{self.name}{found}{TEXTS['but_wanted'] % self.wanted()}"

    def wanted(self) -> str:
        """Return type and shape as error texts have them."""
        lengths = ", ".join("any" if length == ANY else str(length) for length in self.shape)
        return f"{self.dtype.name} and [{lengths}]"

    def fits(self, dtype: Any, shape: Sequence[int]) -> bool:
        """Whether a tensor has the type, one of NumPy's, and the shape."""
        same = (length in (ANY, found) for found, length in zip(shape, self.shape, strict=False))
        return bool(dtype == self.dtype.as_numpy_dtype) and len(shape) == len(self.shape) and all(same)


@final
class Target(NamedTuple):
    """Where a copy has what compiled code finds of a tensor, in bytes from its head, 0 for nowhere.

    Attributes:
        to: where the address goes.
        length_to: where the length of the first axis goes.
        is_number: whether the tensor's number goes there and not its address.
    """

    to: int = 0
    length_to: int = 0
    is_number: bool = False


def table(memory: CMemory, operands: Sequence[Operand], targets: Sequence[Target]) -> int:
    """Write the words of each tensor as a table for compiled code, and return its address."""
    rows = []
    shapes = {shape: memory.keep(numpy.array(shape, numpy.int64)) for shape in {one.shape for one in operands}}
    for one, target in zip(operands, targets, strict=True):
        row = {"dtype": one.dtype.as_datatype_enum, "axes": len(one.shape), "shape": shapes[one.shape]}
        row["nbytes"] = one.dtype.size * prod(one.shape)
        row |= {"to": target.to, "length_to": target.length_to, "is_number": target.is_number}
        row |= {"name": memory.text(one.name), "wanted": memory.text(one.wanted())}
        rows.append(row)
    return memory.rows(OPERAND, rows)
