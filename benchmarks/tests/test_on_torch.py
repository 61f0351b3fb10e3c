"""``--frontend torch``: the contenders do the same, all of it is shown, and as much of CUDA's way as
there is without a GPU."""

import sys
from functools import partial
from io import StringIO
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from bench_runs import SHAPES, assert_rows, assert_shown, in_this_process, rows_of, run, run_alone
from rich.console import Console
from torch.utils._python_dispatch import TorchDispatchMode

from bench import devices, limit, measure
from bench.command import main, make_parser
from bench.contenders import numpy as numpys
from bench.contenders import torch as contenders
from bench.models import MODELS, VARIANTS, make_task
from bench.peers import FRONTENDS, OURS, PEERS, choose_peers, who_can

pytestmark = pytest.mark.slow

KINDS = rows_of("step", "limit", "startup", "allocation")


class TestContenders:
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_ours_ends_with_the_bits_of_numpys(self, variant):
        task = make_task(SHAPES, VARIANTS[variant])
        ours, numpy = contenders.Ours(task), numpys.Ours(task)
        for _ in range(120):  # past an overwriting
            ours.step()
            numpy.step()
        for start, one, other in zip(task.variables, ours.weights(), numpy.weights(), strict=True):
            assert (one != start).all()
            assert one.tobytes() == other.tobytes()

    # Takes more than ten seconds: compiles C++
    def test_compiled_ends_with_the_weights_of_the_original(self):
        """With everything on: clip and averages are in the compiled function, the overwriting beside it."""
        if problem := choose_peers(["torch-compiled"])[1]:
            pytest.skip(str(problem))
        task = make_task(SHAPES, VARIANTS["everything"])
        compiled, original = contenders.Compiled(task), contenders.Torch({"foreach": True}, task)
        for _ in range(120):
            compiled.step()
            original.step()
        for start, one, other in zip(task.variables, compiled.weights(), original.weights(), strict=True):
            assert (one != start).all()
            # Measured: 1.8e-4, of rounding: the same gradient always leaves next to nothing of its variance.
            assert np.abs(one - other).max() <= 2e-3 * np.abs(other - start).max()

    def test_are_all_compiled_however_many(self, monkeypatch):
        """By a compiler that counts, and leaves the graph as it is; torch by itself stops after 8 of one function."""

        def compiler(graph, inputs):
            compiled.append(graph)
            return graph

        compiled = []
        monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=compiler))
        for count in range(1, 13):
            before = len(compiled)
            contender = contenders.Compiled(make_task([(count,)], {}))
            contender.step()
            contender.step()
            assert len(compiled) == before + 1

    @pytest.mark.parametrize(("name", "module"), [("timm", "timm"), ("bitsandbytes", "bitsandbytes")])
    def test_of_other_packages_have_what_the_task_says(self, name, module, monkeypatch):
        """By a stand-in that takes the arguments which both packages name alike: neither must be there."""

        class StandIn(torch.optim.RMSprop):
            def __init__(self, params, lr, alpha, eps, decoupled_decay=False, **options):
                given.update(options, lr=lr, alpha=alpha, eps=eps, decoupled_decay=decoupled_decay)
                super().__init__(params, lr, alpha, eps, **options)

        given = {}
        optim = ModuleType(f"{module}.optim")
        optim.RMSpropTF = optim.RMSprop = StandIn
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
        monkeypatch.setitem(sys.modules, optim.__name__, optim)
        usable, left_out = choose_peers([name])
        assert (list(usable), left_out) == ([name], {})
        variant = [one for one in VARIANTS if who_can([name], one)][-1]
        task = make_task(SHAPES, VARIANTS[variant])
        peer = usable[name].make(task)
        peer.step()
        assert all((one != start).all() for one, start in zip(peer.weights(), task.variables, strict=True))
        expected = {"lr": 0.001, "alpha": 0.9, "eps": 1e-7, "decoupled_decay": name == "timm"}
        if name == "timm":
            expected |= {key: task.options[key] for key in ("momentum", "centered", "weight_decay")}
        assert given == expected

    def test_that_lack_an_option_are_not_measured_with_it(self):
        assert who_can(PEERS, "plain") == list(PEERS)
        assert set(PEERS) - set(who_can(PEERS, "momentum")) == {"bitsandbytes"}

    def test_that_fail_are_left_out_with_the_reason(self, monkeypatch):
        def fail(*arguments, **options):
            raise RuntimeError("no compiler\nand a long story")

        monkeypatch.setattr(torch, "compile", fail)
        assert choose_peers(["torch-compiled"]) == ({}, {"torch-compiled": "no compiler"})

    def test_that_break_on_import_are_left_out_with_the_reason(self, monkeypatch, tmp_path):
        (tmp_path / "broken_package.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setitem(PEERS, "timm", PEERS["timm"]._replace(modules=("broken_package",)))
        assert choose_peers(["timm"]) == ({}, {"timm": "operator torchvision::nms does not exist"})


class TestDevices:
    def test_cuda_that_is_not_there_is_said_in_a_line(self, monkeypatch, capsys):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert main(["--frontend", "torch", "--device", "cuda"]) == 2
        expected = f"bench: error: --device cuda: torch {torch.__version__} finds no CUDA device here\n"
        assert capsys.readouterr() == ("", expected)

    def test_others_peers_do_not_run_on_cuda(self):
        assert choose_peers(["tf_keras"], "cuda") == ({}, {"tf_keras": "does not run on cuda here"})
        assert "tensorflow" not in sys.modules

    def test_cuda_is_waited_for(self, monkeypatch):
        waited = []
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(1))
        devices.waiter("cuda")()
        devices.waiter("cpu")()
        assert waited == [1]

    def test_the_peak_is_that_of_the_steps_above_what_was_there(self, monkeypatch):
        """By a stand-in for the statistics of torch's allocator."""
        held = {"now": 100, "most": 900}

        def step():
            held["most"] = max(held["most"], held["now"] + 40)

        stand_in = SimpleNamespace(
            synchronize=lambda: None,
            reset_peak_memory_stats=lambda: held.update(most=held["now"]),
            memory_allocated=lambda: held["now"],
            max_memory_allocated=lambda: held["most"],
        )
        monkeypatch.setattr(torch, "cuda", stand_in)
        assert devices.memory_peak(step, 3) == 40

    @pytest.mark.parametrize(("slots", "norm"), [(1, False), (4, True)])
    def test_copies_move_what_a_step_moves(self, slots, norm):
        copied = []

        class Count(TorchDispatchMode):
            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                if function is torch.ops.aten.copy_.default:
                    copied.append((args[0].numel(), args[0].data_ptr() == args[1].data_ptr()))
                return function(*args, **kwargs or {})

        with devices.DeviceMemory(1000, slots, norm=norm, device="cpu") as there, Count():
            there.loops()["torch.Tensor.copy_"]()
            assert sum(count for count, _ in copied) * 8 == there.moved
            assert not any(onto_itself for _, onto_itself in copied)
            with limit.Memory(1000, slots, norm=norm, threads=1) as here:
                assert there.moved == here.moved

    def test_a_run_on_another_device_measures_steps_and_the_limit_there(self, monkeypatch):
        """On "cpu:0", which to torch is the CPU and to the benchmark is not."""
        monkeypatch.setattr(measure, "device_name", lambda device: "a device")
        monkeypatch.setitem(measure._LIMITED, "cpu:0", "flat100m")
        monkeypatch.setitem(MODELS, "flat100m", lambda: [(1000,)])
        monkeypatch.setitem(PEERS, "torch", PEERS["torch"]._replace(devices=("cpu:0",)))
        command = "--frontend torch --model mlp --model flat100m --variant plain --seconds 0.01 --repeat 2"
        options = make_parser().parse_args(command.split())
        options.device = "cpu:0"
        printed = StringIO()
        session = measure.Session(options, ["torch", "torch-foreach"], Console(file=printed, width=100))
        report = session.measure(["steps", "limit"])
        assert report.left_out == {"torch-foreach": "does not run on cpu:0 here"}
        assert [(row["model"], row["peer"]) for row in report.of("step")] == [
            (model, peer) for model in ("mlp", "flat100m") for peer in (OURS, "torch")
        ]
        assert [row["loop"] for row in report.of("limit")] == [OURS, "torch.Tensor.copy_"]
        assert report.machine["device"] == "a device"
        assert ", a device\n" in printed.getvalue()


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """A small run of every part: what it printed and wrote."""
    arguments = ["--model", "mlp", "--model", "flat25m", "--variant", "plain", "--repeat", "2", "--seconds", "0.1"]
    arguments += ["--peer", "torch", "--peer", "torch-foreach"]
    with in_this_process() as patch:
        # Large enough for the system to give its memory back when it is freed.
        patch.setitem(MODELS, "flat25m", lambda: [(10_000_000,)])
        return run("torch", tmp_path_factory.mktemp("bench"), *arguments)


