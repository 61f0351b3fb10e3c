"""Compilation of the kernels for a GPU that need not be there."""

import functools

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from rmsprop._core.cuda import launches, norms
from rmsprop._core.cuda import step as _triton_step

SERIAL = norms.SERIAL.value

TARGET = GPUTarget("cuda", 90, 32)

#: Types of the arguments that are no compile-time constants; None where the argument may be off.
SIGNATURES = {
    _triton_step.step: {
        "pieces": "*i32", "tensors": "*i64", "groups": "*fp64", "scales": "*fp64", "switches": "*i32",
        "inverse": "*fp32",
    },
    norms.square_sums: {"chunks": "*i32", "tensors": "*i64", "inverse": "*fp32", "partials": "*fp64"},
    norms.fold: {"partials": "*fp64", "ranges": "*i32", "squares": "*fp64"},
    norms.clip: {
        "squares": "*fp64", "members": "*i32", "norms": "*i32", "tensors": "*i64", "groups": "*fp64", "scales": "*fp64",
    },
    norms.prepare: {
        "iterations": "*i64", "found_inf": "*fp32", "grad_scale": "*fp32", "groups": "*fp64", "group_count": "i32",
        "switches": "*i32", "inverse": "*fp32",
    },
}  # fmt: skip


def kernel(function, static=(), off=()):
    """Compile as a launch does.

    Args:
        function: a key of `SIGNATURES`.
        static: values of its compile-time constants, in their order.
        off: names of arguments that are None.
    """
    signature = dict(SIGNATURES[function])
    names = [name for name in function.arg_names if name not in signature]
    constants = dict(zip(names, static, strict=True)) | dict.fromkeys(off)
    signature |= dict.fromkeys(constants, "constexpr")
    signature = {name: signature[name] for name in function.arg_names}
    # Tables are allocated by torch, whose memory begins at multiples of 512 bytes.
    pointers = [place for place, name in enumerate(function.arg_names) if signature[name].startswith("*")]
    attributes = {(place,): [["tt.divisibility", 16]] for place in pointers}
    options = {"num_warps": 4 if function is _triton_step.step else 1, "enable_fp_fusion": False}
    return triton.compile(ASTSource(function, signature, constants, attributes), target=TARGET, options=options)


@functools.cache
def step(gradient, variable, slots, aligned, on=frozenset(), scaled=False):
    """Compile the update, `on` being some of `rmsprop._core.cuda.step.FLAGS`."""
    compute = "float64" if "float64" in (variable, slots) else "float32"
    types = [launches._TYPES[name] for name in (gradient, variable, slots, compute)]
    off = [name for name, is_on in {"scales": "clip_scale" in on, "inverse": scaled}.items() if not is_on]
    return kernel(_triton_step.step, (*types, aligned, *(flag in on for flag in _triton_step.FLAGS)), off)


@functools.cache
def square_sums(gradient, aligned, scaled=False):
    return kernel(norms.square_sums, (launches._TYPES[gradient], aligned), () if scaled else ("inverse",))
