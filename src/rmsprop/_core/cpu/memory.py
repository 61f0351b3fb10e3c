"""Typed access to raw memory inside Numba kernels: pointers that know how a number is stored and computed.

A `Pointer` is an address with three facts of compile time: the storage type of the numbers behind it, their compute
type, and the name of the operand it belongs to. Loads widen to the compute type, stores round once (to nearest, ties to
even). Three properties matter to the callers:

* every access is declared with alignment 1, so that an array at any address is correct (x86-64 and AArch64 read
  unaligned vectors at full speed);
* each operand is an alias scope of its own: LLVM may vectorise without run-time checks, with which it gives up on five
  or more arrays. The caller guarantees that operands of different names do not overlap;
* float16 and bfloat16, which Numba does not compute with, are converted here.
"""

from typing import Any, final

import numpy
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

from rmsprop._core import tables
from rmsprop._core.cpu.half import narrow, widen
from rmsprop._core.cpu.words import nothing, place
from rmsprop._core.rule import STATE
from rmsprop._core.tables import LINE

#: Every operand that a kernel may touch: accesses of different operands never overlap.
OPERANDS = (*tables.OPERANDS, "lanes", "outside", *(f"new {name}" for name in STATE))

_BYTES, _I64 = ir.IntType(8).as_pointer(), ir.IntType(64)

#: The storage type of a dtype among a kernel's arguments. bfloat16 has no Numba type; uint16, which no variable has,
#: stands for it.
_STORAGE = {types.float16: "float16", types.uint16: "bfloat16", types.float32: "float32", types.float64: "float64"}


def storage_tag(dtype: numpy.dtype[Any]) -> numpy.dtype[Any]:
    """Return the dtype that stands for `dtype` among a kernel's arguments."""
    return numpy.dtype(numpy.uint16) if dtype.name == "bfloat16" else dtype


@final
class Pointer(types.Type):
    """The Numba type of an address whose numbers are stored as `storage` and computed as `compute`."""

    def __init__(self, storage: str, compute: types.Float, operand: str) -> None:
        self.storage, self.compute, self.operand = storage, compute, operand
        super().__init__(name=f"Pointer({storage}, {compute}, {operand})")

    @property
    def itemsize(self) -> int:
        """Bytes of one stored number."""
        return {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}[self.storage]

    @property
    def llvm(self) -> ir.Type:
        """How LLVM holds one stored number; half types travel as bits."""
        return {"float32": ir.FloatType(), "float64": ir.DoubleType()}.get(self.storage, ir.IntType(16))


@final
@register_model(Pointer)
class _PointerModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Pointer) -> None:
        super().__init__(manager, fe_type, _BYTES)


# What kernels call. An operand that is off has None for an address: it makes no pointer, loads as None, and drops what
# is stored to it, all decided while compiling.


@intrinsic(prefer_literal=True)
def pointer(typing_context: Any, address: Any, storage: Any, compute: Any, operand: Any) -> Any:
    """Make a pointer from an address (int64), two dtypes and the literal name of the operand."""
    if address is types.none:
        return nothing(address, storage, compute, operand)
    kind = Pointer(_STORAGE[storage.dtype], compute.dtype, operand.literal_value)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], _BYTES)

    return kind(types.int64, storage, compute, operand), generate


@intrinsic
def advance(typing_context: Any, source: Any, count: Any) -> Any:
    """Move a pointer by `count` numbers."""
    if source is types.none:
        return nothing(source, count)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(_element(builder, source, *arguments), _BYTES)

    return source(source, types.int64), generate


@intrinsic(prefer_literal=True)
def column_pointer(
    typing_context: Any, where: Any, column: Any, stride: Any, start: Any, storage: Any, compute: Any, operand: Any
) -> Any:
    """Make a pointer to element `start` of an array whose address is in a column of WHERE; None where `column` is.

    Args:
        where: address of the tensor's word in the first column.
        column: number of the column.
        stride: words in a column.
        start: number of the element.
        storage: a dtype.
        compute: a dtype.
        operand: the literal name of the operand.
    """
    given = where, column, stride, start, storage, compute, operand
    if column is types.none:
        return nothing(*given)
    kind = Pointer(_STORAGE[storage.dtype], compute.dtype, operand.literal_value)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where, _, stride, start = arguments[:4]
        word = place(builder, where, builder.mul(_I64(column.literal_value), stride))
        base = builder.inttoptr(builder.load(word), _BYTES)
        return builder.bitcast(_element(builder, kind, base, start), _BYTES)

    return kind(types.int64, column, types.int64, types.int64, storage, compute, operand), generate


