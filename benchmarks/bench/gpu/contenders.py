"""Who steps tensors on a CUDA device: ours, torch's RMSprop in each of its ways, and fused AdamW for the bandwidth.

All step the same parameters by the same gradients, which none of them writes, so that each has memory for its state
alone.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from bench.contenders.torch import settings
from bench.frameworks import load, torch_to_compile
from bench.timing import Step
from bench.training.jobs import RATE

OURS: Final = "rmsprop"


class Contender(NamedTuple):
    """One optimizer.

    Attributes:
        words: its name for readers.
        make: from parameters and options to its step.
        slots: from options to how many tensors of state it reads and writes for each parameter.
        only_on: the device that it needs, "" for any.
        why: it needs that.
    """

    words: str
    make: Callable[[list[Any], Mapping[str, Any]], Step]
    slots: Callable[[Mapping[str, Any]], int]
    only_on: str = ""
    why: str = ""


def _of_rmsprop(options: Mapping[str, Any]) -> int:
    return 1 + bool(options.get("momentum")) + bool(options.get("centered"))


def _of_adam(options: Mapping[str, Any]) -> int:
    return 2


def _ours(parameters: list[Any], options: Mapping[str, Any]) -> Step:
    step: Step = load("rmsprop.torch").RMSprop(parameters, lr=RATE, **options).step
    return step


def _torchs(**way: bool) -> Callable[[list[Any], Mapping[str, Any]], Step]:
    def make(parameters: list[Any], options: Mapping[str, Any]) -> Step:
        found = {**settings(dict(options)), "lr": RATE}
        step: Step = load("torch").optim.RMSprop(parameters, **found, **way).step
        return step

    return make


def _compiled(parameters: list[Any], options: Mapping[str, Any]) -> Step:
    torch = torch_to_compile()
    way = {"foreach": True} | ({"capturable": True} if parameters[0].is_cuda else {})
    step: Step = torch.compile(_torchs(**way)(parameters, options))
    return step


def _captured(make: Callable[[list[Any], Mapping[str, Any]], Step]) -> Callable[[list[Any], Mapping[str, Any]], Step]:
    """Return a maker of steps that are replayed as a CUDA graph."""

    def make_graph(parameters: list[Any], options: Mapping[str, Any]) -> Step:
        cuda, step = load("torch").cuda, make(parameters, options)
        side = cuda.Stream()
        side.wait_stream(cuda.current_stream())
        with cuda.stream(side):
            for _ in range(3):  # makes state, compiles
                step()
        cuda.current_stream().wait_stream(side)
        graph = cuda.CUDAGraph()
        with cuda.graph(graph):
            step()
        replay: Step = graph.replay
        return replay

    return make_graph


def _fused_adamw(parameters: list[Any], options: Mapping[str, Any]) -> Step:
    step: Step = load("torch").optim.AdamW(parameters, lr=RATE, fused=True).step
    return step


def _apex(parameters: list[Any], options: Mapping[str, Any]) -> Step:
    step: Step = load("apex.optimizers").FusedAdam(parameters, lr=RATE, adam_w_mode=True).step
    return step


#: By name. apex has no RMSprop: its fused Adam is beside torch's.
CONTENDERS: Final = {
    OURS: Contender("rmsprop.torch.RMSprop", _ours, _of_rmsprop),
    "rmsprop-graph": Contender(
        "rmsprop.torch.RMSprop, CUDA graph", _captured(_ours), _of_rmsprop, "cuda", "a CUDA graph"
    ),
    "torch-foreach": Contender("torch.optim.RMSprop, foreach", _torchs(foreach=True), _of_rmsprop),
    "torch-capturable": Contender(
        "torch.optim.RMSprop, capturable", _torchs(foreach=True, capturable=True), _of_rmsprop, "cuda", "capturable"
    ),
    "torch-graph": Contender(
        "torch.optim.RMSprop, CUDA graph",
        _captured(_torchs(foreach=True, capturable=True)),
        _of_rmsprop,
        "cuda",
        "a CUDA graph",
    ),
    "torch-compiled": Contender("torch.optim.RMSprop, torch.compile", _compiled, _of_rmsprop),
    "adamw-fused": Contender("torch.optim.AdamW, fused", _fused_adamw, _of_adam),
    "apex-fused": Contender("apex.optimizers.FusedAdam", _apex, _of_adam, "cuda", "apex"),
}


def moved(name: str, options: Mapping[str, Any], numbers: int) -> int:
    """Return the bytes of float32 that a step must move: gradient read, parameter and state read and written."""
    return 4 * numbers * (1 + 2 + 2 * CONTENDERS[name].slots(options))
