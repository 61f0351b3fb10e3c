"""Triton's interpreter, made to round as the compiler does, and faster."""

import ml_dtypes
import numpy
import triton.language as tl
from triton.runtime import interpreter

_call = interpreter.InterpretedFunction.__call__
_cast = interpreter.InterpreterBuilder.cast_impl


def _cast_with_rounding(self, source, target):
    """Round to bfloat16 to nearest, as the compiled kernels do: the interpreter cuts numbers off."""
    if source.dtype.scalar == tl.float32 and target.scalar == tl.bfloat16:
        rounded = source.data.astype(ml_dtypes.bfloat16).view(numpy.uint16)
        return interpreter.TensorHandle(rounded, tl.bfloat16)
    return _cast(self, source, target)


def _call_within_a_launch(self, *arguments, **keywords):
    """Call a function of a kernel without replacing all of Triton's language again, which the launch has done."""
    if self.fn.__module__.startswith("rmsprop."):
        return self.rewrite()(*arguments, **keywords)
    return _call(self, *arguments, **keywords)  # Triton's own functions know the language by other names


def mend():
    """Put both in place; only for a process that runs nothing but interpreted kernels."""
    interpreter.InterpreterBuilder.cast_impl = _cast_with_rounding
    interpreter.InterpretedFunction.__call__ = _call_within_a_launch
