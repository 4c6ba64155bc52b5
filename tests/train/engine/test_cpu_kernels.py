"""What train.engine.cpu_kernels changes, and what it must not."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from train.engine.cpu_kernels import avoid_slow_kernels

FAULTS = """
import resource
from train.engine.cpu_kernels import keep_freed_memory
if {kept}:
    keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(64 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def depthwise(stride: int = 2, kernel: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=8))


def in_bf16(net: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return net(pixels.bfloat16())


@pytest.mark.parametrize(("stride", "kernel"), [(2, 3), (1, 5)])
def test_a_slow_convolution_computes_in_fp32_and_answers_in_the_precision_of_its_input(stride, kernel):
    net, pixels = depthwise(stride, kernel), torch.rand(2, 8, 9, 9)
    exact = net(pixels.bfloat16().float())
    avoid_slow_kernels(net)
    found = in_bf16(net, pixels)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, exact.bfloat16())
    found.float().sum().backward()
    assert net[0].weight.grad.dtype == torch.float32


def test_nothing_changes_in_fp32_or_for_other_convolutions():
    plain = nn.Sequential(nn.Conv2d(8, 8, 3, 2), nn.Conv2d(8, 8, 3, groups=8))
    pixels = torch.rand(2, 8, 15, 15)
    before = in_bf16(plain, pixels)
    avoid_slow_kernels(plain)
    assert torch.equal(in_bf16(plain, pixels), before)
    net = depthwise()
    before, names = net(pixels), list(net.state_dict())
    avoid_slow_kernels(net)
    assert torch.equal(net(pixels), before)
    assert list(net.state_dict()) == names


def test_a_copy_uses_its_own_weights():
    net = depthwise()
    avoid_slow_kernels(net)
    twin = copy.deepcopy(net)
    nn.init.zeros_(twin[0].weight)
    nn.init.zeros_(twin[0].bias)
    pixels = torch.rand(1, 8, 9, 9)
    assert not twin(pixels).any()
    assert net(pixels).any()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_freed_memory_is_not_mapped_anew():
    counts = {}
    for kept in (False, True):
        done = subprocess.run(
            [sys.executable, "-c", FAULTS.format(kept=kept)], capture_output=True, text=True, check=True
        )
        counts[kept] = int(done.stdout)
    assert counts[True] < counts[False] / 10
