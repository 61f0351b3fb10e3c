"""Train steps without any framework: what is computed, the rows made of it, and how they are shown and drawn."""

import json
import os
import time
from contextlib import redirect_stdout
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
from bench_runs import PARTS, ROWS, assert_trains

import table
import train_table
from bench import busy
from bench.command import main
from bench.peers import OURS
from bench.timing import Budget
from bench.training import numpy as in_numpy
from bench.training.contenders import FRONTENDS, MODEL, PEERS, SGD, base_of, counterpart
from bench.training.jobs import DENSE, MODELS, VARIANTS, make_job
from bench.training.measure import TRIALS, chosen, measure_training, rows, time_training, together
from rmsprop.cli import CommandError

EVERY = "centered+momentum+decay"


class TestNumPy:
    @pytest.mark.parametrize("model", DENSE)
    def test_steps_move_all_weights_and_the_model_alone_none(self, model):
        assert_trains(FRONTENDS["numpy"].makers(), (MODEL, SGD, OURS), model)

    def test_gradients_are_those_of_the_loss(self):
        """Differences of the loss by four numbers of each variable, all in float64."""
        job = make_job("mlp")
        trainer = in_numpy.Trainer(None, job, {})
        trainer._variables = [variable.astype(np.float64) for variable in trainer._variables]
        trainer._gradients = [np.zeros_like(variable) for variable in trainer._variables]
        trainer.step()

        def loss():
            x = job.inputs.astype(np.float64)
            for place, (kernel, bias) in enumerate(zip(trainer._variables[::2], trainer._variables[1::2], strict=True)):
                x = (np.maximum(x, 0) if place else x) @ kernel + bias
            return (np.log(np.exp(x).sum(1)) - x[np.arange(len(x)), job.labels]).mean()

        for variable, gradient in zip(trainer._variables, trainer._gradients, strict=True):
            for place in np.random.default_rng(0).integers(0, variable.size, 4):
                kept = variable.flat[place]
                ends = []
                for step in (1e-5, -1e-5):
                    variable.flat[place] = kept + step
                    ends.append(loss())
                variable.flat[place] = kept
                # Measured: 2e-11, of the loss's rounding.
                assert gradient.flat[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-9)

    def test_ours_moves_by_its_rule(self):
        trainer = FRONTENDS["numpy"].makers()[OURS](make_job("mlp"), {})
        start = trainer.weights()
        trainer.step()
        for before, after, gradient in zip(start, trainer.weights(), trainer._gradients, strict=True):
            expected = before - 1e-6 * gradient / np.sqrt(0.1 * gradient.astype(np.float64) ** 2 + 1e-7)
            np.testing.assert_allclose(
                after, expected, rtol=0, atol=1e-7
            )  # measured: 5.8e-8, half of float32's last digit


