"""Saving and loading: bit-exact, refused with the differences listed, never half-written."""

import copy
import json
import os
import signal
import subprocess
import sys
import time

import ml_dtypes
import numpy
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from rmsprop import RMSprop, schedules

EVERYTHING = {"momentum": 0.9, "centered": True, "weight_decay": 0.01, "use_ema": True, "ema_overwrite_frequency": 5}


def variables(dtype=numpy.float32):
    random = numpy.random.default_rng(0)
    return {
        "a/kernel": random.normal(size=(3, 4)).astype(dtype),
        "number": numpy.array(random.normal(), dtype),
        "empty": numpy.zeros((0, 2), dtype),
        "fortran": numpy.asfortranarray(random.normal(size=(3, 4)).astype(dtype)),
    }


def step(optimizer, arrays, seed):
    random = numpy.random.default_rng(seed)
    gradients = [random.normal(size=array.shape).astype(array.dtype) for array in arrays.values()]
    optimizer.apply_gradients(zip(gradients, arrays.values(), strict=True))


def trained(steps=7, dtype=numpy.float32, **options):
    arrays, optimizer = variables(dtype), RMSprop(**(options or EVERYTHING))
    optimizer.build(arrays)
    for seed in range(steps):
        step(optimizer, arrays, seed)
    return optimizer, arrays


def same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        numpy.testing.assert_array_equal(array, other[name], err_msg=name)


@pytest.mark.matrix(1)
@pytest.mark.parametrize("dtype", [numpy.float16, ml_dtypes.bfloat16, numpy.float32, numpy.float64])
def test_a_run_goes_on_bit_exactly(tmp_path, dtype):
    optimizer, arrays = trained(7, dtype)
    optimizer.save(tmp_path / "c.safetensors", variables=True, metadata={"epoch": "3"})
    fresh = variables(dtype)
    resumed = RMSprop(**EVERYTHING)
    resumed.build(fresh)
    assert resumed.load(tmp_path / "c.safetensors", variables=True) == {"epoch": "3"}
    same(fresh, arrays)
    same(resumed.variables, optimizer.variables)
    for seed in (20, 21, 22):
        step(optimizer, arrays, seed)
        step(resumed, fresh, seed)
    same(fresh, arrays)


def test_the_file_is_plain_safetensors(tmp_path):
    optimizer, _arrays = trained()
    optimizer.save(tmp_path / "c.safetensors")
    found = load_file(tmp_path / "c.safetensors")
    assert set(found) == {name for name in optimizer.variables if name != "iterations"}
    numpy.testing.assert_array_equal(found["momentum/a/kernel"], optimizer.variables["momentum/a/kernel"])


def test_slots_keep_their_arrays(tmp_path):
    optimizer, _arrays = trained()
    optimizer.save(tmp_path / "c")
    before = optimizer.variables
    optimizer.load(tmp_path / "c")
    assert all(optimizer.variables[name] is array for name, array in before.items() if name != "iterations")


def test_the_learning_rate_is_resumed_unless_a_schedule_rules(tmp_path):
    optimizer, _arrays = trained(learning_rate=0.5)
    optimizer.learning_rate = 0.125
    optimizer.save(tmp_path / "c")
    again, _ = trained(learning_rate=0.5)
    again.load(tmp_path / "c")
    assert again.learning_rate == 0.125
    schedule = schedules.ExponentialDecay(1.0, 1, 0.5)
    ruled, _ = trained(learning_rate=schedule)
    ruled.load(tmp_path / "c")
    assert ruled.learning_rate == 0.5**7
    ruled.save(tmp_path / "c")
    again.load(tmp_path / "c")
    assert again.learning_rate == 0.125


def test_a_function_as_learning_rate_is_no_reason_to_lose_the_state(tmp_path):
    optimizer, _arrays = trained(learning_rate=lambda step: 0.5)
    optimizer.save(tmp_path / "c")
    again, _ = trained(learning_rate=0.25)
    again.load(tmp_path / "c")
    assert again.learning_rate == 0.25
    same(again.variables, optimizer.variables)


# Refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "names", "lines"),
    [
        ({"momentum": 0.9}, None, ["momentum/number is missing, float32 [] is needed"]),
        (
            {"centered": True, "momentum": 0.5},
            None,
            ["momentum/a/kernel is missing", "average_gradient/a/kernel is mis"],
        ),
        ({"slot_dtype": "float64"}, None, ["velocity/number is float32 [], float64 [] is needed"]),
        (
            {},
            {"a/kernel": "b/kernel"},
            ["velocity/b/kernel is missing", "velocity/a/kernel is not needed, the file hol"],
        ),
        ({}, {"number": None}, ["velocity/number is not needed, the file holds float32 []"]),
    ],
)
@pytest.mark.matrix(3)
def test_what_does_not_fit_is_listed_and_changes_nothing(tmp_path, options, names, lines):
    saved, _ = trained(rho=0.9)
    saved.save(tmp_path / "c")
    arrays = {(names or {}).get(name, name): array for name, array in variables().items()}
    arrays.pop(None, None)
    optimizer = RMSprop(0.5, **options)
    optimizer.build(arrays)
    step(optimizer, arrays, 3)
    before = copy.deepcopy((arrays, optimizer.variables))
    with pytest.raises(ValueError, match="does not fit this optimizer") as caught:
        optimizer.load(tmp_path / "c")
    for line in lines:
        assert line in str(caught.value)
    same(arrays, before[0])
    same(optimizer.variables, before[1])
    assert optimizer.learning_rate == 0.5


def test_a_momentum_state_is_not_loaded_into_a_centered_optimizer(tmp_path):
    """They have as many tensors of the same shapes: by position the one would load as the other."""
    momentum, _ = trained(momentum=0.9)
    momentum.save(tmp_path / "c")
    centered, _ = trained(centered=True)
    with pytest.raises(ValueError, match="average_gradient/a/kernel is missing.*\n.*") as caught:
        centered.load(tmp_path / "c")
    assert "momentum/a/kernel is not needed" in str(caught.value)


def test_another_shape_is_refused(tmp_path):
    saved, _ = trained()
    saved.save(tmp_path / "c")
    optimizer = RMSprop(**EVERYTHING)
    optimizer.build(variables() | {"number": numpy.zeros(1, numpy.float32)})
    with pytest.raises(ValueError, match=r"velocity/number is float32 \[\], float32 \[1\] is needed"):
        optimizer.load(tmp_path / "c")


def test_variables_that_the_file_lacks_are_refused(tmp_path):
    optimizer, _ = trained()
    optimizer.save(tmp_path / "c")
    with pytest.raises(ValueError, match="variable/a/kernel is missing"):
        optimizer.load(tmp_path / "c", variables=True)


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    optimizer, _ = trained()
    with pytest.raises(FileNotFoundError, match="there is no checkpoint '.*nothing'"):
        optimizer.load(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="'.*text' is not a checkpoint, or is damaged"):
        optimizer.load(tmp_path / "text")
    save_file({"x": numpy.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(ValueError, match="'.*foreign' is a safetensors file, but not a checkpoint"):
        optimizer.load(tmp_path / "foreign")
    optimizer.save(tmp_path / "cut")
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-10])
    with pytest.raises(ValueError, match="'.*cut' is not a checkpoint, or is damaged"):
        optimizer.load(tmp_path / "cut")


def damaged(path, **texts):
    """Change texts of a checkpoint's header; None removes one."""
    with safe_open(path, framework="np") as file:
        kept = file.metadata() | {f"rmsprop.{name}": text for name, text in texts.items()}
    save_file(load_file(path), path, metadata={name: text for name, text in kept.items() if text is not None})


@pytest.mark.parametrize(
    "texts",
    [
        {"config": "{}"}, {"config": "{"}, {"config": None}, {"config": '{"learning_rate": -1.0}'}, {"config": "[]"},
        {"iterations": "-5"}, {"iterations": "x"}, {"iterations": None},
    ],
    ids=str,
)  # fmt: skip
def test_damaged_texts_are_refused_and_change_nothing(tmp_path, texts):
    optimizer, arrays = trained()
    optimizer.save(tmp_path / "c", variables=True)
    step(optimizer, arrays, 50)
    damaged(tmp_path / "c", **texts)
    before = copy.deepcopy((arrays, optimizer.variables))
    with pytest.raises(ValueError, match=r"c' is a checkpoint with damaged texts"):
        optimizer.load(tmp_path / "c", variables=True)
    same(arrays, before[0])
    same(optimizer.variables, before[1])


