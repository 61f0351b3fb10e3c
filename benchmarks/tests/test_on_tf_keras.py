"""``--frontend tf_keras``: both contenders of every kind of work do the same, and all of it is shown."""

import numpy as np
import pytest
import tensorflow as tf
from bench_runs import (
    ROWS,
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

from bench import memory, processes
from bench.contenders import numpy as numpys
from bench.contenders import tf_keras as contenders
from bench.models import MODELS, VARIANTS, count_numbers, make_task
from bench.peers import FRONTENDS, OURS, PEERS, choose_peers
from bench.training import jobs
from bench.training.contenders import FRONTENDS as TRAINING
from bench.training.contenders import MODEL, SGD
from bench.workloads import WORKLOADS, make_fit_task, make_table_task

pytestmark = pytest.mark.slow

LAYERS = [(6, 16), (16,), (16, 4), (4,)]

#: The kinds of work with little of it.
SMALL = {
    "steps": WORKLOADS["steps"]._replace(models={"dqn": lambda: LAYERS}),
    "eager": WORKLOADS["eager"]._replace(models={"dqn": lambda: LAYERS}),
    "fit": WORKLOADS["fit"]._replace(
        models={"classifier": lambda: LAYERS},
        make_task=lambda shapes, options: make_fit_task(shapes, options, batch=4, steps=5),
    ),
    "embedding": WORKLOADS["embedding"]._replace(
        models={"table": lambda: [(50, 4)]},
        make_task=lambda shapes, options: make_table_task(shapes, options, touched=10),
    ),
}

# A row's entries.
KINDS = dict.fromkeys([workload.kind for workload in SMALL.values()], ROWS["step"]) | rows_of("startup")
KINDS["memory"] = {"frontend", "model", "variant", "peer", "largest_tensor_bytes", "bucket_bytes"}
KINDS["memory"] |= {"first_bytes", "later_bytes", "kept_bytes"}


def native_operations(contender):
    """How many operations of ours its graph has."""
    operations = contender._function.get_concrete_function().graph.get_operations()
    return [operation.type for operation in operations].count("RmspropCall")


def start_of(task):
    if hasattr(task, "variables"):
        return task.variables
    return [task.table]


class TestContenders:
    @pytest.mark.parametrize(
        ("part", "variant"), [(part, variant) for part, workload in SMALL.items() for variant in workload.variants]
    )
    def test_end_with_the_same_weights(self, part, variant):
        workload = SMALL[part]
        ((_, shapes),) = workload.models.items()
        task = workload.make_task(shapes(), VARIANTS[variant])
        ours, peer = (one.makers[workload.kind](task) for one in (FRONTENDS["tf_keras"].ours, PEERS["tf_keras"]))
        steps = 120 if "use_ema" in VARIANTS[variant] else 30  # past an overwriting, where there is one
        for _ in range(steps // task.steps):
            ours.step()
            peer.step()
        for start, one, other in zip(start_of(task), ours.weights(), peer.weights(), strict=True):
            assert one.shape == start.shape
            assert (one != start).any()
            # Measured: 1.9e-7, of rounding.
            assert np.abs(one - other).max() <= 1e-6 * np.abs(one).max()

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_the_original_ends_with_the_weights_of_numpys(self, variant):
        task = make_task(SHAPES, VARIANTS[variant])
        numpy, peer = numpys.Ours(task), PEERS["tf_keras"].make(task)
        for _ in range(120):  # past an overwriting
            numpy.step()
            peer.step()
        for start, one, other in zip(task.variables, numpy.weights(), peer.weights(), strict=True):
            assert (one != start).all()
            # Measured: 5.0e-8, 1.2e-7, 1.3e-7 and 1.3e-7, of rounding.
            assert np.abs(one - other).max() <= 1e-6 * np.abs(one).max()

    def test_the_original_is_there(self):
        usable, left_out = choose_peers(["tf_keras"])
        assert (list(usable), left_out) == (["tf_keras"], {})

    def test_are_ours_and_the_original(self):
        task = SMALL["steps"].make_task(LAYERS, {})
        assert type(contenders.OURS["eager"](task)._optimizer).__module__ == "rmsprop.tf_keras"
        assert type(contenders.ORIGINAL["eager"](task)._optimizer).__module__.startswith("tf_keras.")

    @pytest.mark.parametrize("makers", [contenders.OURS, contenders.ORIGINAL], ids=["ours", "original"])
    def test_prepare_traces_and_moves_nothing(self, makers):
        task = SMALL["steps"].make_task(LAYERS, {})
        contender = makers["step"](task)
        contender.prepare()
        assert contender._function.experimental_get_tracing_count() == 1
        assert all((one == start).all() for one, start in zip(contender.weights(), task.variables, strict=True))
        contender.step()
        contender.step()
        assert contender._function.experimental_get_tracing_count() == 1
        assert contender._optimizer.iterations.numpy() == 2

    def test_the_floor_runs_no_kernel(self):
        """It assigns memory as it is; ours, made after it, steps."""
        task = SMALL["steps"].make_task(LAYERS, {})
        floor, ours = PEERS["floor-tf_keras"].make(task), contenders.OURS["step"](task)
        assert native_operations(floor) == native_operations(ours) == 1
        for contender in (floor, ours):
            contender.step()
        assert all((moved != start).any() for moved, start in zip(ours.weights(), task.variables, strict=True))
        assert floor._optimizer.iterations.numpy() == 1

    def test_an_epoch_does_the_steps_that_its_time_is_divided_by(self):
        task = SMALL["fit"].make_task(LAYERS, {})
        contender = contenders.OURS["fit"](task)
        contender.step()
        assert contender._model.optimizer.iterations.numpy() == task.steps == 5

    def test_a_table_is_given_the_rows_alone(self):
        task = SMALL["embedding"].make_task([(50, 4)], {})
        contender = contenders.OURS["embedding"](task)
        contender.step()
        moved = np.flatnonzero((contender.weights()[0] != task.table).any(axis=1))
        assert moved.tolist() == sorted(task.rows.tolist())
        (gradient,) = contender._gradients
        assert isinstance(gradient, tf.IndexedSlices)


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """A small run of every part, each process of the memory part being one: what it printed and wrote."""
    with in_this_process() as patch:
        for part, workload in SMALL.items():
            patch.setitem(WORKLOADS, part, workload)
        patch.setattr(memory, "measure_in_child", processes.measure_in_child)
        patch.setattr(memory, "_REPEATS", 1)
        patch.setattr("bench.measure._LARGE", ("dqn",))
        arguments = ["--variant", "plain", "--repeat", "2", "--seconds", "0.1"]
        return run("tf_keras", tmp_path_factory.mktemp("bench"), *arguments)


class TestARun:
    def test_rows_have_what_they_should(self, figures):
        assert_rows(figures, KINDS)
        work = [(row["kind"], row["model"], row["peer"]) for row in figures.rows if "ratio" in row]
        models = {"step": "dqn", "eager": "dqn", "fit": "classifier", "embedding": "table"}
        peers = {"step": (OURS, "tf_keras", "floor-tf_keras")}
        assert work == [
            (kind, model, peer) for kind, model in models.items() for peer in peers.get(kind, (OURS, "tf_keras"))
        ]

    def test_names_versions(self, figures):
        versions = figures.entries["machine"]["versions"]
        assert set(versions) == {"Python", "rmsprop", "numpy", "numba", "tensorflow", "tf-keras"}
        assert versions["tensorflow"] == tf.__version__

    def test_starts_are_of_ours_and_of_the_original(self, figures):
        rows = {row["what"]: row for row in figures.rows if row["kind"] == "startup"}
        assert list(rows) == [
            "import rmsprop.tf_keras, after tf_keras",
            "importing Numba, calling a cached function",
            "first step, kernels cached",
            "first step, nothing cached",
            "first step of tf_keras",
        ]

    def test_peaks_are_of_new_values_alone(self, figures):
        """What was loaded, compiled and traced before is not in them: of ours alone that is 50 MB.

        That is seen in the first step's. What later steps add depends on which threads free the values before, and keep
        their memory: 28 to 55 MB, of ours as of tf_keras's, on a busy machine.
        """
        ours, peer = [row for row in figures.rows if row["kind"] == "memory"]
        assert (ours["peer"], peer["peer"]) == (OURS, "tf_keras")
        assert ours["bucket_bytes"] == contenders.bucket() > 1 << 20
        shapes = MODELS["dqn"]()
        values = 2 * 4 * count_numbers(shapes)  # 13.5 MB: the variables and their velocities
        for row in (ours, peer):
            assert row["largest_tensor_bytes"] == 512 * 3136 * 4
            sizes = [row[entry] for entry in ("first_bytes", "later_bytes", "kept_bytes")]
            # Measured: 14.0 to 23.7 MB for the first.
            assert sizes == [None] * 3 or (0.4 * values < min(sizes) and sizes[0] < 2.5 * values)

    def test_shows_and_draws_all_of_it(self, figures):
        assert_shown(
            figures,
            "dqn: 4 tensors, 180 numbers",
            "dqn, eagerly: 4 tensors",
            "classifier, a whole step of fit: 4 tensors",
            "table, few rows a step: 1 tensor, 200 numbers",
            "once in a process",
            "dqn: memory above that before the first step",
        )

    def test_is_silent_but_for_its_report(self):
        """In a process of its own, which imports TensorFlow; with more threads than one by default."""
        arguments = ["--part", "eager", "--model", "mlp", "--variant", "everything", "--repeat", "1", "--threads", "1"]
        assert "mlp, eagerly: 6 tensors, 4,996 numbers" in run_alone("tf_keras", *arguments)


class TestTrainSteps:
    @pytest.mark.parametrize("model", jobs.MODELS)
    def test_every_model_trains_alike_by_ours_and_by_the_original(self, model):
        ended = assert_trains(TRAINING["tf_keras"].makers(), (MODEL, SGD, "tf_keras", OURS), model)
        assert_same_way(ended, OURS, "tf_keras")

    def test_the_model_alone_computes_gradients(self):
        """TensorFlow leaves out what has no use; a step without an optimizer would be the forward pass alone."""
        for name in (MODEL, "model-compiled"):
            trainer = TRAINING["tf_keras"].makers()[name](jobs.make_job("mlp"), {})
            loss, gradients = trainer.step()
            assert [gradient.shape for gradient in gradients] == [weight.shape for weight in trainer.weights()]
            assert loss.shape == ()

    def test_by_xla_end_with_the_same_weights(self):
        names = [name for name in TRAINING["tf_keras"].words if name != SGD]
        ended = assert_trains(TRAINING["tf_keras"].makers(), names, "mlp")
        for name in ("tf_keras", OURS):
            assert_same_way(ended, f"{name}-compiled", name)
