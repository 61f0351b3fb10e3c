"""Train steps in torch: every model trains, what is compiled computes the same, and all is shown."""

import json
import os
from contextlib import redirect_stdout
from io import StringIO
from textwrap import dedent

import pytest
import torch
from bench_runs import assert_same_way, assert_trains

from bench.command import main
from bench.frameworks import load
from bench.peers import OURS
from bench.processes import run_python
from bench.training import measure
from bench.training.contenders import FRONTENDS, MODEL, SGD, Trains
from bench.training.jobs import MODELS, make_job

pytestmark = pytest.mark.slow

MAKERS = FRONTENDS["torch"].makers()


@pytest.mark.parametrize("model", MODELS)
def test_every_model_trains(model):
    assert_trains(MAKERS, (MODEL, SGD, "torch", OURS), model)


# Takes half a minute: compiles C++
def test_what_is_compiled_ends_with_the_weights_of_what_is_not():
    ended = assert_trains(MAKERS, MAKERS, "mlp")
    for name in ("torch", OURS):
        assert_same_way(ended, f"{name}-compiled", name)


def test_numpys_peers_step_numpys_memory():
    makers = FRONTENDS["numpy"].makers()
    ended = assert_trains(makers, makers, "mlp")
    assert_same_way(ended, "torch.compile", "torch")


def test_numpys_peers_have_the_threads_that_were_asked_for():
    """As NumPy's BLAS has. Torch is loaded for them although the front end does not need it."""
    threads = (os.cpu_count() or 1) + 1
    source = f"""
        import json, threadpoolctl
        from bench.child import train
        train("numpy", "mlp", "plain", "{MODEL},torch,{OURS}", "0.0", "1", "{threads}")
        import torch
        blas = [one["num_threads"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]
        print(json.dumps({{"torch": torch.get_num_threads(), "blas": min(blas)}}))
    """
    assert run_python("-c", dedent(source)) == {"torch": threads, "blas": threads}


def test_one_that_fails_is_left_out_with_the_reason(monkeypatch, tmp_path):
    def fail(*arguments, **options):
        raise RuntimeError("no compiler\nand a long story")

    monkeypatch.setattr(torch, "compile", fail)
    path = tmp_path / "train.json"
    command = ["--frontend", "torch", "--part", "train", "--model", "mlp", "--variant", "plain", "--repeat", "2"]
    with redirect_stdout(StringIO()):
        assert main([*command, "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    failed = ("model-compiled (mlp)", "torch-compiled (mlp, plain)", "rmsprop-compiled (mlp, plain)")
    assert found["left_out"] == dict.fromkeys(failed, "no compiler")
    assert [row["peer"] for row in found["rows"]] == [MODEL, SGD, "torch", OURS]
    assert all(row["base"] == MODEL for row in found["rows"])


def test_ours_is_not_left_out(monkeypatch):
    def fail(job, options) -> Trains:
        raise RuntimeError("broken")

    monkeypatch.setitem(FRONTENDS, "torch", FRONTENDS["torch"]._replace(makers=lambda: {**MAKERS, OURS: fail}))
    with pytest.raises(RuntimeError, match="broken"):
        measure.measure_training("torch", "mlp", ["plain"], [MODEL, OURS], measure.Budget(rounds=1))


def test_steps_forget_the_gradients_of_the_step_before():
    trainer = MAKERS[MODEL](make_job("mlp"), {})
    trainer.step()
    first = [parameter.grad.clone() for parameter in trainer._parameters]
    trainer.step()
    for one, parameter in zip(first, trainer._parameters, strict=True):
        assert load("torch").equal(one, parameter.grad)


def test_steps_after_pauses_are_beside_those_of_peers_whose_versions_are_named(tmp_path):
    path = tmp_path / "pauses.json"
    with redirect_stdout(StringIO()):
        command = [
            "--part",
            "pauses",
            "--peer",
            "torch-foreach",
            "--model",
            "mlp",
            "--variant",
            "plain",
            "--repeat",
            "2",
        ]
        assert main([*command, "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert "torch" in found["machine"]["versions"]
    assert [row["peer"] for row in found["rows"][:2]] == [OURS, "torch-foreach"]
    assert all(row["ratio"] > 0 for row in found["rows"])
