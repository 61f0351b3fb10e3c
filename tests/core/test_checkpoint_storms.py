"""Damage of many kinds, kills and full disks: the old file, the new one, or a refusal."""

import copy
import json
import os
import random
import signal
import struct

import numpy
import pytest
from processes import run
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from rmsprop import RMSprop

EVERYTHING = {"momentum": 0.5, "centered": True, "use_ema": True}


def built():
    optimizer, arrays = RMSprop(0.5, jit_compile=False, **EVERYTHING), {"w": numpy.ones(4, numpy.float32)}
    optimizer.build(arrays)
    optimizer.iterations = 9
    return optimizer, arrays


def in_order(data):
    """Return a file with its header's names in alphabetical order, so that damage hits the same places in every run.

    safetensors writes the texts of the metadata in another order each time.
    """
    length = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data[length:]


def damages(data, count):
    """Give damaged copies of a file, most of them in its header."""
    dice = random.Random(0)
    length = 8 + int.from_bytes(data[:8], "little")
    pieces = [
        b"",
        b"0",
        b"9",
        b"-",
        b"null",
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b",",
        b":",
        b"1e9",
        b"F64",
        b"true",
        b"\\",
        b"\xff",
    ]
    for _ in range(count):
        damaged = bytearray(data)
        end = length if dice.random() < 0.8 else len(data)
        match dice.randrange(6):
            case 0:
                del damaged[dice.randrange(len(damaged)) :]
            case 1:
                damaged[dice.randrange(end)] ^= 1 << dice.randrange(8)
            case 2:
                for _ in range(dice.randrange(1, 20)):
                    damaged[dice.randrange(end)] = dice.randrange(256)
            case 3:
                at = dice.randrange(8, end)
                damaged[at : at + dice.randrange(4)] = dice.choice(pieces)
            case 4:
                at, other = sorted(dice.randrange(end) for _ in range(2))
                damaged[at : at + dice.randrange(60)] = damaged[other : other + dice.randrange(60)]
            case 5:
                # An edited header of the right length, so that what is behind the first check is reached.
                at = dice.randrange(8, length)
                damaged[at : at + dice.randrange(8)] = dice.choice(pieces)
                damaged[:8] = struct.pack("<Q", length - 8 + len(damaged) - len(data))
        yield bytes(damaged)


def check_damaged(folder, count):
    """Each damaged file is refused and changes nothing, or gives the numbers that the format's own reader finds."""
    optimizer, arrays = built()
    for slot in optimizer.variables.values():
        slot[...] = numpy.arange(slot.size).reshape(slot.shape)
    path = folder / "file"
    optimizer.save(path, variables=True, metadata={"epoch": "3"})
    data, loaded = in_order(path.read_bytes()), 0
    for damaged in damages(data, count):
        path.write_bytes(damaged)
        optimizer, arrays = built()
        before = copy.deepcopy((arrays, optimizer.variables))
        try:
            texts = optimizer.load(path, variables=True)
        except ValueError as error:
            said = str(error)
        else:
            said = None
        if said is not None:
            assert str(path) in said
            numpy.testing.assert_equal((arrays, optimizer.variables), before)
            assert (optimizer.iterations, optimizer.learning_rate) == (9, 0.5)
            continue
        loaded += 1
        with safe_open(path, framework="np") as file:
            kept = file.metadata()
        found, state = load_file(path), optimizer.variables
        assert state.pop("iterations") == optimizer.iterations == int(kept["rmsprop.iterations"])
        numpy.testing.assert_equal(state | {f"variable/{name}": array for name, array in arrays.items()}, found)
        assert optimizer.learning_rate == json.loads(kept["rmsprop.config"])["learning_rate"]
        assert texts == {name: text for name, text in kept.items() if not name.startswith("rmsprop.")}
    return loaded


def test_damaged_files_are_refused_or_read_as_they_are(tmp_path):
    assert 3 < check_damaged(tmp_path, 800) < 400


@pytest.mark.slow
def test_thousands_of_damaged_files(tmp_path):
    assert 150 < check_damaged(tmp_path, 13_000) < 6_500


@pytest.mark.slow
def test_files_cut_anywhere(tmp_path):
    optimizer, _ = built()
    path = tmp_path / "file"
    optimizer.save(path, metadata={"epoch": "3"})
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="is not a checkpoint, or is damaged"):
            optimizer.load(path)
        with pytest.raises(SafetensorError):
            load_file(path)


# Kills and full disks -------------------------------------------------------------------------------------------------

KILLS = """
    import os, random, signal, sys, time, numpy
    from rmsprop import RMSprop

    folder, kills = sys.argv[1], int(sys.argv[2])
    path, dice, drafts = folder + "/run", random.Random(1), 0
    optimizer = RMSprop(jit_compile=False, momentum=0.5)
    optimizer.build([numpy.zeros(500_000, numpy.float32)])

    def write(number):
        optimizer.iterations = number
        for slot in ("velocity/0", "momentum/0"):
            optimizer.variables[slot].fill(number)
        optimizer.save(path)

    for kill in range(kills):
        write(1)  # imports what `save` does, too
        told, tell = os.pipe()
        child = os.fork()
        while child == 0:
            write(optimizer.iterations + 1)
            os.write(tell, b".")
        os.close(tell)
        os.read(told, 1)
        time.sleep(dice.random() * 0.03)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        least = 2 + len(os.read(told, 10_000))
        os.close(told)
        optimizer.load(path)
        assert optimizer.iterations in (least, least + 1), (optimizer.iterations, least)
        for slot in ("velocity/0", "momentum/0"):
            assert (optimizer.variables[slot] == optimizer.iterations).all()
        for name in set(os.listdir(folder)) - {"run"}:
            os.unlink(folder + "/" + name)
            drafts += 1
    print(drafts)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows forks no process")
@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_whoever_is_killed_within_save_leaves_a_whole_file(tmp_path, kills):
    """It is the last one that was saved for sure, or the one after."""
    drafts = int(run(KILLS, tmp_path, kills))
    assert drafts >= kills // 10, "hardly a kill came within save"


FULL = """
    import os, resource, signal, sys, numpy
    from rmsprop import RMSprop
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    optimizer = RMSprop(jit_compile=False)
    optimizer.build([numpy.ones(100_000, numpy.float32)])
    path = sys.argv[1] + "/run"
    optimizer.save(path)
    old = open(path, "rb").read()
    optimizer.iterations = 7
    for limit in map(int, sys.argv[2:]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            optimizer.save(path)
        except OSError as error:
            print(error.errno, end=" ")
        assert open(path, "rb").read() == old
        assert os.listdir(sys.argv[1]) == ["run"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    optimizer.save(path)
    optimizer.iterations = 0
    optimizer.load(path)
    print(optimizer.iterations, os.listdir(sys.argv[1]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="Windows has no limit of a file's size")
def test_a_full_disk_leaves_the_old_file(tmp_path):
    limits = [0, 1, 500, 4096, 65_536, 399_999, 400_000]
    assert run(FULL, tmp_path, *limits) == f"{'27 ' * len(limits)}7 ['run']"
