"""Who is measured: our front ends, and the optimizers that people use today."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from rmsprop.cli import CommandError
from rmsprop.cli.bench.contenders import Contender, tf_keras
from rmsprop.cli.bench.contenders.numpy import Ours
from rmsprop.cli.bench.contenders.torch import Torch
from rmsprop.cli.bench.frameworks import load

#: From a task to a contender.
Maker = Callable[[Any], Contender]


class Peer(NamedTuple):
    """How to get at one optimizer, ours or another.

    Attributes:
        label: its name in full, for the report.
        modules: what must be installed.
        makers: kind of workload -> from a task to a contender.
        problem: why it cannot run although its modules are there, or None.
    """

    label: str
    modules: tuple[str, ...]
    makers: Mapping[str, Maker]
    problem: Callable[[], str | None] = lambda: None

    @property
    def make(self) -> Maker:
        """The one for plain steps, which all have."""
        return self.makers["step"]


class FrontEnd(NamedTuple):
    """One of ours.

    Attributes:
        ours: the optimizer.
        module: what users import.
        after: what they have imported before, as the report names it.
        peers: whom it is compared with unless others are asked for.
        parts: what can be measured of it.
        bucket: gives the bytes of new values that it computes at a time; None: it computes them in place.
    """

    ours: Peer
    module: str
    after: str
    peers: tuple[str, ...]
    parts: tuple[str, ...]
    bucket: Callable[[], int] | None = None


def _torch_has(argument: str) -> str | None:
    torch = load("torch")
    if argument in inspect.signature(torch.optim.RMSprop).parameters:
        return None
    return f"torch {torch.__version__} has no {argument} RMSprop"


def _torch(name: str, argument: str, value: bool) -> Peer:
    makers = {"step": partial(Torch, {argument: value})}
    return Peer(f"torch.optim.RMSprop, {name}", ("torch",), makers, partial(_torch_has, argument))


OURS: Final = "rmsprop"

PEERS: Final[dict[str, Peer]] = {
    "torch": _torch("for-loop", "foreach", False),
    "torch-foreach": _torch("foreach", "foreach", True),
    "torch-fused": _torch("fused", "fused", True),
    "tf_keras": Peer("tf_keras.optimizers.RMSprop", ("tensorflow", "tf_keras"), tf_keras.ORIGINAL),
}

#: What `rmsprop bench` measures.
FRONTENDS: Final[dict[str, FrontEnd]] = {
    "numpy": FrontEnd(
        Peer("rmsprop.RMSprop", (), {"step": Ours}),
        module="rmsprop",
        after="NumPy",
        peers=tuple(PEERS),
        parts=("steps", "limit", "startup", "allocation"),
    ),
    "tf_keras": FrontEnd(
        Peer("rmsprop.tf_keras.RMSprop", ("tensorflow", "tf_keras", "rmsprop.tf_keras"), tf_keras.OURS),
        module="rmsprop.tf_keras",
        after="tf_keras",
        peers=("tf_keras",),
        parts=("steps", "eager", "fit", "embedding", "startup", "memory"),
        bucket=tf_keras.bucket,
    ),
}


def load_frontend(name: str) -> FrontEnd:
    """Import what a front end needs.

    Raises:
        ModuleNotFoundError: something is not installed.
        CommandError: something is broken.
    """
    frontend = FRONTENDS[name]
    try:
        for module in frontend.ours.modules:
            load(module)
    except ModuleNotFoundError:
        raise
    except ImportError as error:
        raise CommandError(f"--frontend {name}: {error}") from error
    return frontend


def choose_peers(names: list[str]) -> tuple[dict[str, Peer], dict[str, str]]:
    """Import what the peers of these names need; give those that can run, and why the others cannot."""
    usable, left_out = {}, {}
    for name in names:
        peer = PEERS[name]
        try:
            for module in peer.modules:
                load(module)
            problem = peer.problem()
        except ImportError as error:
            problem = f"not installed: {error}" if isinstance(error, ModuleNotFoundError) else str(error)
        if problem:
            left_out[name] = problem
        else:
            usable[name] = peer
    return usable, left_out