class TestRows:
    TIMES = {  # noqa: RUF012
        (MODEL, ""): [10.0, 20.0, 30.0],
        (SGD, ""): [11.0, 21.0, 32.0],
        ("torch", "plain"): [14.0, 24.0, 34.0],
        (OURS, "plain"): [12.0, 22.0, 32.0],
        ("model-compiled", ""): [5.0, 5.0, 5.0],
        ("torch-compiled", "plain"): [6.0, 6.0, 6.0],
        ("rmsprop-compiled", "plain"): [8.0, 8.0, 8.0],
    }

    def test_parts_are_differences_to_the_model_of_the_same_round(self):
        found = {row["peer"]: row for row in rows(self.TIMES)}
        parts = {name: row.get("part_seconds") for name, row in found.items()}
        assert parts == {
            MODEL: None, SGD: 1.0, "torch": 4.0, OURS: 2.0,
            "model-compiled": None, "torch-compiled": 1.0, "rmsprop-compiled": 3.0,
        }  # fmt: skip
        assert (found["torch"]["part_of_sgd"], found["torch"]["part_ratio"]) == (4.0, 2.0)
        assert (found[OURS]["part_of_sgd"], found[OURS]["part_ratio"], found[OURS]["ratio"]) == (2.0, 1.0, 1.0)
        assert found["torch"]["ratio"] == pytest.approx(24 / 22)
        # Beside ours on the compiled model, and no SGD is there.
        compiled = found["torch-compiled"]
        assert (compiled["part_of_sgd"], compiled["part_ratio"], compiled["ratio"]) == (None, 1 / 3, 0.75)
        assert (found[SGD]["part_of_sgd"], found[SGD]["part_ratio"], found[SGD]["ratio"]) == (1.0, None, None)

    def test_parts_that_are_lost_in_noise_have_no_ratio(self):
        times = {(MODEL, ""): [10.0, 11.0], (SGD, ""): [9.0, 10.0], (OURS, "plain"): [12.0, 12.0]}
        found = {row["peer"]: row for row in rows(times)}
        assert (found[SGD]["part_seconds"], found[SGD]["part_of_sgd"]) == (-1.0, None)
        assert found[OURS]["part_of_sgd"] is None

    def test_every_contender_has_a_model_alone_and_one_of_ours(self):
        for frontend in ("numpy", "torch", "jax"):
            makers = FRONTENDS[frontend].makers()
            assert {base_of(name) for name in makers} | {counterpart(name) for name in makers} <= set(makers)
            assert set(makers) == set(FRONTENDS[frontend].words)
            assert set(FRONTENDS[frontend].models) <= set(MODELS)

    def test_peers_may_be_chosen(self):
        assert chosen("torch", None) == list(FRONTENDS["torch"].makers())
        assert chosen("torch", ["none"]) == [MODEL, SGD, OURS]
        assert chosen("torch", ["torch"]) == [MODEL, SGD, "torch", OURS]
        compiled = [MODEL, SGD, OURS, "model-compiled", "torch-compiled", "rmsprop-compiled"]
        assert chosen("torch", ["torch-compiled"]) == compiled


class TestSeveralProcesses:
    RUNS = (
        {"model/": [10.0, 12.0], "sgd/": [11.0, 13.0], "torch/plain": [1.0, 1.0], f"{OURS}/plain": [12.0, 14.0]},
        {"model/": [20.0, 22.0], "sgd/": [23.0, 25.0], f"{OURS}/plain": [26.0, 28.0]},
    )

    def test_rounds_are_put_together_of_those_that_all_have(self):
        assert together(self.RUNS) == {
            (MODEL, ""): [10.0, 12.0, 20.0, 22.0],
            (SGD, ""): [11.0, 13.0, 23.0, 25.0],
            (OURS, "plain"): [12.0, 14.0, 26.0, 28.0],
        }

    def test_each_is_told_what_to_measure(self, monkeypatch):
        """Parts are of the same process's model, reasons of any process, and the words those of the child."""
        asked, runs = [], iter(self.RUNS)

        def answer(what, *words):
            asked.append((what, *words))
            left_out = {"torch (mlp)": "no memory"} if len(asked) == 2 else {}
            return {"times": next(runs), "sizes": {"tensors": 6, "numbers": 4996}, "left_out": left_out}

        monkeypatch.setattr("bench.training.measure.measure_in_child", answer)
        names, budget = [MODEL, SGD, "torch", OURS], Budget(2.5)
        found, left_out = measure_training("numpy", "mlp", ["plain"], names, budget, processes=2, threads=1)
        assert asked == [("train", "numpy", "mlp", "plain", f"{MODEL},{SGD},torch,{OURS}", "2.5", "", "1")] * 2
        assert left_out == {"torch (mlp)": "no memory"}
        assert {row["peer"]: row.get("part_seconds") for row in found} == {MODEL: None, SGD: 2.0, OURS: 4.0}
        assert {(row["processes"], row["samples"], row["tensors"]) for row in found} == {(2, 4, 6)}

    @pytest.mark.parametrize("trial", range(1, TRIALS + 1))
    def test_a_peer_that_fails_in_a_step_of_its_trial_is_left_out_with_the_reason(self, monkeypatch, trial):
        trainer = FRONTENDS["numpy"].makers()

        def make(job, options):
            steps = iter(range(1, trial))

            def step():
                if next(steps, None) is None:
                    raise ValueError(f"no step {trial}\nand more")

            return SimpleNamespace(step=step)

        def compile_for_minutes(job, options):
            raise AssertionError("what fails is not compiled")

        makers = {MODEL: trainer[MODEL], "torch": make, OURS: trainer[OURS], "model-compiled": trainer[MODEL]}
        makers["torch-compiled"] = compile_for_minutes
        frontend = SimpleNamespace(makers=lambda: makers)
        monkeypatch.setattr("bench.training.measure.FRONTENDS", {"numpy": frontend})
        found = time_training("numpy", "mlp", ["plain"], list(makers), Budget(0, 1))
        assert found["left_out"] == dict.fromkeys(
            ("torch (mlp, plain)", "torch-compiled (mlp, plain)"), f"no step {trial}"
        )
        assert list(found["times"]) == [f"{MODEL}/", f"{OURS}/plain", "model-compiled/"]

    def test_a_budget_crosses_to_another_process(self):
        for budget in (Budget(2.5), Budget(3.0, 7)):
            assert Budget.read(*budget.words()) == budget


