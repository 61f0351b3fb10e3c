"""Files that are foreign or damaged: a ValueError that names the file, before memory is taken or anything changed."""

import copy
import json
import os
import struct

import numpy
import pytest
from processes import run

from rmsprop import RMSprop, schedules

TEXTS = {"rmsprop.format": "1", "rmsprop.iterations": "1", "rmsprop.config": json.dumps({"learning_rate": 0.25})}
W = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


def write(path, texts=(), tensors=None, size=16, header=None):
    """Write a file whose header is as it is told."""
    if header is None:
        header = {"__metadata__": TEXTS | dict(texts), **({"velocity/w": W} if tensors is None else tensors)}
        header = json.dumps({name: entry for name, entry in header.items() if entry is not None})
    data = header.encode() if isinstance(header, str) else header
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(data)) + data)
        file.truncate(8 + len(data) + size)


def built(**options):
    optimizer, arrays = RMSprop(0.5, jit_compile=False, **options), {"w": numpy.ones(4, numpy.float32)}
    optimizer.build(arrays)
    optimizer.iterations = 9
    return optimizer, arrays


def refused(path, match="", variables=False, **options):
    """Loading is a ValueError that names the file, and changes nothing."""
    optimizer, arrays = built(**options)
    before = copy.deepcopy((arrays, optimizer.variables))
    with pytest.raises(ValueError, match=match) as caught:
        optimizer.load(path, variables=variables)
    assert path.name in str(caught.value)
    assert len(str(caught.value)) < 10_000
    numpy.testing.assert_equal((arrays, optimizer.variables), before)
    assert (optimizer.iterations, optimizer.learning_rate) == (9, 0.5)


def test_what_write_makes_is_sound(tmp_path):
    write(tmp_path / "file")
    optimizer, _ = built()
    optimizer.load(tmp_path / "file")
    assert (optimizer.iterations, optimizer.learning_rate) == (1, 0.25)
    assert not optimizer.variables["velocity/w"].any()


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F4", "BF16", "F16", "I32", "BOOL", "C64", "nonsense"])
def test_state_of_another_type(tmp_path, dtype):
    size = {"F4": 2, "BF16": 8, "F16": 8, "I32": 16, "C64": 32}.get(dtype, 4)
    write(tmp_path / "file", tensors={"velocity/w": W | {"dtype": dtype, "data_offsets": [0, size]}}, size=size)
    refused(tmp_path / "file", r"velocity/w is \S+ \[4\], float32 \[4\] is needed")


def test_bfloat16_where_nobody_has_imported_its_package(tmp_path):
    optimizer, _ = built(slot_dtype="bfloat16")
    optimizer.save(tmp_path / "file")
    source = """
        import sys, numpy
        from rmsprop import RMSprop
        optimizer = RMSprop(jit_compile=False)
        optimizer.build({"w": numpy.ones(4, numpy.float32)})
        try:
            optimizer.load(sys.argv[1])
        except ValueError as error:
            print(error)
        assert "ml_dtypes" not in sys.modules
    """
    assert "velocity/w is bfloat16 [4], float32 [4] is needed" in run(source, tmp_path / "file")


COUNTS = [
    *(str(2**63), "1" + "0" * 30, "9" * 5000, "1.0", "1e3", "True", "", " 1", "1_0", "+1"),
    *("\N{ARABIC-INDIC DIGIT THREE}", "\N{SUPERSCRIPT TWO}"),
]
RATES = [
    *(True, "0.1", "", [0.1], [], {}, {"config": {}}, {"class_name": 3, "config": {}}),
    *(-1, float("nan"), float("inf"), 10**400),
]
CONFIGS = [
    *("[" * 100_000, '{"a":' * 100_000, "3", "null", '"x"', "[]", "", "{", "{}"),
    *('{"learning_rate": 1e999}', '{"learning_rate": ' + "9" * 5000 + "}"),
    *(json.dumps({"learning_rate": rate}) for rate in RATES),
]


@pytest.mark.parametrize(
    "texts",
    [{"rmsprop.iterations": text} for text in COUNTS] + [{"rmsprop.config": text} for text in CONFIGS],
    ids=lambda texts: str(texts)[:50],
)
def test_texts_that_nobody_can_have_written(tmp_path, texts):
    write(tmp_path / "file", texts)
    refused(tmp_path / "file", "damaged texts")


@pytest.mark.parametrize("rate", [1, 0, 0.125, None])
def test_learning_rates_that_are_none_of_ours_but_can_be_meant(tmp_path, rate):
    write(tmp_path / "file", {"rmsprop.config": json.dumps({"learning_rate": rate})})
    optimizer, _ = built()
    optimizer.load(tmp_path / "file")
    assert optimizer.learning_rate == (0.5 if rate is None else rate)
    assert type(optimizer.learning_rate) is float


