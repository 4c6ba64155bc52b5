"""What the machine offers: threads and precision."""

import os

import torch

from space.errors import UsageError


def use_all_cores() -> int:
    """Give this process its share of the usable cores; returns the number of threads.

    On CPU accelerate's launcher sets OMP_NUM_THREADS=1, which halves the speed on two cores.
    """
    threads = max(1, len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
    torch.set_num_threads(threads)
    return threads


def mixed_precision(wanted: str, device: torch.device) -> str:
    """Choose accelerate's mixed precision.

    Args:
        wanted: A recipe's `precision`.
        device: Where training runs.

    Returns:
        "no" (fp32), "bf16" or "fp16"; for "auto" bf16 where the processor computes in it.

    Raises:
        UsageError: fp16 on a CPU, where accelerate would silently train in fp32.
    """
    if wanted == "fp16" and device.type == "cpu":
        raise UsageError('precision = "fp16" needs a GPU; on a CPU use "auto", "bf16" or "fp32".')
    if wanted != "auto":
        return {"fp32": "no"}.get(wanted, wanted)
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    cpu = torch.cpu.get_capabilities()
    return "bf16" if cpu.get("avx512_bf16") or cpu.get("amx_bf16") else "no"
