"""The tables of the CUDA kernels: what their columns are, and how a step's tables reach the device.

* A CHUNK table has a row a program: the number of a tensor, and which chunk of that tensor; int32.
* The TENSOR table has a row a tensor, int64: its size, the number of its group, then the addresses of gradient, variable,
  velocity, momentum, average_gradient and average (0 where the slot is off), and of the gradient in row-major order.
* The GROUP table has a row for each setting of the options, float64: `GROUP_COLUMNS`. A kernel rounds each number once to
  the type that it computes in.
"""

from typing import TYPE_CHECKING, Any, Final

import numpy
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, device

#: Numbers of a chunk of the update, and of a block, which a program loads at once. Enough chunks for the processors to
#: share evenly; a block is 8 numbers a thread: two loads of 128 bits in float32, one in half types.
STEP_CHUNK: Final = 4096
STEP_BLOCK: Final = 1024
STEP_WARPS: Final = 4

TENSOR_COLUMNS: Final = (
    "size", "group", "gradient", "variable", "velocity", "momentum", "average_gradient", "average", "row_major",
)  # fmt: skip
TENSOR_WIDTH: Final = len(TENSOR_COLUMNS)

GROUP_COLUMNS: Final = (
    "learning_rate", "clip_value", "weight_decay", "rho", "rho_c", "mu", "epsilon", "ema_momentum", "ema_momentum_c",
    "limit", "frequency",
)  # fmt: skip
GROUP_WIDTH: Final = len(GROUP_COLUMNS)

Integers = NDArray[numpy.int64]
Doubles = NDArray[numpy.float64]


class Tables:
    """The tensor and the group table on a device, sent there in one copy, and only when they changed.

    Eagerly, pinned memory comes from torch's allocator, which does not hand it out again before the copy from it is done,
    and the copy waits for nothing. While a CUDA graph is captured nothing may be allocated or reused like that: each capture
    gets tables and pinned memory of its own, which live as long as this object, because every replay copies again.

    Args:
        tensors: rows of the tensor table.
        groups: rows of the group table.
        device: where they are needed.
    """

    def __init__(self, tensors: int, groups: int, device: "device") -> None:
        self._shape, self._device = (tensors, groups), device
        # Each table begins at a multiple of 16 bytes, which Triton compiles for.
        self._begin = -(-tensors * TENSOR_WIDTH // 2) * 2
        self._length = self._begin + groups * GROUP_WIDTH
        self._words = numpy.zeros(self._length, numpy.int64)
        self._on_device: Tensor | None = None
        self._spare: Tensor | None = None
        self._captured: list[Any] = []

    def send(self, tensors: Integers, groups: Doubles) -> "tuple[Tensor, Tensor]":
        """Bring both tables to the device, in the order of the current stream, and give them there."""
        words = numpy.zeros(self._length, numpy.int64)
        words[: tensors.size] = tensors.reshape(-1)
        words[self._begin :] = groups.reshape(-1).view(numpy.int64)
        if self._device.type == "cuda" and _capturing():
            there = self._send_captured(words)
        else:
            there = self._send(words)
        rows, columns = self._shape[1], GROUP_WIDTH
        return there[: self._begin], there[self._begin :].view(_double()).view(rows, columns)

    def _send(self, words: Integers) -> "Tensor":
        import torch

        there = self._on_device
        if there is None:
            there = self._on_device = torch.zeros(self._length, dtype=torch.int64, device=self._device)
            if self._device.type == "cuda":
                self._spare = torch.empty(self._length, dtype=torch.int64, pin_memory=True)
        elif numpy.array_equal(words, self._words):
            return there
        self._words = words
        if self._device.type != "cuda":  # Triton's interpreter
            return there.copy_(torch.from_numpy(words))
        staged = torch.empty(self._length, dtype=torch.int64, pin_memory=True)
        staged.numpy()[:] = words
        return there.copy_(staged, non_blocking=True)

    def _send_captured(self, words: Integers) -> "Tensor":
        import torch

        staged = self._spare
        if staged is None:
            # No step came before this capture; torch says so if it cannot allocate now.
            staged = torch.empty(self._length, dtype=torch.int64, pin_memory=True)
        self._spare = None
        staged.numpy()[:] = words
        there = staged.to(self._device, non_blocking=True)
        self._captured.append((staged, there))
        return there


def _capturing() -> bool:
    import torch

    return torch.cuda.is_current_stream_capturing()


def _double() -> Any:
    import torch

    return torch.float64


def chunk_table(sizes: "list[tuple[int, int]]", length: int) -> NDArray[numpy.int32]:
    """List the chunks of tensors, each given by its number and its size."""
    rows = [numpy.empty((0, 2), numpy.int32)]
    for number, size in sizes:
        parts = numpy.arange(-(-size // length), dtype=numpy.int32)
        rows.append(numpy.stack([numpy.full_like(parts, number), parts], axis=1))
    return numpy.concatenate(rows)