@pytest.mark.slow
class TestARun:
    def test_rows_are_written_shown_and_drawn(self, tmp_path):
        path, plot = tmp_path / "train.json", tmp_path / "train.png"
        command = ["--part", "train", "--model", "mlp", "--peer", "none", "--repeat", "3"]
        with redirect_stdout(StringIO()) as printed:
            assert main([*command, "--json", str(path), "--plot", str(plot)]) == 0
        found = json.loads(path.read_text())
        assert [(row["peer"], row["variant"]) for row in found["rows"]] == [
            (MODEL, ""), (SGD, ""), (OURS, "plain"), (OURS, EVERY),
        ]  # fmt: skip
        for row in found["rows"]:
            assert set(row) - {"kind"} == ROWS["train"] | (set() if row["peer"] == MODEL else PARTS)
            assert 0 < row["seconds_p10"] <= row["seconds"] <= row["seconds_p90"]
            assert (row["numbers"], row["tensors"], row["batch"], row["samples"]) == (4996, 6, 32, 3)
        assert "MLP 8-64-64-4, batch 32, 6 tensors, 5 k numbers" in printed.getvalue()
        assert plot.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert "other_processes" not in found["machine"]

    def test_new_processes_are_as_many_as_asked_for(self, tmp_path):
        path = tmp_path / "train.json"
        command = ["--part", "train", "--model", "mlp", "--variant", "plain", "--peer", "none", "--repeat", "3"]
        with redirect_stdout(StringIO()):
            assert main([*command, "--processes", "2", "--threads", "1", "--json", str(path)]) == 0
        found = json.loads(path.read_text())["rows"]
        assert [(row["peer"], row["samples"], row["processes"]) for row in found] == [
            (MODEL, 6, 2), (SGD, 6, 2), (OURS, 6, 2),
        ]  # fmt: skip
        assert {(row["numbers"], row["tensors"], row["batch"]) for row in found} == {(4996, 6, 32)}

    def test_a_busy_machine_was_asked_for(self, tmp_path):
        path = tmp_path / "train.json"
        command = ["--part", "train", "--model", "mlp", "--variant", "plain", "--peer", "none", "--repeat", "1"]
        with redirect_stdout(StringIO()) as printed:
            assert main([*command, "--busy", "--json", str(path)]) == 0
        others = json.loads(path.read_text())["machine"]["other_processes"]
        assert others >= 1
        assert f"{others} other processes computed meanwhile" in printed.getvalue()


