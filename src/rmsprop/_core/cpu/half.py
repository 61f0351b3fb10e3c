"""float16 and bfloat16 as 16 bits: exact widening to float32 and rounding back, as LLVM instructions.

Numba has no arithmetic on half types, and needs none: they are storage. Rounding is to nearest, ties to even; subnormal
numbers, infinities and NaN (quieted) stay what they are. float16 uses the conversions of the processor that Numba
compiles for where it has them, and integer arithmetic elsewhere; both have the same bits, which a test compares over
all numbers.
"""

import platform
from functools import cache
from typing import Any

from llvmlite import ir
from numba.core.registry import cpu_target

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_HALF, _FLOAT, _DOUBLE = ir.HalfType(), ir.FloatType(), ir.DoubleType()


@cache
def native_float16() -> bool:
    """Whether LLVM can convert float16 without calling a runtime library that Numba does not link.

    Numba's target decides, not this machine: ``NUMBA_CPU_NAME`` names another processor, for a cache that machines
    share.
    """
    if platform.machine().lower() in ("arm64", "aarch64"):
        return True
    *_, features = cpu_target.target_context.codegen().magic_tuple()
    return "+f16c" in features.split(",")


def widen(builder: Any, storage: str, bits: Any) -> Any:
    """Turn the 16 bits of a stored number into the float32 of the same value."""
    if storage == "bfloat16":
        return builder.bitcast(builder.shl(builder.zext(bits, _I32), _I32(16)), _FLOAT)
    if native_float16():
        return builder.fpext(builder.bitcast(bits, _HALF), _FLOAT)
    wide = builder.zext(bits, _I32)
    sign = builder.shl(builder.and_(wide, _I32(0x8000)), _I32(16))
    magnitude = builder.and_(wide, _I32(0x7FFF))
    # Exponent and fraction move to their places in a float32; a product mends the bias, for subnormals too.
    shifted = builder.bitcast(builder.shl(magnitude, _I32(13)), _FLOAT)
    finite = builder.bitcast(builder.fmul(shifted, _FLOAT(2.0**112)), _I32)
    special = builder.or_(builder.shl(magnitude, _I32(13)), _I32(0x7F800000))
    value = builder.select(builder.icmp_unsigned(">=", magnitude, _I32(0x7C00)), special, finite)
    return builder.bitcast(builder.or_(value, sign), _FLOAT)


def narrow(builder: Any, storage: str, value: Any) -> Any:
    """Round a float32 or float64 to the 16 bits of the nearest stored number."""
    if value.type == _DOUBLE:
        value = _round_to_odd(builder, value)
    if storage == "bfloat16":
        return _narrow_bfloat16(builder, value)
    if native_float16():
        return builder.bitcast(builder.fptrunc(value, _HALF), _I16)
    return _narrow_float16(builder, value)


def _narrow_bfloat16(builder: Any, value: Any) -> Any:
    bits = builder.bitcast(value, _I32)
    odd = builder.and_(builder.lshr(bits, _I32(16)), _I32(1))
    rounded = builder.add(bits, builder.add(odd, _I32(0x7FFF)))
    quiet = builder.or_(bits, _I32(0x400000))
    chosen = builder.select(builder.fcmp_unordered("uno", value, value), quiet, rounded)
    return builder.trunc(builder.lshr(chosen, _I32(16)), _I16)


def _narrow_float16(builder: Any, value: Any) -> Any:
    bits = builder.bitcast(value, _I32)
    sign = builder.and_(builder.lshr(bits, _I32(16)), _I32(0x8000))
    magnitude = builder.and_(bits, _I32(0x7FFFFFFF))
    odd = builder.and_(builder.lshr(magnitude, _I32(13)), _I32(1))
    rebiased = builder.sub(magnitude, _I32(112 << 23))
    normal = builder.lshr(builder.add(rebiased, builder.add(odd, _I32(0xFFF))), _I32(13))
    # Adding 0.5 aligns a value below 2**-14 so that the float32 addition itself rounds at float16's last place.
    aligned = builder.fadd(builder.bitcast(magnitude, _FLOAT), _FLOAT(0.5))
    subnormal = builder.sub(builder.bitcast(aligned, _I32), _I32(126 << 23))
    is_nan = builder.icmp_unsigned(">", magnitude, _I32(0x7F800000))
    special = builder.select(is_nan, _I32(0x7E00), _I32(0x7C00))
    small = builder.icmp_unsigned("<", magnitude, _I32(113 << 23))
    large = builder.icmp_unsigned(">=", magnitude, _I32(143 << 23))
    finite = builder.select(small, subnormal, normal)
    return builder.trunc(builder.or_(builder.select(large, special, finite), sign), _I16)


def _round_to_odd(builder: Any, value: Any) -> Any:
    """Shorten a float64 to float32 so that rounding the result once more equals rounding once.

    An inexact result gets an odd last bit, and so is no tie of a shorter type (Boldo and Melquiond,
    "Emulation of a FMA and correctly rounded sums", IEEE Transactions on Computers 57, 2008).
    """
    nearest = builder.fptrunc(value, _FLOAT)
    back = builder.bitcast(builder.fpext(nearest, _DOUBLE), _I64)
    mask = _I64(0x7FFFFFFFFFFFFFFF)
    exact, reached = builder.and_(builder.bitcast(value, _I64), mask), builder.and_(back, mask)
    bits = builder.bitcast(nearest, _I32)
    toward_zero = builder.select(builder.icmp_unsigned(">", reached, exact), builder.sub(bits, _I32(1)), bits)
    odd = builder.or_(toward_zero, _I32(1))
    inexact = builder.fcmp_ordered("!=", builder.fpext(nearest, _DOUBLE), value)
    return builder.bitcast(builder.select(inexact, odd, bits), _FLOAT)
