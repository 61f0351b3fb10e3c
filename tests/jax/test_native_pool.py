"""Jobs of a step on XLA's own threads, beside XLA's other work and on several devices at once."""

import ctypes
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib
import numpy
import processes
import pytest
from counting import Counting
from native_runs import optimizer
from python_pools import PythonPool, help_with

from rmsprop._core.cpu import pools
from rmsprop._core.cpu.kernels import TO_A_POOL, c_function
from rmsprop._core.cpu.pools import ASK
from rmsprop._core.tables import ARRIVED, HEAD
from rmsprop._jax import pool, xla_ffi

_FUNCTION = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.POINTER(ctypes.c_size_t))

#: An XLA_FFI_Error, and an XLA_FFI_ExecutionContext.
ERROR, CONTEXT = 2000, 3000


class FakeXla:
    """A call frame, and XLA's functions that concern its pool.

    Args:
        threads: how many the pool has; None: there is no pool.
        fails: number of the task that it refuses.
    """

    def __init__(self, threads, fails=None):
        self._threads, self._fails, self.tasks, self.destroyed = threads, fails, [], []
        functions = {"schedule": self._schedule, "threads": self._count, "error_destroy": self._destroy}
        self._held = {name: _FUNCTION(function) for name, function in functions.items()}
        self.api = xla_ffi.Api(**{name: ctypes.cast(one, ctypes.c_void_p) for name, one in self._held.items()})
        self.frame = xla_ffi.Frame(api=ctypes.pointer(self.api), context=CONTEXT)
        self.pool = PythonPool(None)
        self.pool.words[ASK] = c_function(pool.ask, TO_A_POOL, pool, pools, xla_ffi)

    def _schedule(self, given):
        assert given[:3] == [40, 0, CONTEXT]
        if len(self.tasks) == self._fails:
            return ERROR
        self.tasks.append(given[4])
        return 0

    def _count(self, given):
        assert given[:3] == [32, 0, CONTEXT]
        if self._threads is None:
            return ERROR
        ctypes.c_int64.from_address(given[3]).value = self._threads
        return 0

    def _destroy(self, given):
        assert given[:2] == [24, 0]
        self.destroyed.append(given[2])
        return 0

    def counting(self, threads):
        """Return a job of this call."""
        counting = Counting(100, threads)
        self.pool.serve(counting.run)
        counting.run.words[HEAD.index("call")] = ctypes.addressof(self.frame)
        return counting


@pytest.mark.parametrize(
    ("threads", "of_xla", "tasks"), [(4, 8, 3), (4, 4, 3), (4, 3, 2), (2, 8, 1), (4, 1, 0), (4, 0, 0), (1, 8, 0)]
)
def test_as_many_tasks_as_both_have_threads(threads, of_xla, tasks):
    xla = FakeXla(of_xla)
    counting = xla.counting(threads)
    counting.run.execute()
    assert len(xla.tasks) == tasks
    assert (counting.done == 1).all()
    assert counting.job[ARRIVED] == 1
    assert len(xla.pool.freed) == (0 if tasks else len(xla.pool.issued))
    for ticket in xla.tasks:
        help_with(ticket)
    assert xla.pool.freed == xla.pool.issued
    assert xla.destroyed == []


@pytest.mark.parametrize(("of_xla", "fails"), [(None, None), (8, 0), (8, 2)])
def test_the_error_of_a_pool_is_destroyed_and_the_step_is_done(of_xla, fails):
    xla = FakeXla(of_xla, fails)
    counting = xla.counting(4)
    counting.run.execute()
    assert (counting.done == 1).all()
    assert xla.destroyed == [ERROR]
    assert len(xla.tasks) == (fails or 0)
    for ticket in xla.tasks:
        help_with(ticket)
    assert xla.pool.freed == xla.pool.issued


