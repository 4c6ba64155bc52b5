import os

import pytest
import torch

from space.errors import UsageError
from train.engine.runtime import mixed_precision, use_all_cores

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_threads_are_shared_between_local_processes(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    try:
        for processes, threads in (("1", 8), ("4", 2), ("64", 1)):
            monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
            assert use_all_cores() == torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("capabilities", [{"avx2": True}, {"avx512_bf16": True}, {"amx_bf16": True}])
def test_auto_takes_bf16_where_the_processor_computes_in_it(monkeypatch, capabilities):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert mixed_precision("auto", CPU) == ("no" if "avx2" in capabilities else "bf16")


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "fp16")])
def test_a_gpu_without_bf16_takes_fp16(monkeypatch, has_bf16, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    assert mixed_precision("auto", GPU) == expected


def test_a_precision_that_is_asked_for_is_taken_except_fp16_on_a_cpu():
    assert [mixed_precision(name, CPU) for name in ("fp32", "bf16")] == ["no", "bf16"]
    assert mixed_precision("fp16", GPU) == "fp16"
    with pytest.raises(UsageError, match='precision = "fp16" needs a GPU'):
        mixed_precision("fp16", CPU)
