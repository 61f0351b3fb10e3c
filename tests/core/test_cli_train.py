"""``rmsprop train``: it learns, can be stopped at any moment, and goes on as if nothing had happened."""

import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from missing import Missing
from processes import Loaded
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import rmsprop.cli
from rmsprop.cli import main
from rmsprop.cli._network import Network
from rmsprop.cli._training import Stop

# Small and quick: 180 steps an epoch.
SMALL = ("--hidden", "8", "--batch-size", "8", "--learning-rate", "0.003")

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


def start(*arguments: str | Path) -> "subprocess.Popen[str]":
    """Start ``rmsprop train`` with warnings as errors, and with Ctrl-C as a terminal would send it."""
    command = [sys.executable, "-W", "error", "-m", "rmsprop", "train", *map(str, arguments)]
    # A signal that the suite's own starter ignores would be ignored there too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)


Train = Callable[..., str]

# Everything is loaded once and then forked. A process with threads should not be.
LOADED = """
import matplotlib.figure
from rmsprop._core.cpu import kernels
from rmsprop.cli import _digits, _network, _report, train
"""

TRAIN = """
import sys
from rmsprop.cli import main
sys.exit(main(["train", *sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def train() -> Iterator[Train]:
    """A function that runs ``rmsprop train`` to its end, with warnings as errors, and gives what it printed."""
    with Loaded(LOADED, OPENBLAS_NUM_THREADS="1") as loaded:

        def run(*arguments: str | Path) -> str:
            printed: str = loaded.run(TRAIN, *arguments)
            assert loaded.errors == ""
            return printed

        yield run


def checkpoint(folder: Path) -> Path:
    return folder / "checkpoint.safetensors"


def contents(folder: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """Read a checkpoint: the bytes of each tensor, and the metadata."""
    with safe_open(checkpoint(folder), framework="np") as file:
        # The file iterates over its tensors only in newer versions of safetensors.
        names = file.keys()
        return {name: file.get_tensor(name).tobytes() for name in names}, file.metadata()


def write_as_earlier(folder: Path, **settings: str | None) -> None:
    """Give the record in a checkpoint settings that earlier versions had besides."""
    metadata = contents(folder)[1]
    record = json.loads(metadata["training"])
    record["settings"] = settings | record["settings"]
    save_file(load_file(checkpoint(folder)), checkpoint(folder), metadata | {"training": json.dumps(record)})


@pytest.fixture(scope="module")
def three_epochs(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three epochs that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    train(*SMALL, "--epochs", "3", "--out", folder)
    return folder


@pytest.fixture(scope="module")
def _one_epoch(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one_epoch")
    train(*SMALL, "--epochs", "1", "--out", folder)
    return folder


@pytest.fixture
def one_epoch(_one_epoch: Path, tmp_path: Path) -> Path:
    """The folder of a run that has stopped after an epoch."""
    return shutil.copytree(_one_epoch, tmp_path / "stopped")


class TestARun:
    def test_reaches_97_percent(self, train: Train, tmp_path: Path) -> None:
        train("--out", tmp_path, "--json", tmp_path / "figures.json")
        figures = json.loads((tmp_path / "figures.json").read_text())
        assert figures["test_accuracy"] >= 0.97
        assert figures["steps"] == 60 * math.ceil(1437 / 64)

    def test_tells_its_figures_and_files(self, train: Train, tmp_path: Path) -> None:
        figures_path = tmp_path / "made" / "figures.json"
        printed = train(*SMALL, "--epochs", "2", "--seed", "5", "--out", tmp_path, "--json", figures_path)
        figures = json.loads(figures_path.read_text())

        for number, (loss, accuracy) in enumerate(zip(figures["losses"], figures["accuracies"], strict=True), start=1):
            assert re.search(f"^epoch {number}/2   loss {loss:.4f} .* averaged +{accuracy:.2%}$", printed, re.M)
        assert "\x1b" not in printed
        assert (figures["epochs"], figures["steps"], figures["hidden"], figures["seed"]) == (2, 360, [8], 5)
        assert figures["parameters"] == 64 * 8 + 8 + 8 * 10 + 10
        assert figures["test_accuracy"] == figures["accuracies"][-1]
        parts = {name: value for name, value in figures.items() if name.startswith("seconds_")}
        assert {"seconds_gradients", "seconds_optimizer", "seconds_first_step", "seconds_rest"} < parts.keys()
        assert sum(parts.values()) == pytest.approx(figures["seconds"])
        assert min(parts.values()) >= 0
        assert Path(figures["paths"]["curves"]).read_bytes().startswith(b"\x89PNG")
        assert all(path in printed for path in figures["paths"].values())
        assert figures["paths"]["checkpoint"] == str(checkpoint(tmp_path))

    def test_says_that_it_replaces_another(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for expected in (False, True):
            assert main(["train", *SMALL, "--epochs", "1", "--out", str(tmp_path)]) == 0
            assert ("--resume goes on from it" in capsys.readouterr().out) is expected

    def test_that_diverges_says_so_and_keeps_the_checkpoint(
        self, three_epochs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = checkpoint(three_epochs).read_bytes()
        checkpoint(tmp_path).write_bytes(before)
        assert main(["train", *SMALL, "--learning-rate", "1e30", "--out", str(tmp_path)]) == 2
        error = r"rmsprop train: error: the loss became (nan|inf) in epoch 1: choose a --learning-rate below 1e\+30\n"
        assert re.fullmatch(error, capsys.readouterr().err)
        assert checkpoint(tmp_path).read_bytes() == before


class TestResume:
    def test_gives_the_same_bits(self, train: Train, three_epochs: Path, one_epoch: Path) -> None:
        # Settings that are not given come from the checkpoint.
        train("--resume", "--epochs", "3", "--out", one_epoch)
        assert contents(one_epoch) == contents(three_epochs)

    def test_of_a_finished_run_reports_it(self, three_epochs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        before = checkpoint(three_epochs).read_bytes()
        assert main(["train", "--resume", "--out", str(three_epochs)]) == 0
        accuracy = json.loads(contents(three_epochs)[1]["training"])["accuracies"][-1]
        assert f"{accuracy:.2%}   of the averaged weights" in capsys.readouterr().out
        assert checkpoint(three_epochs).read_bytes() == before

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            pytest.param(["--hidden", "9"], "--hidden 9: .* was made with --hidden 8", id="hidden"),
            pytest.param(["--hidden", "8", "8"], "--hidden 8 8: .* was made with --hidden 8", id="layers"),
            pytest.param(["--seed", "1"], "--seed 1: .* was made with --seed 0", id="seed"),
            pytest.param(["--batch-size", "9"], "--batch-size 9: .* was made with --batch-size 8", id="batch_size"),
            pytest.param(["--learning-rate", "1"], "--learning-rate 1.0: .* --learning-rate 0.003", id="learning_rate"),
            pytest.param(["--epochs", "2"], "--epochs 2: .* has 3 epochs already", id="epochs"),
        ],
    )
    def test_refuses_what_does_not_go_with_the_checkpoint(
        self, three_epochs: Path, arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = checkpoint(three_epochs).read_bytes()
        assert main(["train", "--resume", "--out", str(three_epochs), *arguments]) == 2
        assert re.fullmatch(f"rmsprop train: error: {error}\n", capsys.readouterr().err)
        assert checkpoint(three_epochs).read_bytes() == before

    @pytest.mark.parametrize(
        ("damage", "error"),
        [
            pytest.param(lambda stored: b"", "is not a checkpoint, or is damaged: .*", id="empty"),
            pytest.param(lambda stored: stored[:100], "is not a checkpoint, or is damaged: .*", id="header_cut"),
            pytest.param(lambda stored: stored[:-1], "is not a checkpoint, or is damaged: .*", id="last_byte_cut"),
            pytest.param(lambda stored: b"\xff" * 500, "is not a checkpoint, or is damaged: .*", id="garbage"),
            pytest.param(
                lambda stored: stored.replace(b'\\"epoch\\"', b'\\"hcope\\"'),
                "is not a checkpoint of `rmsprop train`",
                id="record",
            ),
        ],
    )
    def test_refuses_a_damaged_checkpoint(
        self,
        three_epochs: Path,
        tmp_path: Path,
        damage: Callable[[bytes], bytes],
        error: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        damaged = damage(checkpoint(three_epochs).read_bytes())
        assert damaged != checkpoint(three_epochs).read_bytes()
        checkpoint(tmp_path).write_bytes(damaged)
        assert main(["train", "--resume", "--out", str(tmp_path)]) == 2
        path = re.escape(str(checkpoint(tmp_path)))
        assert re.fullmatch(f"rmsprop train: error: --resume: {path} {error}\n", capsys.readouterr().err)
        assert [file.read_bytes() for file in tmp_path.iterdir()] == [damaged]

    def test_refuses_a_checkpoint_without_its_tensors(
        self, three_epochs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        save_file({}, checkpoint(tmp_path), metadata=contents(three_epochs)[1])
        assert main(["train", "--resume", "--out", str(tmp_path)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "layer1/weights is missing" in error

    def test_goes_on_where_an_earlier_version_stopped(self, train: Train, three_epochs: Path, one_epoch: Path) -> None:
        """Whose records named a backend and a network."""
        write_as_earlier(one_epoch, backend="numpy", network="dense", keras_backend=None)
        train("--resume", "--epochs", "3", "--out", one_epoch)
        assert contents(one_epoch) == contents(three_epochs)

    @pytest.mark.parametrize("keras_backend", [None, "jax"])
    def test_refuses_another_backends_run_of_an_earlier_version(
        self, keras_backend: str | None, one_epoch: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        backend = "keras" if keras_backend else "torch"
        write_as_earlier(one_epoch, backend=backend, network="dense", keras_backend=keras_backend)
        before = checkpoint(one_epoch).read_bytes()
        assert main(["train", "--resume", "--out", str(one_epoch)]) == 2
        error = capsys.readouterr().err
        assert f"--resume: {checkpoint(one_epoch)} was made with --backend {backend}, and `rmsprop train`" in error
        assert error.count("\n") == 1
        assert checkpoint(one_epoch).read_bytes() == before

    def test_needs_a_checkpoint(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["train", "--resume", "--out", str(tmp_path / "none")]) == 2
        assert re.fullmatch(r"rmsprop train: error: --resume: there is no checkpoint \S+\n", capsys.readouterr().err)
        assert not (tmp_path / "none").exists()


@posix
class TestInterruption:
    def test_by_ctrl_c_is_undone_by_resume(self, train: Train, three_epochs: Path, tmp_path: Path) -> None:
        process = start(*SMALL, "--epochs", "3", "--out", tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("epoch 1/3")
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (130, "")
        assert re.search("^stopped after 1 of 3 epochs", printed, re.M)
        assert str(checkpoint(tmp_path)) in printed

        advice = re.search(r"go on with +rmsprop train (.*)", printed)
        assert advice is not None
        train(*shlex.split(advice[1]))
        assert contents(tmp_path) == contents(three_epochs)

    @pytest.mark.parametrize(
        ("step", "where"),
        [
            pytest.param(1, "0 of 3 epochs and 1 of 180 steps", id="first_step"),
            pytest.param(180, "1 of 3 epochs", id="last_step_of_an_epoch"),
            pytest.param(253, "1 of 3 epochs and 73 of 180 steps", id="in_an_epoch"),
            pytest.param(540, "3 of 3 epochs", id="last_step"),
        ],
    )
    def test_by_ctrl_c_stops_after_the_step(
        self,
        step: int,
        where: str,
        three_epochs: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def interrupted(self: Network, gradients: Any) -> None:
            if self.iterations + 1 == step:
                signal.raise_signal(signal.SIGINT)
            done(self, gradients)

        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            done = Network.step
            monkeypatch.setattr(Network, "step", interrupted)
            assert main(["train", *SMALL, "--epochs", "3", "--out", str(tmp_path)]) == 130
        finally:
            signal.signal(signal.SIGINT, before)
        assert f"stopped after {where}\n" in capsys.readouterr().out
        assert main(["train", "--resume", "--out", str(tmp_path)]) == 0
        assert contents(tmp_path) == contents(three_epochs)

    def test_by_a_second_ctrl_c_is_at_once(self) -> None:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with Stop() as stop:
                signal.raise_signal(signal.SIGINT)
                assert stop.requested
                with pytest.raises(KeyboardInterrupt):
                    signal.raise_signal(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            with Stop() as stop:
                signal.raise_signal(signal.SIGINT)
                assert not stop.requested
        finally:
            signal.signal(signal.SIGINT, before)

    def test_while_starting_gives_130(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def interrupt(seed: int) -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr("rmsprop.cli._digits.load_digits", interrupt)
        assert main(["train", "--out", str(tmp_path)]) == 130
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("kills", [4, pytest.param(40, marks=pytest.mark.slow)])
    def test_by_sigkill_leaves_a_whole_checkpoint(self, tmp_path: Path, kills: int) -> None:
        """Nearly all kills come during a save; the run that survives them equals one that nobody touched."""
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # a process with threads should not be forked
        command = [sys.executable, "-W", "error", "-c", _KILLER, tmp_path, str(kills)]
        killed = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
        assert killed.returncode == 0, killed.stderr
        assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")


# Everything is loaded once and then forked. Steps are few and tiny, so that the time goes into checkpoints.
_KILLER = """
import os, random, signal, sys, time
from pathlib import Path
from safetensors.numpy import load_file
from rmsprop.cli import main

