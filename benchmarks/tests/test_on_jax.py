"""``--frontend jax``: the contenders do the same, in the memory that they are given, and all is shown."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bench_runs import (
    SHAPES,
    assert_rows,
    assert_same_way,
    assert_shown,
    assert_trains,
    in_this_process,
    rows_of,
    run,
    run_alone,
)

import table
from bench.contenders import jax as contenders
from bench.contenders import numpy as numpys
from bench.models import MODELS, VARIANTS, make_task
from bench.peers import OURS, PEERS, choose_peers
from bench.training import jobs
from bench.training.contenders import FRONTENDS, MODEL

pytestmark = pytest.mark.slow

KINDS = rows_of("step", "limit", "compilation", "startup", "allocation")

# How far weights may be apart, as a part of the largest. Measured: 1.8e-7 at most, of rounding, and with everything
# 1.9e-6: the average rounds the same way in step after step, up to the overwriting.
NEAR = {"plain": 1e-6, "momentum": 1e-6, "centered+momentum": 1e-6, "everything": 5e-6}


class TestContenders:
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_end_with_the_same_weights_as_numpys(self, variant):
        """On gradients that change: the same one always leaves nothing but rounding of its variance."""
        task, random = make_task(SHAPES, VARIANTS[variant]), np.random.default_rng(1)
        ours, optax, numpy = contenders.Ours(task), contenders.Optax(task), numpys.Ours(task)
        for _ in range(120):  # past an overwriting
            numpy._gradients = [random.normal(0, 0.3, shape).astype(np.float32) for shape in SHAPES]
            ours._gradients = optax._gradients = [jnp.array(gradient) for gradient in numpy._gradients]
            for contender in (ours, optax, numpy):
                contender.step()
        for contender in (ours, optax):
            for start, one, other in zip(task.variables, contender.weights(), numpy.weights(), strict=True):
                assert (one != start).all()
                assert np.abs(one - other).max() <= NEAR[variant] * np.abs(other).max()

    def test_of_everything_overwrite(self):
        task = make_task(SHAPES, VARIANTS["everything"] | {"ema_overwrite_frequency": 3})
        ours, optax = contenders.Ours(task), contenders.Optax(task)
        for step in range(1, 7):
            ours.step()
            optax.step()
            for contender, averages in ((ours, ours._state.averages), (optax, optax._state[1])):
                same = [(one == other).all() for one, other in zip(contender.weights(), averages, strict=True)]
                assert same == [step % 3 == 0] * len(SHAPES)

    @pytest.mark.parametrize("make", [contenders.Ours, contenders.Optax])
    def test_are_compiled_once_and_given_all_memory(self, make):
        contender = make(make_task(SHAPES, VARIANTS["everything"]))
        before = [*contender._params, *jax.tree.leaves(contender._state)]
        contender.step()
        # A learning rate that does not change may stay where it is.
        assert sum(not array.is_deleted() for array in before) <= 1
        assert not any(array.is_deleted() for array in contender._gradients)
        contender.step()
        assert contender._function._cache_size() == 1

    @pytest.mark.parametrize("make", [contenders.Ours, contenders.Optax])
    def test_prepare_compiles_and_moves_nothing(self, make):
        task = make_task(SHAPES, VARIANTS["momentum"])
        prepared, other = make(task), make(task)
        prepared.prepare()
        assert all((one == start).all() for one, start in zip(prepared.weights(), task.variables, strict=True))
        for contender in (prepared, other):
            contender.step()
        for one, two in zip(prepared.weights(), other.weights(), strict=True):
            assert one.tobytes() == two.tobytes()

    def test_ours_copies_nothing(self):
        """New parameters and state come out in the memory of the old ones; in another order there are copies."""
        contender = contenders.Ours(make_task([(64, 64), (64,)], VARIANTS["everything"]))
        contender.prepare()
        # Measured: 0.2 kB, of scalars. A tensor has 16 kB.
        assert contender._function.memory_analysis().temp_size_in_bytes < 4096

    def test_the_floor_leaves_everything_as_it_is(self):
        task = make_task(SHAPES, VARIANTS["everything"])
        floor, ours = PEERS["floor-jax"].make(task), contenders.Ours(task)
        for contender in (floor, ours):
            contender.step()
        for one, moved, start in zip(floor.weights(), ours.weights(), task.variables, strict=True):
            assert (one == start).all()
            assert (moved != start).any()

    def test_optax_is_there(self):
        usable, left_out = choose_peers(["optax"])
        assert (list(usable), left_out) == (["optax"], {})


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """A small run of every part: what it printed and wrote."""
    arguments = ["--model", "mlp", "--model", "flat25m", "--variant", "plain", "--repeat", "2", "--seconds", "0.1"]
    with in_this_process() as patch:
        # Large enough for the system to give its memory back when it is freed.
        patch.setitem(MODELS, "flat25m", lambda: [(10_000_000,)])
        return run("jax", tmp_path_factory.mktemp("bench"), *arguments)


class TestARun:
    def test_rows_have_what_they_should(self, figures):
        assert_rows(figures, KINDS)
        work = [(row["model"], row["peer"]) for row in figures.rows if row["kind"] == "step"]
        assert work == [(model, peer) for model in ("mlp", "flat25m") for peer in (OURS, "optax", "floor-jax")]
        work = [(row["model"], row["peer"]) for row in figures.rows if row["kind"] == "compilation"]
        assert work == [("mlp", OURS), ("mlp", "optax")]

    def test_names_versions(self, figures):
        versions = figures.entries["machine"]["versions"]
        assert set(versions) == {"Python", "rmsprop", "numpy", "numba", "jax", "optax"}
        assert versions["jax"] == jax.__version__

    def test_starts_are_of_ours_and_of_optax(self, figures):
        assert [row["what"] for row in figures.rows if row["kind"] == "startup"] == [
            "import rmsprop.jax, after JAX and optax",
            "importing Numba, calling a cached function",
            "first step, kernels cached",
            "first step, nothing cached",
            "first step of optax",
        ]

    def test_a_step_takes_no_memory_of_a_tensors_size(self, figures):
        ours, optax = [row for row in figures.rows if row["kind"] == "allocation"]
        size = ours["largest_tensor_bytes"]
        assert (ours["peer"], optax["peer"], size) == (OURS, "optax", 40_000_000)
        assert ours["python_bytes"] < 100_000
        assert ours["resident_bytes"] is None or ours["resident_bytes"] < size // 20

    def test_shows_and_draws_all_of_it(self, figures):
        assert_shown(
            figures,
            "mlp: 6 tensors, 4,996 numbers",
            "mlp: tracing and compiling a step",
            "flat25m: the limit of memory",
            "once in a process",
            "flat25m: memory that a step takes for a while; the largest tensor has 40.0 MB",
        )

    def test_tables_are_printed_for_the_documentation(self, figures, monkeypatch, capsys):
        monkeypatch.setattr("sys.argv", ["table.py", str(figures.folder / "bench.json")])
        table.main()
        printed = capsys.readouterr().out
        for row in figures.rows:
            if row["kind"] in ("step", "compilation") and row["peer"] == "optax":
                assert f" | {row['ratio']:.1f} " in printed
        assert printed.count("|---|") == 4  # steps, limit, compilation, allocation

    def test_is_silent_but_for_its_report(self):
        """In a process of its own, which imports JAX; with more threads than one by default."""
        arguments = ["--part", "steps", "--model", "mlp", "--variant", "everything", "--repeat", "1", "--threads", "1"]
        printed = run_alone("jax", *arguments)
        assert "mlp: 6 tensors, 4,996 numbers" in printed
        assert "optax" in printed
        assert "PJRT_NPROC=1" in printed


class TestTrainSteps:
    @pytest.mark.parametrize("model", jobs.MODELS)
    def test_every_model_trains_alike_by_ours_and_by_optax(self, model):
        makers = FRONTENDS["jax"].makers()
        ended = assert_trains(makers, makers, model)
        assert_same_way(ended, OURS, "optax")

    def test_are_given_the_memory_of_the_step_before(self):
        trainer = FRONTENDS["jax"].makers()[OURS](jobs.make_job("mlp"), {})
        before = jax.tree.leaves(trainer._params)
        trainer.step()
        assert all(array.is_deleted() for array in before)
        alone = FRONTENDS["jax"].makers()[MODEL](jobs.make_job("mlp"), {})
        before, kept = jax.tree.leaves(alone._state), jax.tree.leaves(alone._params)
        alone.step()
        assert all(array.is_deleted() for array in before)
        assert not any(array.is_deleted() for array in kept)
