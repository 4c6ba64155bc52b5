"""How long conversion takes beside `load_dataset("imagefolder").save_to_disk` on the same images, and its memory.

python -m tests.benchmarks.convert [FOLDER] [--rounds 3] [--times 1]

Each round runs all contestants one after the other in fresh processes; what is printed are medians and their ratios.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from tests.conftest import KERMANY

IMAGEFOLDER = """
import sys
from datasets import load_dataset
load_dataset("imagefolder", data_dir=sys.argv[1], cache_dir=sys.argv[2] + "/cache").save_to_disk(sys.argv[2] + "/saved")
"""


def commands(folder: Path, output: Path) -> dict[str, list[str]]:
    """What is compared, the yardstick first."""
    convert = ["-m", "hub.convert", str(folder), "--output", str(output / "out")]
    return {
        "imagefolder + save_to_disk": ["-c", IMAGEFOLDER, str(folder), str(output)],
        "hub.convert --no-audit": [*convert, "--no-audit"],
        "hub.convert": convert,
    }


def run(command: list[str]) -> tuple[float, float]:
    """Seconds and peak memory (MiB) of a fresh Python process."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def multiplied(folder: Path, times: int, into: Path) -> Path:
    """`times` different crops of every JPEG image in a folder, which are not copies of each other."""
    for path in sorted(folder.rglob("*.jpeg")):
        with Image.open(path) as image:
            width, height = image.size
            for copy in range(times):
                target = into / path.relative_to(folder).with_stem(f"{path.stem}-{copy}")
                target.parent.mkdir(parents=True, exist_ok=True)
                left, top = width * copy // (4 * times), height * (copy * 3 % times) // (4 * times)
                image.crop((left, top, left + width * 3 // 4, top + height * 3 // 4)).save(target, quality=90)
    return into


def main() -> None:
    """Command line of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=KERMANY / "chest_xray")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--times", type=int, default=1, help="this many cut-outs of every image, for size")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder if args.times == 1 else multiplied(args.folder, args.times, Path(scratch) / "source")
        measured: dict[str, list[tuple[float, float]]] = {}
        for _ in range(args.rounds):
            for name, command in commands(folder, Path(scratch) / "work").items():
                measured.setdefault(name, []).append(run(command))
                shutil.rmtree(Path(scratch) / "work", ignore_errors=True)
    yardstick = statistics.median(seconds for seconds, _ in next(iter(measured.values())))
    print(f"{sum(path.is_file() for path in args.folder.rglob('*')) * args.times:,} files, {args.rounds} rounds")
    for name, runs in measured.items():
        seconds = statistics.median(run[0] for run in runs)
        print(
            f"{name:28} {seconds:6.2f} s   ratio {seconds / yardstick:.2f}   peak {max(run[1] for run in runs):.0f} MiB"
        )


if __name__ == "__main__":
    main()
