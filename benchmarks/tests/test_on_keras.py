"""``--frontend keras``, on the backend that KERAS_BACKEND names: ``tests/run.py`` runs this module on each of them."""

import keras
import keras_runs as runs
import numpy as np
import pytest
from bench_runs import (
    ROWS,
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
from bench.command import main
from bench.models import VARIANTS
from bench.peers import FRONTENDS, OURS, PEERS
from bench.timing import Budget
from bench.training.contenders import FRONTENDS as TRAINING
from bench.training.contenders import MODEL, SGD
from bench.training.measure import time_training
from bench.workloads import WORKLOADS, make_fit_task

pytestmark = pytest.mark.slow

BACKEND = keras.backend.backend()
PACKAGES = {"jax": "jax", "tensorflow": "tensorflow", "torch": "torch"}
LAYERS = [(6, 16), (16,), (16, 4), (4,)]

#: The kinds of work with little of it.
SMALL = {
    "steps": WORKLOADS["steps"]._replace(models={"dqn": lambda: LAYERS}),
    "fit": WORKLOADS["fit"]._replace(
        models={"classifier": lambda: LAYERS},
        make_task=lambda shapes, options: make_fit_task(shapes, options, batch=4, steps=5),
    ),
}

#: Everything that both define alike: averages start elsewhere in Keras 3.
ALIKE = {name: value for name, value in VARIANTS["everything"].items() if "ema" not in name}

#: By part. Of a gradient that never changes nothing is left of the variance but rounding: centered steps then differ.
OPTIONS = [("fit", {}), ("fit", ALIKE), ("steps", {}), ("steps", ALIKE | {"centered": False})]

KINDS = {"step": ROWS["step"], "fit": ROWS["step"]} | rows_of("startup", "allocation")


def both(part, options):
    """The task, our contender and that of Keras's own."""
    workload = SMALL[part]
    ((_, shapes),) = workload.models.items()
    task = workload.make_task(shapes(), options)
    return task, *(one.makers[workload.kind](task) for one in (FRONTENDS["keras"].ours, PEERS["keras"]))


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """A small run of every part: what it printed and wrote."""
    with in_this_process() as patch:
        for part, workload in SMALL.items():
            patch.setitem(WORKLOADS, part, workload)
        arguments = ["--backend", BACKEND, "--model", "dqn", "--model", "classifier", "--variant", "plain"]
        arguments += ["--repeat", "2", "--seconds", "0.1"]
        return run("keras", tmp_path_factory.mktemp("bench"), *arguments)


class TestContenders:
    @pytest.mark.parametrize(("part", "options"), OPTIONS)
    def test_end_with_the_same_weights(self, part, options):
        task, ours, peer = both(part, options)
        for _ in range(40 // task.steps):
            ours.step()
            peer.step()
        for start, one, other in zip(task.variables, ours.weights(), peer.weights(), strict=True):
            assert one.shape == start.shape
            assert (one != start).any()
            # Measured: 1.8e-7, of rounding. Keras on torch multiplies by 1 - 1e-7 for the decay, which float32 does not
            # have: 3.0e-6.
            near = 6e-6 if BACKEND == "torch" and "weight_decay" in options else 1e-6
            assert np.abs(one - other).max() <= near * np.abs(one).max()

    def test_of_everything_overwrite(self):
        options = VARIANTS["everything"] | {"ema_overwrite_frequency": 3}
        _, *contenders = both("steps", options)
        for contender in contenders:
            same = []
            for _ in range(6):
                contender.step()
                state = getattr(contender, "_state", (None, contender._optimizer.variables))[1]
                averages = [runs.array(one) for one in state[2 : 2 + len(LAYERS)]]
                same.append(all((one == other).all() for one, other in zip(averages, contender.weights(), strict=True)))
            # Keras's own start at the weights after the first step.
            assert same == [contender is contenders[1], False, True, False, False, True]

    def test_of_everything_fit_again(self):
        _, *contenders = both("fit", VARIANTS["everything"])
        for contender in contenders:
            contender.step()
            before = contender.weights()
            contender.step()
            assert all((one != other).any() for one, other in zip(before, contender.weights(), strict=True))

    def test_are_ours_and_kerass_own(self):
        for kind in FRONTENDS["keras"].ours.makers:
            part = {"step": "steps", "fit": "fit"}[kind]
            _, ours, peer = both(part, {})
            optimizers = [getattr(one, "_optimizer", None) or one._model.optimizer for one in (ours, peer)]
            assert [type(one).__module__.partition(".")[0] for one in optimizers] == ["rmsprop", "keras"]

    def test_an_epoch_does_the_steps_that_its_time_is_divided_by(self):
        task, ours, _ = both("fit", {})
        ours.step()
        assert int(runs.array(ours._model.optimizer.iterations)) == task.steps == 5


class TestARun:
    def test_rows_have_what_they_should(self, figures):
        assert_rows(figures, KINDS)
        work = [(row["kind"], row["model"], row["peer"]) for row in figures.rows if "ratio" in row]
        models = {"step": "dqn", "fit": "classifier"}
        assert work == [(kind, model, peer) for kind, model in models.items() for peer in (OURS, "keras")]

    def test_names_versions_and_the_backend(self, figures):
        machine = figures.entries["machine"]
        assert set(machine["versions"]) == {"Python", "rmsprop", "numpy", "numba", "keras", PACKAGES[BACKEND]}
        assert machine["settings"]["KERAS_BACKEND"] == BACKEND
        assert f"KERAS_BACKEND={BACKEND}" in figures.printed

    def test_starts_are_of_ours_and_of_kerass_own(self, figures):
        assert [row["what"] for row in figures.rows if row["kind"] == "startup"] == [
            "import rmsprop.keras, after Keras",
            "importing Numba, calling a cached function",
            "first step, kernels cached",
            "first step, nothing cached",
            "first step of keras",
        ]

    def test_shows_and_draws_all_of_it(self, figures):
        assert_shown(
            figures,
            "dqn: 4 tensors, 180 numbers",
            "classifier, a whole step of fit: 4 tensors",
            "once in a process",
            "dqn: memory that a step takes for a while",
        )

    def test_tables_are_printed_for_the_documentation(self, figures, monkeypatch, capsys):
        monkeypatch.setattr("sys.argv", ["table.py", *2 * [str(figures.folder / "bench.json")]])
        table.main()
        printed = capsys.readouterr().out.replace("\u00d7", "x")
        name = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "torch"}[BACKEND]
        assert printed.startswith(f"| | | | {name} | keras | {name} | keras |\n")
        for row in figures.rows:
            if row["kind"] in ("step", "fit") and row["peer"] == "keras":
                assert printed.count(f" | {row['ratio']:.1f} x |") >= 2

    def test_is_silent_but_for_its_report(self, monkeypatch):
        """In a process of its own, which imports Keras, and which nothing but the option tells on which backend."""
        monkeypatch.delenv("KERAS_BACKEND")
        arguments = ["--part", "steps", "--model", "mlp", "--variant", "everything", "--repeat", "1", "--threads", "1"]
        printed = run_alone("keras", "--backend", BACKEND, *arguments)
        assert "mlp: 6 tensors, 4,996 numbers" in printed
        assert f"KERAS_BACKEND={BACKEND}" in printed


class TestOption:
    def test_another_backend_than_that_of_this_process_is_refused(self, capsys):
        other = {"jax": "torch", "tensorflow": "jax", "torch": "jax"}[BACKEND]
        assert main(["--frontend", "keras", "--backend", other]) == 2
        expected = f"bench: error: --backend {other}: Keras runs on {BACKEND} in this process\n"
        assert capsys.readouterr().err == expected


#: Models that Keras's own RMSprop does not train if it is centered: on TensorFlow it adds up row numbers that an
#: embedding's gradient has more than once (Keras 3.15). The benchmark leaves it out then, and says why.
FAILS = ("transformer",) if BACKEND == "tensorflow" else ()


class TestTrainSteps:
    @pytest.mark.parametrize("model", [name for name in TRAINING["keras"].models if name not in FAILS])
    def test_every_model_trains_alike_by_ours_and_by_kerass_own(self, model):
        ended = assert_trains(TRAINING["keras"].makers(), (MODEL, SGD, "keras", OURS), model)
        assert_same_way(ended, OURS, "keras")

    @pytest.mark.parametrize("model", FAILS)
    def test_where_kerass_own_fails_ours_trains_and_the_report_says_so(self, model):
        assert_trains(TRAINING["keras"].makers(), (MODEL, SGD, OURS), model)
        variants = ["plain", "centered+momentum+decay"]
        found = time_training("keras", model, variants, [MODEL, "keras", OURS], Budget(0, 1))
        own = [f"{OURS}/{variant}" for variant in variants]
        assert list(found["times"]) == [f"{MODEL}/", "keras/plain", *own]
        ((who, why),) = found["left_out"].items()
        assert who == f"keras ({model}, centered+momentum+decay)"
        assert "is not in" in why

    def test_of_models_that_are_compiled_are_those_of_tensorflow(self):
        compiled = [name for name in TRAINING["keras"].makers() if name.endswith("-compiled")]
        assert bool(compiled) == (BACKEND == "tensorflow")
