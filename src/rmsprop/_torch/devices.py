"""Whether the CUDA kernels step a parameter."""

from functools import cache
from typing import Any, Final

from torch import Tensor

from rmsprop._core.options import Options
from rmsprop._core.versions import numbers
from rmsprop._core.warnings import warn
from rmsprop._torch.slots import against_plain

#: The oldest Triton whose kernels keep subnormal numbers on CUDA devices: older ones replace them by 0 without a word.
OLDEST_TRITON: Final = (3, 6)
_OLDEST: Final = ".".join(map(str, OLDEST_TRITON))


@cache
def cuda_module() -> Any:
    """Return the module of the CUDA engine; it can be loaded where `against_triton` returns ""."""
    from rmsprop._torch import cuda

    return cuda


@cache
def _version() -> str:
    """Return Triton's version, "" where it is not installed."""
    try:
        import triton
    except ImportError:
        return ""
    return getattr(triton, "__version__", "")  # which a folder of that name on the path does not have


def _is_old(version: str) -> bool:
    return () < numbers(version) < OLDEST_TRITON


@cache
def against_triton() -> str:
    """Return why Triton's kernels step nothing in this process; "" if they can."""
    version = _version()
    if not version:
        return "Triton is not installed"
    if _is_old(version):
        return f"Triton {version} is older than {_OLDEST}"
    try:
        cuda_module()
    except ImportError as error:
        return f"Triton {version} cannot be loaded: {error}"
    return ""


@cache
def _tell_of_old_triton() -> None:
    version = _version()
    if _is_old(version):
        warn(
            f"Triton {version} replaces subnormal numbers by 0 on CUDA devices: steps there use torch's own "
            f"operations, which are slower. The native step needs Triton {_OLDEST} or newer"
        )


def against_cuda(parameter: Tensor, gradient: Tensor, options: Options, off: str = "", *, warns: bool = True) -> str:
    """Return why the CUDA kernels do not step a parameter; "" if they do.

    `off` is why the user wants no native steps. With `warns`, a Triton that is too old is warned of once.
    """
    if parameter.device.type != "cuda":
        return "not on a CUDA device"
    if reason := against_plain(parameter) or against_plain(gradient):
        return reason
    if not options.jit_compile or off:
        return off if options.jit_compile else "jit_compile=False"
    reason = against_triton()
    if reason and warns:
        _tell_of_old_triton()
    return reason