class TestARun:
    def test_rows_have_what_they_should(self, figures):
        assert_rows(figures, KINDS)
        peers = (OURS, "torch", "torch-foreach")
        work = [(row["model"], row["peer"]) for row in figures.rows if row["kind"] == "step"]
        assert work == [(model, peer) for model in ("mlp", "flat25m") for peer in peers]
        assert [row["peer"] for row in figures.rows if row["kind"] == "allocation"] == list(peers)

    def test_names_versions_and_no_device(self, figures):
        versions = figures.entries["machine"]["versions"]
        assert set(versions) == {"Python", "rmsprop", "numpy", "numba", "torch"}
        assert versions["torch"] == torch.__version__
        assert "device" not in figures.entries["machine"]

    def test_starts_are_of_ours_and_of_torchs(self, figures):
        assert [row["what"] for row in figures.rows if row["kind"] == "startup"] == [
            "import rmsprop.torch, after torch",
            "importing Numba, calling a cached function",
            "first step, kernels cached",
            "first step, nothing cached",
            "first step of torch",
            "first step of torch-foreach",
        ]

    def test_a_step_takes_no_memory_of_a_tensors_size_and_torchs_does(self, figures):
        ours, *theirs = [row for row in figures.rows if row["kind"] == "allocation"]
        size = ours["largest_tensor_bytes"]
        assert size == 40_000_000
        assert ours["python_bytes"] < 100_000
        # Measured: 0 bytes of ours; 41 and 82 MB of theirs.
        assert ours["resident_bytes"] is None or ours["resident_bytes"] < size // 20
        assert all(row["resident_bytes"] is None or row["resident_bytes"] > 0.9 * size for row in theirs)

    def test_shows_and_draws_all_of_it(self, figures):
        assert_shown(
            figures,
            "mlp: 6 tensors, 4,996 numbers",
            "flat25m: the limit of memory",
            "once in a process",
            "flat25m: memory that a step takes for a while; the largest tensor has 40.0 MB",
        )

    def test_is_silent_but_for_its_report(self):
        """In a process of its own, which imports torch and compiles a step, or says why it does not."""
        arguments = ["--part", "steps", "--model", "mlp", "--variant", "everything", "--repeat", "1"]
        printed = run_alone("torch", *arguments)
        assert "mlp: 6 tensors, 4,996 numbers" in printed
        assert all(peer in printed for peer in FRONTENDS["torch"].peers)
