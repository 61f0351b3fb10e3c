"""How many threads a step may use: the environment, a framework's own number, processors and control groups."""

import os
import sys

import pytest

from rmsprop._core import switches
from rmsprop._core.switches import allowed_by_groups, default_threads, processors

NEW, OLD = "0::/pod/box\n", "4:memory:/pod\n3:cpu,cpuacct:/pod/box\n0::/\n"


def files(root, groups, **limits):
    """Write files as Linux has them below /: limits are named by the folders of groups."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in limits.items():
        folder = root / "sys/fs/cgroup" / ("cpu" if groups is OLD else "") / name.replace("_", "/").strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        if groups is OLD:
            for one, number in zip(("quota", "period"), text.split(), strict=True):
                (folder / f"cpu.cfs_{one}_us").write_text(number + "\n")
        else:
            (folder / "cpu.max").write_text(text + "\n")
    return root


@pytest.mark.parametrize("groups", [NEW, OLD], ids=["new", "old"])
@pytest.mark.parametrize(
    ("limits", "allowed"),
    [
        ({}, None),
        ({"pod_box": "300000 100000"}, 3),
        ({"pod_box": "250000 100000"}, 3),
        ({"pod_box": "1000 100000"}, 1),
        ({"pod_box": "400000 100000", "pod": "200000 100000"}, 2),
        ({"pod_box": "-1 100000"}, None),
        ({"pod_box": "max 100000", "pod": "500000 100000"}, 5),
        ({"_": "700000 100000"}, 7),  # a container, which sees the path outside of it
        ({"pod_box": "nonsense 1"}, None),
    ],
    ids=str,
)
def test_limits_of_control_groups(groups, limits, allowed, tmp_path):
    assert allowed_by_groups(files(tmp_path, groups, **limits)) == (sys.maxsize if allowed is None else allowed)


def test_a_system_without_control_groups(tmp_path):
    assert allowed_by_groups(tmp_path / "nothing") == sys.maxsize
    files(tmp_path, "nonsense\n:\n\n", pod="100000 100000")
    assert allowed_by_groups(tmp_path) == sys.maxsize


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a system without the affinity of processes")
def test_no_more_threads_than_processors_that_the_process_may_use(monkeypatch):
    monkeypatch.delenv("RMSPROP_NUM_THREADS", raising=False)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert (processors(), default_threads(), default_threads(5)) == (1, 1, 1)
    finally:
        os.sched_setaffinity(0, before)


def test_the_environment_then_the_framework_s_own_number_then_processors(monkeypatch):
    monkeypatch.setattr(switches, "processors", lambda: 4)
    monkeypatch.delenv("RMSPROP_NUM_THREADS", raising=False)
    assert [default_threads(), default_threads(3), default_threads(9), default_threads(0)] == [4, 3, 4, 1]
    monkeypatch.setenv("RMSPROP_NUM_THREADS", "6")
    assert [default_threads(), default_threads(3)] == [6, 6]