@intrinsic
def first_given(typing_context: Any, this: Any, other: Any) -> Any:
    """Return `this`, or the other where this is None."""
    place = 1 if this is types.none else 0
    result = other if place else this
    return result(this, other), lambda context, builder, signature, arguments: arguments[place]


@intrinsic
def itemsize(typing_context: Any, source: Any) -> Any:
    """Return the bytes of one stored number, known while compiling."""
    return types.int64(source), lambda context, builder, signature, values: _I64(source.itemsize)


@intrinsic
def load(typing_context: Any, source: Any, index: Any) -> Any:
    """Read number `index` behind a pointer, in the compute type."""
    if source is types.none:
        return nothing(source, index)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_element(builder, source, *arguments), align=1)
        _separate(builder, source, value)
        if source.itemsize == 2:
            value = widen(builder, source.storage, value)
        return _convert(builder, value, context.get_value_type(source.compute))

    return source.compute(source, types.int64), generate


@intrinsic
def store(typing_context: Any, target: Any, index: Any, number: Any) -> Any:
    """Round `number` once to the storage type and write it at `index`."""
    if target is types.none:
        return nothing(target, index, number)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, index, number = arguments
        number = narrow(builder, target.storage, number) if target.itemsize == 2 else number
        number = _convert(builder, number, target.llvm)
        _separate(builder, target, builder.store(number, _element(builder, target, base, index), align=1))
        return context.get_dummy_value()

    return types.void(target, types.int64, target.compute), generate


@intrinsic
def stream(typing_context: Any, target: Any, source: Any, count: Any) -> Any:
    """Copy `count` stored numbers, past the caches as far as they fill whole cache lines of the target.

    A cache line that is written past the caches need not be read first, and displaces nothing that is needed sooner. A
    target that does not begin a cache line is written to as usual. `fence` must follow before another thread may read
    it.
    """
    if target is types.none:
        return nothing(target, source, count)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, origin, count = arguments
        line = ir.VectorType(ir.IntType(32), LINE // 4)
        within = builder.and_(builder.ptrtoint(to, _I64), _I64(LINE - 1))
        whole_lines = builder.sdiv(builder.mul(count, _I64(target.itemsize)), _I64(LINE))
        lines = builder.select(builder.icmp_signed("==", within, _I64(0)), whole_lines, _I64(0))
        with cgutils.for_range(builder, lines) as loop:
            whole = builder.load(builder.gep(builder.bitcast(origin, line.as_pointer()), [loop.index]), align=1)
            place = builder.gep(builder.bitcast(to, line.as_pointer()), [loop.index])
            stored = builder.store(whole, place, align=LINE)
            stored.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
        first = builder.mul(lines, _I64(LINE // target.itemsize))
        with cgutils.for_range_slice(builder, first, count, _I64(1)) as (index, _):
            number = builder.load(_element(builder, source, origin, index), align=1)
            builder.store(number, _element(builder, target, to, index), align=1)
        return context.get_dummy_value()

    return types.void(target, source, types.int64), generate


@intrinsic
def fence(typing_context: Any) -> Any:
    """Order all writes before this before all writes after it, as other threads see them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


def _element(builder: Any, kind: Pointer, base: Any, index: Any) -> Any:
    return builder.gep(builder.bitcast(base, kind.llvm.as_pointer()), [index])


def _convert(builder: Any, value: Any, target: Any) -> Any:
    if value.type == target:
        return value
    return builder.fptrunc(value, target) if value.type == ir.DoubleType() else builder.fpext(value, target)


def _separate(builder: Any, kind: Pointer, instruction: Any) -> None:
    """Tell LLVM that this access touches its own operand and none of the others."""
    module = builder.module
    domain = module.add_metadata(["rmsprop"])
    scopes = {name: module.add_metadata([f"rmsprop {name}", domain]) for name in OPERANDS}
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[kind.operand]]))
    others = [scope for name, scope in scopes.items() if name != kind.operand]
    instruction.set_metadata("noalias", module.add_metadata(others))
