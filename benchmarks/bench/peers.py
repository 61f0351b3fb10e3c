"""Who is measured: our front ends, and the optimizers that people use today."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from bench.contenders import Contender, floor, jax, keras, tf_keras, torch
from bench.contenders.numpy import Ours
from bench.devices import CPU, DEVICES
from bench.frameworks import load, quietly, reason
from bench.models import VARIANTS, make_task
from rmsprop.cli import CommandError

#: From a task to a contender.
Maker = Callable[[Any], Contender]


class Peer(NamedTuple):
    """How to get at one optimizer, ours or another.

    Attributes:
        label: its name in full, for the report.
        modules: what must be installed.
        makers: kind of workload -> from a task to a contender.
        problem: from the device to why it cannot run there although its modules are there, or None.
        lacks: options of a task that it does not have.
        devices: where it runs.
    """

    label: str
    modules: tuple[str, ...]
    makers: Mapping[str, Maker]
    problem: Callable[[str], str | None] = lambda device: None
    lacks: tuple[str, ...] = ()
    devices: tuple[str, ...] = (CPU,)

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
        peers: the peers that it is compared with by default.
        parts: what can be measured of it.
        bucket: returns the bytes of new values that it computes at a time; None: it computes them in place.
    """

    ours: Peer
    module: str
    after: str
    peers: tuple[str, ...]
    parts: tuple[str, ...]
    bucket: Callable[[], int] | None = None


def _lacks_argument(argument: str, device: str) -> str | None:
    module = load("torch")
    if argument in inspect.signature(module.optim.RMSprop).parameters:
        return None
    return f"torch {module.__version__} has no {argument} RMSprop"


def _fails(make: Maker, device: str) -> str | None:
    """Let a contender do a step on a few numbers, and return what its error says."""
    try:
        with quietly():
            make(make_task([(8,)], {})._replace(device=device)).step()
    except Exception as error:  # of compilers, drivers, libraries: whatever keeps it from running is the answer
        return reason(error)
    return None


def _torch(name: str, argument: str, value: bool) -> Peer:
    make = partial(torch.Torch, {argument: value})
    problem = partial(_lacks_argument, argument)
    return Peer(f"torch.optim.RMSprop, {name}", ("torch",), {"step": make}, problem, devices=DEVICES)


def _on_torch(label: str, module: str, make: Maker, lacks: tuple[str, ...] = ()) -> Peer:
    """Make a peer of which only a try tells whether it runs."""
    return Peer(label, ("torch", module), {"step": make}, partial(_fails, make), lacks, DEVICES)


OURS: Final = "rmsprop"

PEERS: Final[dict[str, Peer]] = {
    "torch": _torch("for-loop", "foreach", False),
    "torch-foreach": _torch("foreach", "foreach", True),
    "torch-fused": _torch("fused", "fused", True),
    "torch-compiled": _on_torch("torch.optim.RMSprop, torch.compile", "torch._inductor", torch.Compiled),
    "timm": _on_torch("timm.optim.RMSpropTF", "timm", partial(torch.Torch, {}, make_optimizer=torch.make_timms)),
    "bitsandbytes": _on_torch(
        "bitsandbytes.optim.RMSprop",
        "bitsandbytes",
        partial(torch.Torch, {}, make_optimizer=torch.make_bitsandbytes),
        lacks=("momentum",),  # takes it, and does plain steps
    ),
    "tf_keras": Peer("tf_keras.optimizers.RMSprop", ("tensorflow", "tf_keras"), tf_keras.ORIGINAL),
    "keras": Peer("keras.optimizers.RMSprop", ("keras",), keras.ORIGINAL),
    "optax": Peer("optax.rmsprop, jitted and donated", ("jax", "optax"), {"step": jax.Optax}),
    # No modules: what a process of theirs costs is not measured.
    "floor-jax": Peer("rmsprop.jax.RMSprop without its work", (), {"step": floor.InJax}),
    "floor-tf_keras": Peer("rmsprop.tf_keras.RMSprop without its work", (), {"step": floor.InTensorFlow}),
}

#: What the benchmark measures.
FRONTENDS: Final[dict[str, FrontEnd]] = {
    "numpy": FrontEnd(
        Peer("rmsprop.RMSprop", (), {"step": Ours}),
        module="rmsprop",
        after="NumPy",
        peers=("torch", "torch-foreach", "torch-fused", "tf_keras"),
        parts=("steps", "limit", "startup", "allocation"),
    ),
    "tf_keras": FrontEnd(
        Peer("rmsprop.tf_keras.RMSprop", ("tensorflow", "tf_keras", "rmsprop.tf_keras"), tf_keras.OURS),
        module="rmsprop.tf_keras",
        after="tf_keras",
        peers=("tf_keras", "floor-tf_keras"),
        parts=("steps", "eager", "fit", "embedding", "startup", "memory"),
        bucket=tf_keras.bucket,
    ),
    "torch": FrontEnd(
        Peer("rmsprop.torch.RMSprop", ("torch", "rmsprop.torch"), {"step": torch.Ours}, devices=DEVICES),
        module="rmsprop.torch",
        after="torch",
        peers=("torch", "torch-foreach", "torch-fused", "torch-compiled", "timm", "bitsandbytes"),
        parts=("steps", "limit", "startup", "allocation"),
    ),
    "jax": FrontEnd(
        Peer("rmsprop.jax.RMSprop", ("jax", "optax", "rmsprop.jax"), {"step": jax.Ours}),
        module="rmsprop.jax",
        after="JAX and optax",
        peers=("optax", "floor-jax"),
        parts=("steps", "limit", "compilation", "startup", "allocation"),
    ),
    "keras": FrontEnd(
        Peer("rmsprop.keras.RMSprop", ("keras", "rmsprop.keras"), keras.OURS),
        module="rmsprop.keras",
        after="Keras",
        peers=("keras",),
        parts=("steps", "fit", "startup", "allocation"),
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


def load_contenders(frontend: str, names: Iterable[str]) -> dict[str, Peer]:
    """Import what a front end and peers of these names need, and return ours and them by name."""
    ours = load_frontend(frontend).ours
    peers = {name: PEERS[name] for name in names}
    for peer in peers.values():
        for module in peer.modules:
            load(module)
    return {OURS: ours, **peers}


def who_can(names: Iterable[str], variant: str) -> list[str]:
    """Return those peers that have the options of a variant."""
    return [name for name in names if not set(PEERS[name].lacks) & VARIANTS[variant].keys()]


def choose_peers(names: list[str], device: str = CPU) -> tuple[dict[str, Peer], dict[str, str]]:
    """Import what the peers of these names need; return those that can run, and why the others cannot."""
    usable, left_out = {}, {}
    for name in names:
        peer = PEERS[name]
        problem = _problem(peer, device)
        if problem:
            left_out[name] = problem
        else:
            usable[name] = peer
    return usable, left_out


def _problem(peer: Peer, device: str) -> str | None:
    if device not in peer.devices:
        return f"does not run on {device} here"
    try:
        for module in peer.modules:
            load(module)
        return peer.problem(device)
    except ModuleNotFoundError as error:
        return f"not installed: {error}"
    except Exception as error:  # a package beside it may be broken, and say so as it likes
        return reason(error)