class TestOtherWork:
    def test_a_process_computes_on_each_core_and_is_gone_afterwards(self):
        before = os.times()
        with busy.every_core() as others:
            assert others == busy.processors()
            time.sleep(0.5)
        # What they computed is the time of children that were waited for.
        assert os.times().children_user > before.children_user
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    def test_none_is_started_unless_asked_for(self):
        with busy.every_core(False) as others:
            assert others == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--part", "steps", "--variant", EVERY], f"--variant {EVERY} goes with --part train, not with steps"),
        (["--part", "limit", "--processes", "2"], "--processes 2 goes with --part train, not with limit"),
        (["--peer", "keras-compiled"], "--peer keras-compiled goes with --part train, not with steps limit"),
        (["--part", "train", "--model", "resnet50"], "--part train measures nothing of --model resnet50"),
        (["--part", "train", "--model", "dqn"], "--part train measures nothing of --model dqn"),  # of NumPy
    ],
)
def test_what_cannot_be_is_said_in_a_line(arguments, message, capsys):
    assert main([*arguments, "--repeat", "1"]) == 2
    assert message in capsys.readouterr().err


def figure(peer, variant, seconds, part, ratio=None, base=MODEL, model="classifier"):
    row = {"kind": "train", "frontend": "torch", "model": model, "variant": variant, "peer": peer, "base": base}
    return row | {"seconds": seconds, "part_seconds": part, "part_ratio": ratio}


class TestTables:
    ROWS = [  # noqa: RUF012
        figure(MODEL, "", 0.003, None), figure(SGD, "", 0.004, 0.001),
        figure("torch", "plain", 0.006, 0.003, 3.0), figure(OURS, "plain", 0.004, 0.001),
        figure("torch", EVERY, 0.009, 0.006, 2.0), figure(OURS, EVERY, 0.006, 0.003),
        figure("model-compiled", "", 0.002, None, base="model-compiled"),
        figure("torch-compiled", "plain", 0.0025, 0.0005, 0.5, "model-compiled"),
        figure("rmsprop-compiled", "plain", 0.003, 0.001, base="model-compiled"),
    ]  # fmt: skip

    def test_have_a_column_for_each_contender_and_a_table_for_each_base(self):
        eager, compiled = (text.replace("\u00d7", "x") for text in table.tables([{"rows": self.ROWS}]))
        assert eager.splitlines()[0] == "| | | model alone | SGD | torch.optim.RMSprop | rmsprop |"
        assert "| 784-1024-1024-10, 1.9 M | plain | 3 ms | 1 ms | 3 ms (3.0 x) | 1 ms |" in eager
        assert "| 784-1024-1024-10, 1.9 M | all on | 3 ms | 1 ms | 6 ms (2.0 x) | 3 ms |" in eager
        assert compiled.splitlines()[2:] == ["| 784-1024-1024-10, 1.9 M | plain | 2 ms | 500 µs (0.5 x) | 1 ms |"]

    def test_of_all_front_ends_name_the_strongest_peer_also_where_it_is_faster(self):
        shown = train_table.overview([{"rows": self.ROWS, "machine": {"settings": {}}}]).splitlines()
        assert shown[2] == "| PyTorch | 3 ms | 1 ms | 3 ms, torch.optim.RMSprop | 3 ms | 6 ms, torch.optim.RMSprop |"
        assert shown[3].startswith("| PyTorch, `torch.compile` | 2 ms | 1 ms | 500 µs, torch.optim.RMSprop, whole step")

    def test_know_every_model_variant_and_contender(self):
        assert set(train_table.MODELS) == set(MODELS)
        assert set(train_table.VARIANTS) == set(VARIANTS)
        assert set(train_table.CONTENDERS) == {*PEERS, SGD, OURS, "rmsprop-compiled"}


@pytest.mark.parametrize(
    ("stop", "code"), [(KeyboardInterrupt(), 130), (CommandError("a process of the measurement failed"), 2)]
)
def test_figures_are_written_where_a_run_is_stopped(monkeypatch, tmp_path, stop, code):
    """By Ctrl-C or a failure, in the middle of the second model."""

    def measured(frontend, model, *rest):
        if model == "classifier":
            raise stop
        return [{"kind": "train", "model": model}], {}

    monkeypatch.setattr("bench.measure.measure_training", measured)
    path = tmp_path / "train.json"
    assert main(["--part", "train", "--peer", "none", "--json", str(path)]) == code
    assert json.loads(path.read_text())["rows"] == [{"kind": "train", "model": "mlp"}]
