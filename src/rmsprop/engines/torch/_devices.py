"""What is on CUDA devices: who goes there, in which form, and one engine a device."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from rmsprop._options import Options
from rmsprop._versions import numbers
from rmsprop._warnings import warn
from rmsprop.engines.torch._items import Item
from rmsprop.engines.torch._slots import is_plain

#: The oldest Triton whose kernels keep subnormal numbers on CUDA devices: older ones replace them by 0 without a word.
OLDEST_TRITON: Final = (3, 6)


@cache
def _cuda() -> Any:
    """Give the module of the CUDA engine; None where Triton is not there, cannot be loaded or is too old."""
    try:
        import triton

        version = getattr(triton, "__version__", "")
        if not version:  # a folder of that name on the path, which Python takes for a package
            return None
        if () < numbers(version) < OLDEST_TRITON:
            oldest = ".".join(map(str, OLDEST_TRITON))
            warn(
                f"Triton {version} replaces subnormal numbers by 0 on CUDA devices: steps there use torch's "
                f"own operations, which are slower. The native step needs Triton {oldest} or newer"
            )
            return None
        from rmsprop.engines.torch import _cuda
    except ImportError:
        return None
    return _cuda


def is_cuda(parameter: Tensor, gradient: Tensor, options: Options) -> bool:
    """Whether the CUDA kernels step a parameter."""
    return (
        parameter.device.type == "cuda"
        and is_plain(parameter)
        and is_plain(gradient)
        and options.jit_compile
        and _cuda() is not None
    )


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
        """Advance parameters that are on one device; nothing waits for it. See `_cuda.Cuda.step`."""
        device = iterations.device
        scale, found = (None if one is None else one.to(device, non_blocking=True) for one in (grad_scale, found_inf))
        self._engine(items).step([_there(item) for item in items], 0.0, iterations, scale, found, squares, begin)

    def square_sums(self, items: Sequence[Item], grad_scale: Tensor | None) -> NDArray[numpy.float64]:
        """Sum the squares of each gradient without the scale, and wait for the device."""
        found = self._engine(items).square_sums([_there(item) for item in items], grad_scale)
        return numpy.array(found.tolist())

    def _engine(self, items: Sequence[Item]) -> Any:
        device = items[0].parameter.device
        if device not in self._engines:
            self._engines[device] = _cuda().Cuda(items[0].group.options)
        return self._engines[device]


def _there(item: Item) -> Any:
    """Put an item into the form of the CUDA engine, where a complex number is two real ones."""
    parameter, gradient, slots, group = item.parameter, item.gradient, item.slots, item.group
    if parameter.is_complex():
        if gradient.layout is torch.sparse_coo:
            gradient = gradient.coalesce().to_dense()
        parameter, gradient = (torch.view_as_real(one.detach().resolve_conj()) for one in (parameter, gradient))
        slots = {name: torch.view_as_real(slot) for name, slot in slots.items()}
    return _cuda().Item(parameter, gradient, slots, item.decays, group.options, group.rate, group.maximize)