class Odd(schedules.LearningRateSchedule):
    """A schedule whose config JSON cannot hold."""

    def __call__(self, step):
        return 0.5

    def get_config(self):
        return {"peak": numpy.float32(0.5), "of": {1, 2}}


def test_a_schedule_that_cannot_be_written_is_no_reason_to_lose_the_state(tmp_path):
    optimizer = RMSprop(Odd(), jit_compile=False)
    optimizer.build({"w": numpy.ones(4, numpy.float32)})
    optimizer.iterations = 3
    optimizer.save(tmp_path / "file")
    again, _ = built()
    again.load(tmp_path / "file")
    assert (again.iterations, again.learning_rate) == (3, 0.5)


@pytest.mark.parametrize(
    "header",
    [
        "", "{", "[]", "3", "null", '"x"', "[" * 100_000, '{"a":' * 100_000, b"\xff{}", b"\x00" * 8,
        json.dumps({"__metadata__": 3}), json.dumps({"__metadata__": {"rmsprop.format": 1}}),
        json.dumps({"__metadata__": ["rmsprop.format"]}), json.dumps({"__metadata__": None}),
        *(json.dumps({"__metadata__": TEXTS, "velocity/w": entry}) for entry in (
            3, None, [], {}, {**W, "dtype": 3}, {**W, "shape": None}, {**W, "shape": 4}, {**W, "shape": [-4]},
            {**W, "shape": [4.0]}, {**W, "shape": ["4"]}, {**W, "shape": [True]}, {**W, "shape": [2]},
            {**W, "data_offsets": [0]}, {**W, "data_offsets": [16, 0]}, {**W, "data_offsets": [-16, 0]},
            {**W, "data_offsets": [0, 2**70]}, {**W, "data_offsets": [16, 32]}, {**W, "data_offsets": "ab"},
            {**W, "shape": [2**62, 2**62]}, {"shape": [4], "data_offsets": [0, 16]},
        )),
        json.dumps({"__metadata__": TEXTS, "velocity/w": W, "velocity/x": W}),
        json.dumps({"__metadata__": TEXTS, "velocity/w": W})[:-1] + ', "velocity/w": ' + json.dumps(W) + "}",
    ],
    ids=lambda header: str(header)[-60:],
)  # fmt: skip
def test_headers_that_nobody_can_have_written(tmp_path, header):
    write(tmp_path / "file", header=header)
    refused(tmp_path / "file", "is not a checkpoint, or is damaged")


@pytest.mark.parametrize(
    "data", [b"", b"\x01", b"\xff" * 8, b"\xff" * 100, struct.pack("<Q", 10**8) + b"{}", b"x" * 5000]
)
def test_files_of_something_else(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    refused(tmp_path / "file", "is not a checkpoint, or is damaged")


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_files_of_another_length(tmp_path, size):
    write(tmp_path / "file", size=size)
    refused(tmp_path / "file", "is not a checkpoint, or is damaged")


def test_many_differences_are_not_all_listed(tmp_path):
    tensors = {f"velocity/{i:06}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(20_000)}
    write(tmp_path / "file", tensors=tensors, size=0)
    refused(tmp_path / "file", "does not fit this optimizer(.|\n)* more$")


GROWTH = """
    import resource, sys, numpy
    from rmsprop import RMSprop
    optimizer = RMSprop(jit_compile=False)
    optimizer.build({"w": numpy.ones(4, numpy.float32)})
    optimizer.save(sys.argv[1] + ".small")
    optimizer.load(sys.argv[1] + ".small")
    if sys.argv[2] == "limited":
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28), used + (1 << 28)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        optimizer.load(sys.argv[1])
        print("loaded", end=" ")
    except ValueError as error:
        print("refused", end=" ")
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024 < 50)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="Linux alone tells how much is used")
@pytest.mark.parametrize("memory", ["unlimited", "limited"])
@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("velocity/other", [750_000_000], "refused"),
        ("velocity/w", [750_000_000], "refused"),
        ("other", [750_000_000], "refused"),
        ("variable/other", [750_000_000], "loaded"),  # which was not asked for
    ],
)
def test_what_does_not_fit_takes_no_memory(tmp_path, memory, name, shape, said):
    """A sparse file of 3 GB that lies in 4 kB of disk."""
    big = {"dtype": "F32", "shape": shape, "data_offsets": [16, 16 + 3_000_000_000]}
    small = {"velocity/w" if name != "velocity/w" else "velocity/v": W}
    write(tmp_path / "file", tensors={**small, name: big}, size=16 + 3_000_000_000)
    assert run(GROWTH, tmp_path / "file", memory) == f"{said} True"