def train(name, *arguments):
    return main(["train", "--hidden", "8", "--batch-size", "1437", "--out", str(root / name), *arguments])

root = Path(sys.argv[1])
path = root / "killed" / "checkpoint.safetensors"
moment = random.Random(0)
train("warm", "--epochs", "1")
started = time.monotonic()
train("warm", "--epochs", "2")
pace = max(0.15, 2 * (time.monotonic() - started))  # on a machine that has other work, too, some epochs are done
met = 0
kills = int(sys.argv[2])
for kill in range(kills):
    child = os.fork()
    if child == 0:
        os._exit(train("killed", "--epochs", "1000000", *["--resume"] * path.exists()))
    time.sleep(moment.uniform(0.0, pace))
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    if path.exists():
        load_file(path)
        met += 1
assert met > kills // 2, met
from rmsprop.cli.train import _read_record
epochs = str(_read_record(path).epoch + 1)
assert train("killed", "--resume", "--epochs", epochs) == train("undisturbed", "--epochs", epochs) == 0
"""


class TestTheCommandLine:
    def test_help_names_every_option(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="0"):
            main(["train", "--help"])
        shown = capsys.readouterr().out
        options = ["hidden", "seed", "epochs", "batch-size", "learning-rate"]
        options += ["out", "json", "resume"]
        assert all(re.search(rf"^  --{option}\b", shown, re.M) for option in options)
        assert set(re.findall(r"^  --(\S+)", shown, re.M)) == set(options)

    def test_main_help_names_the_commands(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([]) == 0
        assert re.findall(r"^    (\w+) +\w+", capsys.readouterr().out, re.M) == ["train"]

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            pytest.param(["--epochs", "0"], "--epochs: '0' is not a whole number of at least 1", id="epochs"),
            pytest.param(["--epochs", "2.5"], "--epochs: '2.5' is not a whole number of at least 1", id="fraction"),
            pytest.param(["--batch-size", "-1"], "--batch-size: '-1' is not a whole number of at", id="batch_size"),
            pytest.param(["--hidden", "8", "0"], "--hidden: '0' is not a whole number of at least 1", id="hidden"),
            pytest.param(["--seed", "-1"], "--seed: '-1' is not a whole number of at least 0", id="seed"),
            pytest.param(["--learning-rate", "0"], "--learning-rate: '0' is not a finite number above 0", id="zero"),
            pytest.param(["--learning-rate", "inf"], "--learning-rate: 'inf' is not a finite number above 0", id="inf"),
            pytest.param(["--learning-rate", "x"], "--learning-rate: 'x' is not a finite number above 0", id="text"),
            pytest.param(["--backend", "torch"], "unrecognized arguments: --backend torch", id="backend"),
            pytest.param(["--epoch", "3"], "unrecognized arguments: --epoch 3", id="abbreviation"),
        ],
    )
    def test_refuses_bad_values(self, arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="2"):
            main(["train", *arguments])
        assert re.search(error, capsys.readouterr().err)

    def test_refuses_a_batch_larger_than_the_data(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["train", "--batch-size", "1438", "--out", str(tmp_path)]) == 2
        assert "--batch-size 1438: there are 1437 training images" in capsys.readouterr().err

    def test_refuses_a_file_for_a_folder(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "file").touch()
        assert main(["train", "--out", str(tmp_path / "file")]) == 2
        assert re.fullmatch(r"rmsprop train: error: .*/file'\n", capsys.readouterr().err)

    @pytest.mark.parametrize("package", ["autograd", "matplotlib", "rich", "sklearn", "threadpoolctl"])
    def test_names_the_extra_that_is_missing(
        self, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ours = "rmsprop.cli._"
        for module in [name for name in sys.modules if f"{name}.".startswith((f"{package}.", ours))]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setattr(sys, "meta_path", [Missing(package), *sys.meta_path])
        try:
            assert main(["train", *SMALL, "--epochs", "1", "--out", str(tmp_path)]) == 2
        finally:
            # A module is kept by its package too: let nobody find the one made here.
            monkeypatch.undo()
            for name, module in sys.modules.items():
                if name.startswith(ours):
                    setattr(rmsprop.cli, name.rpartition(".")[2], module)
        captured = capsys.readouterr()
        remedy = 'pip install ".[cli]" in the folder of rmsprop\'s sources'
        expected = f"rmsprop train: error: needs the package {package}: {remedy}\n"
        assert (captured.out, captured.err) == ("", expected)
        assert list(tmp_path.iterdir()) == []

    def test_help_loads_nothing_heavy(self) -> None:
        code = "import sys, rmsprop.cli; rmsprop.cli.main([]); print(*sys.modules)"
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        loaded = {name.partition(".")[0] for name in shown.splitlines()[-1].split()}
        heavy = {"autograd", "jax", "matplotlib", "numba", "rich", "scipy", "sklearn", "tensorflow", "torch"}
        assert loaded.isdisjoint(heavy)

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="0"):
            main(["--version"])
        assert re.fullmatch(r"rmsprop \d+\.\d+\S*\n", capsys.readouterr().out)