def test_the_functions_are_where_xla_s_header_has_them():
    """The place of a field is that of a word of `XLA_FFI_Api`."""
    header = (Path(jaxlib.__file__).parent / "include/xla/ffi/api/c_api.h").read_text()
    table = header[header.index("struct XLA_FFI_Api {") :]
    names = [line.split("(")[1].split(")")[0] for line in table.splitlines() if "_XLA_FFI_API_STRUCT_FIELD(" in line]
    first = xla_ffi.Api.error_create.offset
    for name, field in (
        ("XLA_FFI_Error_Create", xla_ffi.Api.error_create),
        ("XLA_FFI_Error_Destroy", xla_ffi.Api.error_destroy),
        ("XLA_FFI_ThreadPool_Schedule", xla_ffi.Api.schedule),
        ("XLA_FFI_ThreadPool_NumThreads", xla_ffi.Api.threads),
    ):
        assert field.offset == first + 8 * names.index(name)


BITS = """
import hashlib, threading, jax, jax.numpy as jnp, numpy
from rmsprop.jax import RMSprop
from rmsprop._jax.handler import steps

one = RMSprop(1e-3, momentum=0.9, centered=True, weight_decay=1e-3, use_ema=True, global_clipnorm=0.5)
random = numpy.random.default_rng(3)
shapes = [(700, 900), (3,), (200_001,), (40, 50), (9, 30_000)]
params = [jnp.asarray(random.normal(size=shape), jnp.float32) for shape in shapes]
jax.block_until_ready(one.apply_gradients([jnp.ones(3)], [jnp.ones(3)], one.init([jnp.ones(3)])))
assert steps().has_pool
steps().has_pool = POOL
step, state = jax.jit(one.apply_gradients), one.init(params)
for _ in range(10):
    params, state = step([jnp.sin(9 * param) for param in params], params, state)
digest = hashlib.sha256()
for leaf in jax.tree.leaves((params, state)):
    digest.update(numpy.asarray(leaf).tobytes())
print(digest.hexdigest(), sum(thread.name == "rmsprop" for thread in threading.enumerate()))
"""


def bits(threads, has_pool=True, **environment):
    found = processes.run(BITS.replace("POOL", str(has_pool)), RMSPROP_NUM_THREADS=str(threads), **environment)
    digest, helpers = found.split()
    assert int(helpers) == (0 if has_pool else threads - 1)
    return digest


def test_bits_do_not_depend_on_who_helps():
    """None, and the package's own threads where XLA has none to lend."""
    assert bits(1) == bits(3, has_pool=False)


@pytest.mark.slow
def test_bits_do_not_depend_on_the_threads():
    """One thread, two and five of XLA's, the package's own where XLA has none to lend, and none of either."""
    wanted = bits(1)
    assert bits(2) == bits(5) == bits(3, has_pool=False) == wanted
    assert bits(2, XLA_FLAGS="--xla_cpu_multi_thread_eigen=false") == wanted


