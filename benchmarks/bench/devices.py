"""The device of the tensors: how to wait for its work, and the limit of its memory."""

from collections.abc import Callable
from typing import Any, Final

from bench.frameworks import load
from bench.timing import Step, nothing
from rmsprop.cli import CommandError

CPU, CUDA = "cpu", "cuda"

#: All of them; a front end may have fewer.
DEVICES: Final = (CPU, CUDA)


def check_device(device: str) -> None:
    """Find out whether the device is there.

    Raises:
        CommandError: it is not.
    """
    if device == CUDA and not (torch := load("torch")).cuda.is_available():
        raise CommandError(f"--device {device}: torch {torch.__version__} finds no CUDA device here")


def device_name(device: str) -> str:
    """Return the product name of a CUDA device."""
    name: str = load("torch").cuda.get_device_name(device)
    return name


def waiter(device: str) -> Callable[[], object]:
    """Return a function that returns when all work on the device is done: a step on a CUDA device only orders it."""
    if device == CUDA:
        wait: Callable[[], object] = load("torch").cuda.synchronize
        return wait
    return nothing


def memory_peak(step: Step, steps: int) -> int:
    """Return the peak of the bytes that steps allocate on a CUDA device, as torch's allocator counts them."""
    cuda = load("torch").cuda
    cuda.synchronize()
    cuda.reset_peak_memory_stats()
    before = int(cuda.memory_allocated())
    for _ in range(steps):
        step()
    cuda.synchronize()
    return int(cuda.max_memory_allocated()) - before


class DeviceMemory:
    """Tensors as a step has them, and copies of as many bytes from device memory to device memory.

    Args:
        size: numbers in each tensor.
        slots: tensors of state besides the variable.
        norm: whether a step reads the gradient once more, before.
        device: that of the tensors.
    """

    def __init__(self, size: int, slots: int, *, norm: bool, device: str) -> None:
        torch = load("torch")
        self._tensors: list[Any] = [torch.zeros(size, device=device) for _ in range(2 + slots)]
        self._size, self._passes = size, 1 + norm + 2 * (1 + slots)

    def __enter__(self) -> "DeviceMemory":
        return self

    def __exit__(self, *error: object) -> None:
        self._tensors.clear()

    @property
    def moved(self) -> int:
        """Bytes that a step reads and writes."""
        return self._passes * self._size * 4

    def loops(self) -> dict[str, Step]:
        """Return all candidates for the limit by name."""
        return {"torch.Tensor.copy_": self._copy}

    def _copy(self) -> None:
        """Copy tensors onto each other until as many bytes are moved; a copy reads its bytes and writes them."""
        rest, turn = self.moved // 8, 0
        while rest > 0:
            count = min(rest, self._size)
            target, source = (self._tensors[(turn + place) % len(self._tensors)] for place in (1, 0))
            target[:count].copy_(source[:count])
            rest, turn = rest - count, turn + 1
