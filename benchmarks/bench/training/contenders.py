"""Who takes part in train steps, for each front end, and which of them are compared with which."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from bench.frameworks import load
from bench.models import Array
from bench.peers import OURS
from bench.training import jax, keras, numpy, torch
from bench.training.jobs import MODELS, Job

MODEL, SGD = "model", "sgd"

#: Those of a model that is compiled by itself, or with its optimizer.
COMPILED: Final = "-compiled"


class Trains(Protocol):
    """A model, and an optimizer or none."""

    def step(self) -> object:
        """Do one step."""

    def weights(self) -> list[Array]:
        """Return copies of the variables as they are now."""


#: From a job and options to what trains.
Maker = Callable[[Job, dict[str, Any]], Trains]


class FrontEnd(NamedTuple):
    """Train steps of one front end.

    Attributes:
        makers: returns name -> what trains. Names that end in `COMPILED` are compared among themselves: what is not the
            optimizer's part of their steps is that of the compiled model alone.
        words: name -> what a reader calls it.
        models: those that it trains.
        packages: of the others' RMSprop, besides those of the front end.
    """

    makers: Callable[[], Mapping[str, Maker]]
    words: Mapping[str, str]
    models: tuple[str, ...] = tuple(MODELS)
    packages: tuple[str, ...] = ()


def _numpy() -> dict[str, Maker]:
    makers = {MODEL: None, SGD: numpy.make_sgd, "torch": numpy.make_torchs}
    makers |= {"torch.compile": numpy.make_compiled, OURS: numpy.make_ours}
    return {name: partial(numpy.Trainer, make) for name, make in makers.items()}


def _torch() -> dict[str, Maker]:
    makers = {MODEL: None, SGD: torch.make_sgd, "torch": torch.make_torchs, OURS: torch.make_ours}
    eager: dict[str, Maker] = {name: partial(torch.Trainer, make, "") for name, make in makers.items()}
    # torch.compile leaves ours out of what it compiles, so it is given the model alone.
    return eager | {
        MODEL + COMPILED: partial(torch.Trainer, None, "model"),
        "torch" + COMPILED: partial(torch.Trainer, torch.make_torchs, "step"),
        OURS + COMPILED: partial(torch.Trainer, torch.make_ours, "model"),
    }


def _jax() -> dict[str, Maker]:
    return dict(jax.MAKERS)


def _on_tensorflow(module: str, optimizers: str, ours: str) -> dict[str, Maker]:
    own = keras.maker(optimizers, "RMSprop")
    makers = {MODEL: None, SGD: keras.maker(optimizers, "SGD"), module: own, OURS: keras.maker(ours, "RMSprop")}
    names = load(module)
    found: dict[str, Maker] = {name: partial(keras.OnTensorFlow, names, make, False) for name, make in makers.items()}
    compiled = [name for name in makers if name != SGD]
    return found | {name + COMPILED: partial(keras.OnTensorFlow, names, makers[name], True) for name in compiled}


def _keras() -> dict[str, Maker]:
    backend = load("keras").backend.backend()
    if backend == "tensorflow":
        return _on_tensorflow("keras", "keras.optimizers", "rmsprop.keras")
    makers = {
        MODEL: None,
        SGD: keras.maker("keras.optimizers", "SGD"),
        "keras": keras.maker("keras.optimizers", "RMSprop"),
    }
    makers[OURS] = keras.maker("rmsprop.keras", "RMSprop")
    trainer: Any = keras.OnJax if backend == "jax" else keras.OnTorch
    return {name: partial(trainer, make) for name, make in makers.items()}


_COMMON: Final = {MODEL: "model alone", SGD: "+ SGD", OURS: "+ rmsprop"}
_COMPILED_WORDS: Final = {MODEL + COMPILED: "compiled model alone", OURS + COMPILED: "compiled model + rmsprop"}

#: By name. NumPy has layers of ours to train, and those are dense.
FRONTENDS: Final = {
    "numpy": FrontEnd(
        _numpy,
        _COMMON | {"torch": "+ torch.optim.RMSprop", "torch.compile": "+ its step in torch.compile"},
        ("mlp", "classifier"),
        ("torch",),
    ),
    "torch": FrontEnd(
        _torch,
        _COMMON | _COMPILED_WORDS | {"torch": "+ torch.optim.RMSprop", "torch-compiled": "whole step in torch.compile"},
    ),
    "jax": FrontEnd(_jax, _COMMON | {"optax": "+ optax.rmsprop"}),
    "tf_keras": FrontEnd(
        partial(_on_tensorflow, "tf_keras", "tf_keras.optimizers", "rmsprop.tf_keras"),
        _COMMON
        | {"tf_keras": "+ tf_keras.optimizers.RMSprop", "model-compiled": "model alone, XLA"}
        | {"tf_keras-compiled": "+ tf_keras's, XLA", "rmsprop-compiled": "+ rmsprop, XLA"},
    ),
    "keras": FrontEnd(
        _keras,
        _COMMON
        | {"keras": "+ keras.optimizers.RMSprop", "model-compiled": "model alone, XLA"}
        | {"keras-compiled": "+ keras's, XLA", "rmsprop-compiled": "+ rmsprop, XLA"},
    ),
}

#: The names of all that are others' RMSprop.
PEERS: Final = tuple(
    dict.fromkeys(
        name
        for frontend in FRONTENDS.values()
        for name in frontend.words
        if name.removesuffix(COMPILED) not in (MODEL, SGD, OURS)
    )
)


#: Those whose steps do not depend on the options, and are measured once for a model.
WITHOUT_OPTIONS: Final = (MODEL, SGD, MODEL + COMPILED)


def base_of(name: str) -> str:
    """Return the name of the model alone that a contender's step has in it."""
    return MODEL + COMPILED if name.endswith(COMPILED) else MODEL


def counterpart(name: str) -> str:
    """Return the name of ours on the same model."""
    return OURS + COMPILED if name.endswith(COMPILED) else OURS
