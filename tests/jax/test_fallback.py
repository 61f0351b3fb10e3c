"""Ways in which native steps of JAX's are lost: each is fallen back from, in the numbers of traced steps."""

import fallbacks
import pytest

JAX = """
import jax, jax.numpy as jnp
import jax.extend.core, jax.ffi, jax.interpreters.ad, jax.interpreters.batching, jax.interpreters.mlir

def explain():
    from rmsprop.jax import RMSprop
    return RMSprop().explain(jnp.array(start))

def step(native):
    if native is False:
        os.environ["RMSPROP_NATIVE"] = "0"
    from rmsprop.jax import RMSprop
    optimizer = RMSprop(**options)
    state = optimizer.init(jnp.array(start))
    step = jax.jit(optimizer.apply_gradients) if compiled else optimizer.apply_gradients
    w = jnp.array(start)
    for _ in range(steps):
        w, state = step(w, w, state)
    return w
"""

NAMES = [
    ("jax.ffi",), ("jax.ffi", "ffi_call"), ("jax.ffi", "pycapsule"), ("jax.ffi", "register_ffi_target"),
    ("jax.extend.core",), ("jax.extend.core", "Primitive"),
    ("jax.interpreters.mlir", "lower_fun"), ("jax.interpreters.mlir", "register_lowering"),
    ("jax.interpreters.ad", "primitive_jvps"), ("jax.interpreters.batching", "primitive_batchers"),
    ("jaxlib.version",),
]  # fmt: skip

#: Things that are there, and do something else than before.
CHANGED = [
    ("sys.modules['jaxlib.version'].__version_info__ = (0, 8, 3)", " is older than 0.9"),
    (
        """
def refuse(*arguments, **keywords):
    raise RuntimeError("no handlers any more")
jax.ffi.register_ffi_target = refuse
""",
        "XLA does not take our handler: no handlers any more",
    ),
    ("jax.ffi.register_ffi_target = lambda name, capsule: None", "XLA does not take our handler: "),
    ("jax.ffi.ffi_call = lambda name, results: None", "does not have what they need: TypeError: "),
    # As if structures had become longer.
    (
        """
from rmsprop._jax import xla_ffi
xla_ffi.Buffers = type("Buffers", (xla_ffi.Buffers,), {"_fields_": [("more", ctypes.c_size_t)]})
""",
        "XLA does not take our handler: ",
    ),
    ("jax.interpreters.mlir.register_lowering = lambda *arguments, **keywords: None", "does not have what they need: "),
]


@pytest.mark.parametrize("compiled", [pytest.param(False, marks=pytest.mark.slow), True], ids=["eager", "jit"])
def test_without_numba(compiled):
    fallbacks.check(
        f"compiled = {compiled}\n{JAX}",
        [
            ("take('numba')", "Numba cannot be loaded: ModuleNotFoundError: "),
            ("os.environ['NUMBA_DISABLE_JIT'] = '1'", "NUMBA_DISABLE_JIT=1 keeps Numba from compiling"),
        ],
    )


@pytest.mark.slow
def test_without_a_name():
    ways = [(f"take({', '.join(map(repr, names))})", "does not have what they need: ") for names in NAMES]
    fallbacks.check("compiled = False\n" + JAX, ways)


def test_with_a_version_and_a_function_that_are_others():
    fallbacks.check("compiled = True\n" + JAX, CHANGED[:2])


@pytest.mark.slow
def test_with_a_name_that_means_something_else():
    fallbacks.check("compiled = True\n" + JAX, CHANGED)
