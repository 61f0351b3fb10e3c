"""The result of `explain()` of every front end: how each variable is stepped, and why not faster."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, Final, Literal, NamedTuple, TypeVar, final

#: Stepped by our kernels, by the operations of the framework, or by the rule called on whole NumPy arrays.
Way = Literal["native", "traced", "plain"]

#: Rows above which a table is shortened, and how many are left at either end.
_ROWS: Final = 24
_END: Final = 10

#: Bytes of a number.
_BYTES: Final = {
    "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "complex32": 4, "complex64": 8, "complex128": 16,
}  # fmt: skip

#: The error text where nothing is known of the variables.
NEEDED: Final = "explain needs the variables: call explain(variables), or build(variables) before it"

_T = TypeVar("_T")


@final
class Named(Mapping[str, _T]):
    """An immutable mapping, which can be hashed, in the order of its pairs."""

    __slots__ = ("_values",)

    def __init__(self, pairs: Mapping[str, _T] | Iterable[tuple[str, _T]]) -> None:
        self._values = dict(pairs)

    def __getitem__(self, name: str) -> _T:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return repr(self._values)


@final
class Choice(NamedTuple):
    """How a variable is stepped, what compiles it ("" for nothing), and why not faster ("" for the fastest)."""

    way: Way
    compiler: str = ""
    reason: str = ""


@final
class Explained(NamedTuple):
    """How one variable is stepped.

    Attributes:
        shape: its lengths.
        dtype: name of its type.
        slots: slot name -> name of that state's type.
        way: "native": by a kernel of this package. "traced": by the operations of the framework. "plain": by the rule
            on whole NumPy arrays.
        compiler: what compiles it: "numba", "triton", "xla", or "" for nothing.
        reason: against a faster way; "" if this is the fastest.
        nbytes: bytes that a step reads and writes for it, if nothing is read or written twice but for a norm. An
            operation at a time moves more.
    """

    shape: tuple[int, ...]
    dtype: str
    slots: Mapping[str, str]
    way: Way
    compiler: str
    reason: str
    nbytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return the same as values that JSON can hold."""
        return self._asdict() | {"shape": list(self.shape), "slots": dict(self.slots)}


@final
class Explanation(NamedTuple):
    """How an optimizer steps its variables, as `optimizer.explain()` returns it.

    `str` returns a table. It can be hashed, compared and pickled.

    Attributes:
        front_end: "numpy", "torch", "jax", "tf_keras", or "keras on " and the backend.
        variables: name -> how it is stepped.
        launches: kernel calls of a step; 0 where the framework's operations do it.
        nbytes: the sum over the variables.
        threads: CPU threads that kernels may use at most; 0 where none runs on the CPU.
    """

    front_end: str
    variables: Mapping[str, Explained]
    launches: int
    nbytes: int
    threads: int

    def to_dict(self) -> dict[str, Any]:
        """Return the same as values that JSON can hold."""
        return self._asdict() | {"variables": {name: one.to_dict() for name, one in self.variables.items()}}

    def __str__(self) -> str:
        count = len(self.variables)
        lines = _table(self.variables)
        if len(lines) > 1 + _ROWS:
            left_out = len(lines) - 1 - 2 * _END
            lines[1 + _END : -_END] = [f"... {left_out} more"]
        totals = [
            f"{count} variable{'s' * (count != 1)} in {self.front_end}",
            f"{self.launches} launch{'es' * (self.launches != 1)}",
            f"{self.nbytes:,} bytes a step",
        ]
        if self.threads:
            totals.append(f"at most {self.threads} thread{'s' * (self.threads != 1)}")
        return "\n".join([*lines, ", ".join(totals)])


def _state(one: Explained) -> str:
    """Return the names of the slots, and their type where it is not the variable's."""
    types = [*dict.fromkeys(one.slots.values())]
    return ", ".join(one.slots) + "".join(f" ({dtype})" for dtype in types if types != [one.dtype])


#: The columns of a table after the variable's name.
_COLUMNS: Final[dict[str, Callable[[Explained], str]]] = {
    "shape": lambda one: " x ".join(map(str, one.shape)) or "()",
    "type": lambda one: one.dtype,
    "state": _state,
    "way": lambda one: one.way,
    "compiler": lambda one: one.compiler,
    "bytes": lambda one: f"{one.nbytes:,}",
    "why not faster": lambda one: one.reason,
}


def _table(variables: Mapping[str, Explained]) -> list[str]:
    """Return the lines of a table with aligned columns; a column that is empty in all rows is left out."""
    columns = [["variable", *variables]]
    for title, say in _COLUMNS.items():
        cells = [say(one) for one in variables.values()]
        if any(cells):
            columns.append([title, *cells])
    for column in columns:
        align, width = str.rjust if column[0] == "bytes" else str.ljust, max(map(len, column))
        column[:] = [align(cell, width) for cell in column]
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]


def describe(
    shape: Sequence[int], dtype: str, slots: Mapping[str, str], choice: Choice, *, clips_by_norm: bool
) -> Explained:
    """Describe a variable whose gradient is dense and has the variable's type."""
    written = sum(_BYTES[one] for one in (dtype, *slots.values()))
    read = _BYTES[dtype] * (2 if clips_by_norm else 1)
    return Explained(tuple(shape), dtype, Named(slots), *choice, prod(shape) * (read + 2 * written))


def summarize(front_end: str, variables: Iterable[tuple[str, Explained]], launches: int, threads: int) -> Explanation:
    """Return the explanation of a step; the variables' names are unique."""
    named = Named(variables)
    on_cpu = any(one.compiler == "numba" for one in named.values())
    return Explanation(front_end, named, launches, sum(one.nbytes for one in named.values()), threads if on_cpu else 0)