def test_a_variable_that_cannot_be_written_to_is_noticed_before_anything_is(tmp_path):
    optimizer, arrays = trained()
    optimizer.save(tmp_path / "c", variables=True)
    step(optimizer, arrays, 50)
    arrays["fortran"].flags.writeable = False
    before = copy.deepcopy((arrays, optimizer.variables))
    with pytest.raises(ValueError, match="'fortran' has become read-only"):
        optimizer.load(tmp_path / "c", variables=True)
    same(arrays, before[0])
    same(optimizer.variables, before[1])


def test_saving_needs_variables_and_a_folder(tmp_path):
    with pytest.raises(ValueError, match=r"save needs the variables: call build"):
        RMSprop().save(tmp_path / "c")
    with pytest.raises(ValueError, match=r"load needs the variables: call build"):
        RMSprop().load(tmp_path / "c")
    optimizer, _ = trained()
    with pytest.raises(OSError, match="nowhere"):
        optimizer.save(tmp_path / "nowhere" / "c")
    with pytest.raises(ValueError, match=r"metadata has the name 'rmsprop\.x'"):
        optimizer.save(tmp_path / "c", metadata={"rmsprop.x": ""})
    with pytest.raises(TypeError, match="metadata has 'epoch': 3"):
        optimizer.save(tmp_path / "c", metadata={"epoch": 3})
    assert list(tmp_path.iterdir()) == []


# Atomicity ------------------------------------------------------------------------------------------------------------


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    optimizer, arrays = trained()
    optimizer.save(tmp_path / "c")
    old = (tmp_path / "c").read_bytes()
    step(optimizer, arrays, 99)

    def full(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        optimizer.save(tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["c"]


SAVING = """
import sys, numpy
from rmsprop import RMSprop
w = numpy.zeros(2_000_000, numpy.float32)
optimizer = RMSprop(jit_compile=False, momentum=0.9)
optimizer.build([w])
while True:
    optimizer.iterations += 1
    optimizer.variables["velocity/0"].fill(optimizer.iterations)
    optimizer.variables["momentum/0"].fill(optimizer.iterations)
    optimizer.save(sys.argv[1])
    print(optimizer.iterations, flush=True)
"""


def test_a_killed_save_leaves_a_whole_file(tmp_path):
    path = tmp_path / "c"
    for attempt in range(8):
        process = subprocess.Popen([sys.executable, "-c", SAVING, path], stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        time.sleep(0.005 * attempt)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        optimizer = RMSprop(momentum=0.9)
        optimizer.build([numpy.zeros(2_000_000, numpy.float32)])
        optimizer.load(path)
        assert optimizer.iterations >= 1
        for slot in ("velocity/0", "momentum/0"):
            assert numpy.all(optimizer.variables[slot] == optimizer.iterations)
    # What the killed processes left goes with the next save, once it is old enough to be nobody's work.
    for draft in tmp_path.glob(".c.*"):
        os.utime(draft, (0, 0))
    optimizer.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["c"]


def test_processes_may_save_to_one_path(tmp_path):
    """Nobody should, but then every file that is found is the whole work of one of them."""
    path = tmp_path / "c"
    processes = [subprocess.Popen([sys.executable, "-c", SAVING, path], stdout=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        process.stdout.readline()
    optimizer = RMSprop(momentum=0.9)
    optimizer.build([numpy.zeros(2_000_000, numpy.float32)])
    for _ in range(10):
        optimizer.load(path)
        assert numpy.all(optimizer.variables["velocity/0"] == optimizer.iterations)
        time.sleep(0.02)
    assert [process.poll() for process in processes] == [None, None]  # neither has failed
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither a umask nor symbolic links for everybody")
def test_the_file_has_the_usual_rights_and_links_stay_links(tmp_path):
    optimizer, _ = trained()
    (tmp_path / "link").symlink_to(tmp_path / "c")
    before = os.umask(0o027)
    try:
        optimizer.save(tmp_path / "link")
    finally:
        os.umask(before)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o640


def test_the_config_travels_with_the_state(tmp_path):
    optimizer, _ = trained()
    optimizer.save(tmp_path / "c")
    with safe_open(tmp_path / "c", framework="np") as file:
        texts = file.metadata()
    assert json.loads(texts["rmsprop.config"]) == optimizer.get_config()
    assert texts["rmsprop.iterations"] == "7"
