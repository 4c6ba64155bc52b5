"""Two things that slow training on a CPU down, and the way around them (measured by tests/benchmarks/train.py)."""

import ctypes
from contextlib import suppress

import torch
from torch import Tensor, nn

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Have malloc reuse the memory of activations instead of giving it back to the system after each use.

    Otherwise every step maps hundreds of MiB again, and the system clears each page first. Without glibc
    nothing happens.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_MAX, 0)
        ctypes.CDLL(None).mallopt(M_TRIM_THRESHOLD, -1)  # never


class _Fp32Conv2d(nn.Conv2d):
    """A convolution that computes in fp32 whatever its input is; its output has the input's precision."""

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float()).to(input.dtype)


def avoid_slow_kernels(model: nn.Module) -> None:
    """Make the model's depthwise convolutions compute in fp32 where the CPU's bf16 kernel is slow, in place.

    oneDNN's backward pass of a depthwise convolution is optimised in bf16 for 3x3 with stride 1 alone. With stride 2 it
    takes 6 to 40 times as long as in fp32 (torch 2.15, AVX512-BF16), which is a quarter of MobileNetV2's whole step.

    Args:
        model: Any model; weights, names and what is saved stay the same.
    """
    for module in model.modules():
        if type(module) is not nn.Conv2d or module.groups == 1 or module.groups != module.in_channels:
            continue
        if module.stride != (1, 1) or module.kernel_size != (3, 3):
            module.__class__ = _Fp32Conv2d  # not a new forward on the instance: copies must call their own weights
