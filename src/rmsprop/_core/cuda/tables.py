"""The tables of the CUDA kernels: their columns, and how a step's tables reach the device.

* A PIECE table has a row a program: the number of a tensor, and the number of a piece of that tensor; int32. A piece
  of a launch that sums squares is a norm chunk.
* The TENSOR table has a row a tensor, int64: its size, the number of its group, then the addresses of gradient,
  variable and slots (0 where a slot is off) in the order of `rmsprop._core.tables.OPERANDS`, and of the gradient in
  row-major order.
* The GROUP table has a row for each setting of the options, float64: `GROUP_COLUMNS`. A kernel rounds each number once
  to the type that it computes in.
"""

from collections.abc import Sequence
from typing import Final, final

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from rmsprop._core.rule import SCALARS
from rmsprop._core.tables import OPERANDS

#: Numbers of a piece of the update, and of a block, which a program loads at once. Pieces are small enough for an even
#: share of each processor; a block is 8 numbers a thread: two loads of 128 bits in float32, one in half types.
STEP_PIECE: Final = 4096
STEP_BLOCK: Final = 1024
STEP_WARPS: Final = 4

TENSOR_COLUMNS: Final = ("size", "group", *OPERANDS, "row_major")
TENSOR_WIDTH: Final = len(TENSOR_COLUMNS)

#: A factor that limits a norm is a tensor's, and whether averages overwrite is a switch.
GROUP_COLUMNS: Final = (
    *(name for name in SCALARS if name not in ("clip_scale", "overwrite")), "limit", "frequency", "direction",
)  # fmt: skip
GROUP_WIDTH: Final = len(GROUP_COLUMNS)

#: Steps of one pattern of tensors that CUDA graphs can capture without a step outside of graphs between them.
_SPARE: Final = 4

Integers = NDArray[numpy.int64]
Doubles = NDArray[numpy.float64]


@final
class Tables:
    """The tensor and the group table on a device, sent there in one copy, and only when they changed.

    Outside of CUDA graphs, pinned memory is from torch's allocator, which does not reuse it before the copy from it is
    done, and nothing waits for the copy. While a graph is captured nothing may be allocated or reused: each captured
    step has memory of its own, pinned and on the device, allocated beforehand and held until the end of this object,
    because every replay copies again.

    Args:
        tensors: rows of the tensor table.
        groups: rows of the group table.
        device: the device.
    """

    def __init__(self, tensors: int, groups: int, device: torch.device) -> None:
        self._groups, self._device = groups, device
        # Each table begins at a multiple of 16 bytes, which Triton compiles for.
        self._begin = -(-tensors * TENSOR_WIDTH // 2) * 2
        self._length = self._begin + groups * GROUP_WIDTH
        self._here = numpy.zeros(self._length, numpy.int64)
        self._sent: Integers | None = None
        self._there = torch.zeros(self._length, dtype=torch.int64, device=device)
        self._spare: list[tuple[Tensor, Tensor]] = []
        self._captured: dict[bytes, tuple[Tensor, Tensor]] = {}

    def send(self, tensors: Integers, groups: Doubles | None) -> tuple[Tensor, Tensor]:
        """Copy both tables to the device, in the order of the current stream, and return them there.

        Without groups, the group table is that of the last call.
        """
        here = self._here
        here[: tensors.size] = tensors.reshape(-1)
        if groups is not None:
            here[self._begin :] = groups.reshape(-1).view(numpy.int64)
        captures = self._device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        there = self._send_captured() if captures else self._send()
        return there[: self._begin], there[self._begin :].view(torch.float64).view(self._groups, GROUP_WIDTH)

    def _send(self) -> Tensor:
        if self._device.type != "cuda":  # Triton's interpreter
            return self._there.copy_(torch.from_numpy(self._here))
        while len(self._spare) < _SPARE:
            self._spare.append((self._pinned(), torch.empty_like(self._there)))
        if self._sent is None or not numpy.array_equal(self._here, self._sent):
            # Forgotten first: after an interrupt the next step sends the tables again.
            sent, self._sent = self._here.copy(), None
            staged = self._pinned()
            staged.numpy()[:] = sent
            self._there.copy_(staged, non_blocking=True)
            self._sent = sent
        return self._there

    def _send_captured(self) -> Tensor:
        key = self._here.tobytes()
        if key not in self._captured:
            if not self._spare:
                raise RuntimeError(
                    f"{_SPARE} different steps were captured in CUDA graphs: do one outside before the next"
                )
            self._spare[-1][0].numpy()[:] = self._here  # before it is found by its contents
            self._captured[key] = self._spare.pop()
        staged, there = self._captured[key]
        return there.copy_(staged, non_blocking=True)

    def _pinned(self) -> Tensor:
        # The default device may be another, which cannot be pinned.
        return torch.empty(self._length, dtype=torch.int64, device="cpu", pin_memory=True)


def piece_table(sizes: Sequence[tuple[int, int]], length: int) -> NDArray[numpy.int32]:
    """Return the piece table of tensors, each with its number and its size, in pieces of `length` numbers."""
    rows = [numpy.empty((0, 2), numpy.int32)]
    for number, size in sizes:
        parts = numpy.arange(-(-size // length), dtype=numpy.int32)
        rows.append(numpy.stack([numpy.full_like(parts, number), parts], axis=1))
    return numpy.concatenate(rows)
