"""Triton before 3.6 flushes subnormal numbers on CUDA devices, so its kernels are not used."""

import sys
import types

import pytest
import torch

from rmsprop._core.options import Options
from rmsprop._torch import devices


@pytest.fixture
def with_triton(monkeypatch):
    """Gives a function that puts a version of Triton, and a CUDA engine which can be loaded, in the place of both."""

    def install(version):
        engine = types.ModuleType("rmsprop._torch.cuda")
        monkeypatch.setitem(sys.modules, "triton", types.SimpleNamespace(__version__=version))
        monkeypatch.setitem(sys.modules, engine.__name__, engine)
        monkeypatch.setattr("rmsprop._torch.cuda", engine, raising=False)
        return engine

    asked = devices._version, devices.cuda_module, devices.against_triton, devices._tell_of_old_triton
    for one in asked:
        one.cache_clear()
    yield install
    for one in asked:
        one.cache_clear()


def against(monkeypatch, **warns):
    """What speaks against the kernels for a tensor on a CUDA device."""
    monkeypatch.setattr(devices, "against_plain", lambda tensor: "")
    there = types.SimpleNamespace(device=torch.device("cuda"))
    return devices.against_cuda(there, there, Options(), **warns)


@pytest.mark.parametrize("version", ["3.5.1", "3.5.0+git7416ffcb", "2.9", "3.2.0"])
def test_an_older_triton_is_not_used_and_that_is_said_once(with_triton, monkeypatch, version):
    with_triton(version)
    reason = f"Triton {version} is older than 3.6"
    assert against(monkeypatch, warns=False) == reason
    match = f"Triton {version.partition('+')[0]}.*subnormal.*torch's own operations.*3.6 or newer"
    with pytest.warns(UserWarning, match=match):
        assert against(monkeypatch) == reason
    assert against(monkeypatch) == reason


def test_a_folder_of_that_name_is_none(with_triton, monkeypatch):
    with_triton("3.6.0")
    monkeypatch.setitem(sys.modules, "triton", types.ModuleType("triton"))
    assert against(monkeypatch) == "Triton is not installed"


@pytest.mark.parametrize("version", ["3.6.0", "3.10.0", "4.0.0+git1", "of one's own"])
def test_others_are(with_triton, monkeypatch, version):
    engine = with_triton(version)
    assert against(monkeypatch) == ""
    assert devices.cuda_module() is engine
