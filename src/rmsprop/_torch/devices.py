"""What is on CUDA devices: who goes there, in which form, and one engine a device."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from rmsprop._core.items import Item
from rmsprop._core.options import Options
from rmsprop._core.versions import numbers
from rmsprop._core.warnings import warn
from rmsprop._torch.slots import against_plain

#: The oldest Triton whose kernels keep subnormal numbers on CUDA devices: older ones replace them by 0 without a word.
OLDEST_TRITON: Final = (3, 6)
_OLDEST: Final = ".".join(map(str, OLDEST_TRITON))


@cache
def _cuda() -> Any:
    """Give the module of the CUDA engine, where `against_triton` has nothing against it."""
    from rmsprop._torch import cuda

    return cuda


@cache
def _version() -> str:
    """Give Triton's version, "" where it is not installed."""
    try:
        import triton
    except ImportError:
        return ""
    return getattr(triton, "__version__", "")  # which a folder of that name on the path does not have


def _is_old(version: str) -> bool:
    return () < numbers(version) < OLDEST_TRITON


@cache
def against_triton() -> str:
    """Why Triton's kernels step nothing in this process; "" if they can."""
    version = _version()
    if not version:
        return "Triton is not installed"
    if _is_old(version):
        return f"Triton {version} is older than {_OLDEST}"
    try:
        _cuda()
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


def against_cuda(parameter: Tensor, gradient: Tensor, options: Options, *, warns: bool = True) -> str:
    """Why the CUDA kernels do not step a parameter; "" if they do.

    Args:
        parameter: what is stepped.
        gradient: of its shape.
        options: the checked arguments.
        warns: whether to warn, once, of a Triton that is too old.
    """
    if parameter.device.type != "cuda":
        return "not on a CUDA device"
    if reason := against_plain(parameter) or against_plain(gradient):
        return reason
    if not options.jit_compile:
        return "jit_compile=False"
    reason = against_triton()
    if reason and warns:
        _tell_of_old_triton()
    return reason


class Devices:
    """The engines of all CUDA devices; what graphs have captured lives as long as this."""

    def __init__(self) -> None:
        self._engines: dict[torch.device, Any] = {}

    def step(
        self,
        items: Sequence[Item],
        iterations: Tensor,
        grad_scale: Tensor | None,
        found_inf: Tensor | None = None,
        squares: Tensor | None = None,
        begin: Callable[[], None] | None = None,
    ) -> None:
        """Advance parameters that are on one device; nothing waits for it. See `cuda.Cuda.step`."""
        device = iterations.device
        scale, found = (None if one is None else one.to(device, non_blocking=True) for one in (grad_scale, found_inf))
        self._engine(items).step([_there(item) for item in items], 0.0, iterations, scale, found, squares, begin)

    def square_sums(self, items: Sequence[Item], grad_scale: Tensor | None) -> NDArray[numpy.float64]:
        """Sum the squares of each gradient without the scale, and wait for the device."""
        found = self._engine(items).square_sums([_there(item) for item in items], grad_scale)
        return numpy.array(found.tolist())

    def _engine(self, items: Sequence[Item]) -> Any:
        device = items[0].variable.device
        if device not in self._engines:
            self._engines[device] = _cuda().Cuda(items[0].group.options)
        return self._engines[device]


def _there(item: Item) -> Any:
    """Put an item into the form of the CUDA engine, where a complex number is two real ones."""
    parameter, gradient, slots, group = item.variable, item.gradient, item.slots, item.group
    if parameter.is_complex():
        if gradient.layout is torch.sparse_coo:
            gradient = gradient.coalesce().to_dense()
        parameter, gradient = (torch.view_as_real(one.detach().resolve_conj()) for one in (parameter, gradient))
        slots = {name: torch.view_as_real(slot) for name, slot in slots.items()}
    return _cuda().Item(parameter, gradient, slots, item.decays, group.options, group.rate, group.maximize)