STORM = """
import threading, jax, jax.numpy as jnp, numpy
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from rmsprop._jax import engine, operation
from rmsprop.jax import RMSprop

# With several devices steps are traced: here they are native, so that several are done at once.
engine.against_devices = operation.against_devices = lambda *given: ""
engine.get_abstract_mesh = lambda: None
devices, failures = jax.devices(), []
assert len(devices) == 4
one = RMSprop(1e-3, momentum=0.9, global_clipnorm=1.0)
step = jax.jit(one.apply_gradients)

@jax.jit
def train(params, state):
    grads = jax.grad(lambda p: jnp.sum(jnp.tanh(p["x"] @ p["x"].T) * p["x"][:, :1]) + jnp.sum(p["y"] ** 2))(params)
    return one.apply_gradients(grads, params, state)

def start(size, device):
    params = {"x": jnp.linspace(-1, 1, 300 * size).reshape(300, size), "y": jnp.ones(size)}
    params = jax.device_put(params, device)
    return params, jax.device_put(one.init(params), device)

def run(size, device, many):
    params, state = start(size, device)
    for number in range(many):
        params, state = (train(params, state) if number % 2 else step(params, params, state))
    return [numpy.asarray(leaf) for leaf in jax.tree.leaves((params, state))]

SIZES = [(3, 200), (500, 60), (1500, 30), (64, 100)]
assert "rmsprop_step" in train.lower(*start(3, devices[1])).as_text()
wanted = [run(size, devices[0], many) for size, many in SIZES]

def work(place):
    try:
        size, many = SIZES[place % 4]
        for _ in range(2):
            found = run(size, devices[place // 2 % 4], many)
            for one, other in zip(found, wanted[place % 4], strict=True):
                numpy.testing.assert_array_equal(one, other)
    except BaseException as failure:
        failures.append(failure)

def shard():
    try:
        mesh = Mesh(numpy.array(devices), ("i",))
        params = jax.device_put(jnp.ones((4, 200_000)), NamedSharding(mesh, PartitionSpec("i")))
        local = RMSprop(1e-3, momentum=0.9)
        def several(params, state):
            specs = jax.tree.map(lambda leaf: PartitionSpec(*"i" * (leaf.ndim > 1)), (params, state))
            mapped = jax.shard_map(
                lambda p, s: local.apply_gradients(p, p, s), mesh=mesh, in_specs=specs, out_specs=specs, check_vma=False
            )
            return mapped(params, state)
        each, state = jax.jit(several), local.init(params)
        assert "rmsprop_step" in each.lower(params, state).as_text()
        alone, its = jnp.ones((1, 200_000)), local.init(jnp.ones((1, 200_000)))
        for _ in range(40):
            params, state = each(params, state)
            alone, its = local.apply_gradients(alone, alone, its)
        numpy.testing.assert_array_equal(numpy.asarray(params), numpy.asarray(alone).repeat(4, 0))
    except BaseException as failure:
        failures.append(failure)

threads = [threading.Thread(target=work, args=(place,)) for place in range(8)] + [threading.Thread(target=shard)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(failures or "well")
"""


@pytest.mark.parametrize("threads", ["2", pytest.param("4", marks=pytest.mark.slow)])
def test_many_steps_at_once_on_several_devices(threads):
    """Large and small ones, with XLA's own work; all of the pool's threads may be in steps at once."""
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "RMSPROP_NUM_THREADS": threads}
    assert processes.run(STORM, timeout=300, **environment) == "well"


FORKED = """
import os, warnings, jax, jax.numpy as jnp, numpy
from rmsprop.jax import RMSprop

warnings.simplefilter("ignore")  # forking with threads is what this is about
one, params = RMSprop(0.1), jnp.ones(200_000)
state, step = one.init(params), jax.jit(one.apply_gradients)
wanted = numpy.asarray(step(params, params, state)[0])
child = os.fork()
for _ in range(1 if child else 3000):
    found = numpy.asarray(step(params, params, state)[0])
    assert numpy.array_equal(found, wanted)
if child == 0:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_has_none_of_xla_s_threads_and_steps():
    """More steps than XLA's queue has room for tasks that nobody does: then it does them at once."""
    assert processes.run(FORKED, RMSPROP_NUM_THREADS="2", timeout=120) == "7"


def test_threads_of_xla_flush_as_before(monkeypatch):
    """Steps compute subnormal numbers on them; XLA's own operations flush there, before and after."""
    jaxs, size = optimizer(monkeypatch, learning_rate=1e-40), 5_000_000
    params, halves = jnp.zeros(size), jnp.full(size, 2.0**-126)
    half, step = jax.jit(lambda x: x * 0.5), jax.jit(jaxs.apply_gradients)
    assert not numpy.asarray(half(halves)).any()
    for _ in range(5):
        found, _ = step(jnp.ones(size), params, jaxs.init(params))
        found = numpy.asarray(found)
        assert 0 < -found[0] < 2.0**-126
        assert (found == found[0]).all()
        assert not numpy.asarray(half(halves)).any()
