"""A thread's floating-point mode in compiled code: saved while a kernel runs with IEEE 754's own, then restored.

Threads of TensorFlow and XLA flush subnormal numbers to zero, threads of torch may, and a helper inherits the mode of
the thread that started it. A kernel's numbers must not depend on the thread of a piece: each call saves the mode of its
thread, computes without flushing, rounding to nearest and without traps, and restores the mode. Kernels are not
interrupted, so it is always restored.
"""

import platform
from typing import Any, Final

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_BYTES = ir.IntType(8).as_pointer()

#: Numba's helpers, which have no types.
_tools: Any = cgutils

_MACHINE: Final = platform.machine().lower()
IS_X86: Final = _MACHINE in ("x86_64", "amd64")
IS_ARM: Final = _MACHINE in ("arm64", "aarch64")

#: Bits of x86's MXCSR to clear (flush to zero, the direction of rounding, subnormals are zeros), and to set (no
#: exception traps).
_X86_CLEARED: Final = 0x8000 | 0x6000 | 0x0040
_X86_SET: Final = 0x1F80

#: Bits of AArch64's FPCR that are cleared: the default NaN, flushing (of float16 apart), the direction of rounding,
#: traps, and the three alternative behaviours of FEAT_AFP.
_ARM_CLEARED: Final = 1 << 25 | 1 << 24 | 3 << 22 | 1 << 19 | 0x9F00 | 0b111


@intrinsic
def compute_exactly(typing_context: Any) -> Any:
    """Turn off flushing, directed rounding and traps on this thread; return the mode for `restore`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        mode = _read(builder)
        if IS_X86:
            _write(builder, builder.or_(builder.and_(mode, _I64(~_X86_CLEARED)), _I64(_X86_SET)))
        elif IS_ARM:
            _write(builder, builder.and_(mode, _I64(~_ARM_CLEARED)))
        return mode

    return types.int64(), generate


@intrinsic
def restore(typing_context: Any, mode: Any) -> Any:
    """Let this thread compute as it did before `compute_exactly`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _write(builder, arguments[0])
        return context.get_dummy_value()

    return types.none(types.int64), generate


@intrinsic
def pause(typing_context: Any) -> Any:
    """Hint to the processor that this thread waits for a word to change."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if IS_X86 or IS_ARM:
            name, given = ("llvm.x86.sse2.pause", []) if IS_X86 else ("llvm.aarch64.hint", [_I32(1)])
            kind = ir.FunctionType(ir.VoidType(), [one.type for one in given])
            builder.call(_tools.get_or_insert_function(builder.module, kind, name), given)
        return context.get_dummy_value()

    return types.void(), generate


def _read(builder: Any) -> Any:
    if IS_X86:
        place = _tools.alloca_once(builder, _I32)
        _call(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), builder.bitcast(place, _BYTES))
        return builder.zext(builder.load(place), _I64)
    return _call(builder, "llvm.aarch64.get.fpcr", _I64) if IS_ARM else _I64(0)


def _write(builder: Any, mode: Any) -> None:
    if IS_X86:
        place = _tools.alloca_once(builder, _I32)
        builder.store(builder.trunc(mode, _I32), place)
        _call(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), builder.bitcast(place, _BYTES))
    elif IS_ARM:
        _call(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), mode)


def _call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(_tools.get_or_insert_function(builder.module, kind, name), arguments)
