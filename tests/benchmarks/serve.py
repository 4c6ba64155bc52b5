"""How fast the web demo answers compared with the model alone, how it copes with 50 clients, and how fast it starts.

python -m tests.benchmarks.serve [--seconds 60] [--clients 50]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import numpy as np
from gradio_client import Client, handle_file
from PIL import Image

from space.imaging.xray import read_xray
from space.inference.classifier import Classifier
from tests.conftest import DEFAULT_MODEL
from tests.phantoms import draw_phantom
from tests.server import running_app
from train.data.find_images import find_images
from train.predict import predict

IMAGES, REQUESTS, BATCH = 20, 40, 200
IMPORTS = "import gradio"


def make_images(folder: Path) -> list[Path]:
    """Phantoms as PNG of about a megabyte each."""
    random = np.random.default_rng(0)
    paths = [folder / f"{number}.png" for number in range(IMAGES)]
    for number, path in enumerate(paths):
        image = np.asarray(draw_phantom(random, bool(number % 2), 1100, 1000)).astype(int)
        noisy = (image + random.integers(-24, 25, image.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(path)
    return paths


def make_archive(folder: Path) -> Path:
    """A zip of phantoms as small JPEG files."""
    random = np.random.default_rng(1)
    with zipfile.ZipFile(folder / "many.zip", "w") as archive:
        for number in range(BATCH):
            path = folder / f"{number}.jpg"
            draw_phantom(random, bool(number % 2), 300, 280).save(path, quality=92)
            archive.write(path, path.name)
    return folder / "many.zip"


def median_ms(work, n: int = REQUESTS) -> float:
    """Median time of a call in milliseconds, after three that do not count."""
    taken = []
    for number in range(n + 3):
        start = time.perf_counter()
        work(number)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[3:]) * 1000


def rate(work) -> float:
    """Images of a batch per second."""
    start = time.perf_counter()
    work()
    return BATCH / (time.perf_counter() - start)


def predict_all(classifier: Classifier, archive: Path) -> None:
    """Classify a zip as `train.predict` does."""
    with find_images(str(archive), classifier.labels) as (_, images):
        list(predict(classifier, images))


class Refused(Exception):
    """The server did not answer with probabilities, but with a reason."""


def ask(http: httpx2.Client, address: str, path: Path, *model: str) -> dict[str, float]:
    """Upload an image and have it classified by gradio, by plain HTTP; by which model, where several are served.

    Raises:
        Refused: The server is busy, or does not like the image.
    """
    with path.open("rb") as file:
        uploaded = http.post(f"{address}/gradio_api/upload", files={"files": (path.name, file)})
    data = [{"path": uploaded.json()[0], "meta": {"_type": "gradio.FileData"}}, False, *model]
    job = http.post(f"{address}/gradio_api/call/classify", json={"data": data})
    if job.status_code != 200:
        raise Refused(job.text)
    events = http.get(f"{address}/gradio_api/call/classify/{job.json()['event_id']}").text
    kind, answer = (line.partition(": ")[2] for line in events.strip().splitlines()[-2:])
    if kind != "complete":
        raise Refused(events)
    return json.loads(answer)[0]["probabilities"]


def memory_mib(address: str) -> float:
    """Resident memory of the server at an address of this machine."""
    port = address.rpartition(":")[2]
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if f"GRADIO_SERVER_PORT={port}".encode() in environment and b"app.py" in command:
                status = Path(f"/proc/{pid}/status").read_text()
                return int(status.partition("VmRSS:")[2].split()[0]) / 1024
        except OSError:
            continue
    raise RuntimeError("the server is gone")


def load(address: str, paths: list[Path], expected: list[dict], clients: int, seconds: float) -> None:
    """Have many clients ask at once, and hold every answer against what the image gets alone."""
    deadline = time.monotonic() + seconds

    def client(number: int) -> tuple[int, int, int, float]:
        right = wrong = refused = 0
        slowest = 0.0
        with httpx2.Client(timeout=120) as http:
            while time.monotonic() < deadline:
                index = (number + right) % len(paths)
                start = time.perf_counter()
                try:
                    answer = ask(http, address, paths[index])
                except Refused:
                    refused += 1
                    continue
                slowest = max(slowest, time.perf_counter() - start)
                same = all(abs(answer[label] - score) < 1e-4 for label, score in expected[index].items())
                right, wrong = right + same, wrong + (not same)
        return right, wrong, refused, slowest

    before = memory_mib(address)
    with ThreadPoolExecutor(clients) as pool:
        done = list(pool.map(client, range(clients)))
    right, wrong, refused = (sum(one[k] for one in done) for k in range(3))
    print(
        f"{clients} clients for {seconds:.0f} s: {right} right, {wrong} wrong, {refused} refused; slowest answer "
        f"{max(one[3] for one in done):.1f} s; memory {before:.0f} -> {memory_mib(address):.0f} MiB"
    )


def cold_start(path: Path) -> float:
    """Seconds from starting the process to its first answer, of the median of three."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        with running_app(real=True) as address, httpx2.Client(timeout=60) as http:
            ask(http, address, path)
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def import_time() -> float:
    """Seconds that the libraries take alone, of the median of three."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", IMPORTS], check=True)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    """Print times and ratios."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.serve")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=50)
    args = parser.parse_args()
    classifier = Classifier.load(DEFAULT_MODEL)
    with tempfile.TemporaryDirectory() as folder:
        paths = make_images(Path(folder))
        examined = [classifier.examine([read_xray(path, strict=True).image])[0] for path in paths]
        expected = [dict(zip(classifier.labels, one.probabilities.tolist(), strict=True)) for one in examined]
        bare = median_ms(lambda n: classifier.examine([read_xray(paths[n % IMAGES], strict=True).image]))
        image = read_xray(paths[0]).image
        forward = median_ms(lambda n: classifier.examine([image], guarded=False))
        guarded = median_ms(lambda n: classifier.examine([image]))
        print(
            f"resize, forward pass and Grad-CAM of all classes {forward:.1f} ms; with guard {guarded:.1f} ms = "
            f"{guarded / forward:.2f}"
        )
        archive = make_archive(Path(folder))
        with running_app(real=True) as address, httpx2.Client(timeout=60) as http:
            raw = median_ms(lambda n: ask(http, address, paths[n % IMAGES]))
            client = Client(address, verbose=False)
            through = median_ms(lambda n: client.predict(handle_file(str(paths[n % IMAGES])), api_name="/classify"))
            print(f"bare {bare:.1f} ms; raw HTTP {raw:.1f} ms = {raw / bare:.2f}; gradio_client {through:.1f} ms")
            several = [
                (
                    rate(lambda: predict_all(classifier, archive)),
                    rate(lambda: client.predict([handle_file(str(archive))], api_name="/batch")),
                )
                for _ in range(5)
            ]
            alone, served = (statistics.median(rates) for rates in zip(*several, strict=True))
            print(f"batch of {BATCH}: {served:.0f} images/s; train.predict, loaded, {alone:.0f}: {served / alone:.2f}")
            load(address, paths, expected, args.clients, args.seconds)
        start, imports = cold_start(paths[0]), import_time()
    print(f"cold start {start:.1f} s; `{IMPORTS}` {imports:.1f} s: ratio {start / imports:.2f}")


if __name__ == "__main__":
    main()
