"""How fast the web demo answers compared with the model alone, how it copes with 50 clients, and how fast it starts.

python -m tests.benchmarks.serve [--seconds 60] [--clients 50]
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
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


def medians_ms(*works: Callable[[int], object], n: int = REQUESTS) -> list[float]:
    """Median time of each call in milliseconds, after three that do not count; in turns, as other work disturbs all."""
    taken = [[] for _ in works]
    for number in range(n + 3):
        for work, times in zip(works, taken, strict=True):
            start = time.perf_counter()
            work(number)
            times.append(time.perf_counter() - start)
    return [statistics.median(times[3:]) * 1000 for times in taken]


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


def ask(http_client: httpx2.Client, address: str, path: Path, *model: str, anyway: bool = False) -> dict[str, float]:
    """Upload an image and have it classified by gradio, by plain HTTP; by which model, where several are served.

    Raises:
        Refused: The server is busy, or does not like the image.
    """
    with path.open("rb") as file:
        uploaded = http_client.post(f"{address}/gradio_api/upload", files={"files": (path.name, file)})
    data = [{"path": uploaded.json()[0], "meta": {"_type": "gradio.FileData"}}, anyway, *model]
    job = http_client.post(f"{address}/gradio_api/call/classify", json={"data": data})
    if job.status_code != 200:
        raise Refused(job.text)
    events = http_client.get(f"{address}/gradio_api/call/classify/{job.json()['event_id']}").text
    kind, answer = (line.partition(": ")[2] for line in events.strip().splitlines()[-2:])
    if kind != "complete":
        raise Refused(events)
    return json.loads(answer)[0]["probabilities"]


class Gradio:
    """One client of gradio's endpoint; see `ask`."""

    def __init__(self, address: str):
        self.address, self.http = address, httpx2.Client(timeout=120)

    def __call__(self, path: Path) -> dict[str, float]:
        return ask(self.http, self.address, path)


class Rest:
    """One client of the REST API, with a connection that stays open; costs the machine less than httpx would."""

    def __init__(self, address: str):
        self.connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=120)

    def __call__(self, path: Path) -> dict[str, float]:
        self.connection.request("POST", "/api/classify", path.read_bytes())
        response = self.connection.getresponse()
        content = json.loads(response.read())
        if response.status != 200:
            raise Refused(content["error"])
        return {entry["label"]: entry["score"] for entry in content}


class Server:
    """The process that serves at an address of this machine."""

    def __init__(self, address: str):
        port = f"GRADIO_SERVER_PORT={address.rpartition(':')[2]}".encode()
        self.folder = next(folder for folder in Path("/proc").glob("[0-9]*") if self._serves(folder, port))

    @staticmethod
    def _serves(folder: Path, port: bytes) -> bool:
        try:
            return port in (folder / "environ").read_bytes() and b"app.py" in (folder / "cmdline").read_bytes()
        except OSError:
            return False

    def memory_mib(self) -> float:
        """Resident memory."""
        return int((self.folder / "status").read_text().partition("VmRSS:")[2].split()[0]) / 1024

    def cpu_ms(self) -> float:
        """Processor time so far, which other work on the machine disturbs less than it does seconds."""
        fields = (self.folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def load(
    kind: type[Gradio | Rest], address: str, paths: list[Path], expected: list[dict], clients: int, seconds: float
) -> None:
    """Have many clients of a kind ask at once, and hold every answer against what the image gets alone."""
    deadline = time.monotonic() + seconds

    def client(number: int) -> tuple[int, int, int, float]:
        right = wrong = refused = 0
        slowest = 0.0
        asking = kind(address)
        while time.monotonic() < deadline:
            index = (number + right) % len(paths)
            start = time.perf_counter()
            try:
                answer = asking(paths[index])
            except Refused:
                refused += 1
                continue
            slowest = max(slowest, time.perf_counter() - start)
            same = all(abs(answer[label] - score) < 1e-4 for label, score in expected[index].items())
            right, wrong = right + same, wrong + (not same)
        return right, wrong, refused, slowest

    server = Server(address)
    before, cpu = server.memory_mib(), server.cpu_ms()
    with ThreadPoolExecutor(clients) as pool:
        done = list(pool.map(client, range(clients)))
    right, wrong, refused = (sum(one[k] for one in done) for k in range(3))
    print(
        f"{clients} clients by {kind.__name__} for {seconds:.0f} s: {right} right, {wrong} wrong, {refused} refused; "
        f"slowest answer {max(one[3] for one in done):.1f} s; memory {before:.0f} -> {server.memory_mib():.0f} MiB; "
        f"{(server.cpu_ms() - cpu) / max(1, right + wrong):.1f} ms of the server's processor time an answer"
    )


def one_by_one(classifier: Classifier, address: str, paths: list[Path]) -> None:
    """One client's requests, beside reading and forward pass in this process."""
    rest, gradio, client = Rest(address), Gradio(address), Client(address, verbose=False)
    bare, by_rest, raw, through = medians_ms(
        lambda n: classifier.examine([read_xray(paths[n % IMAGES], strict=True).image]),
        lambda n: rest(paths[n % IMAGES]),
        lambda n: gradio(paths[n % IMAGES]),
        lambda n: client.predict(handle_file(str(paths[n % IMAGES])), api_name="/classify"),
    )
    print(
        f"bare {bare:.1f} ms; REST {by_rest:.1f} ms = {by_rest / bare:.2f}; gradio by raw HTTP {raw:.1f} ms = "
        f"{raw / bare:.2f}; gradio_client {through:.1f} ms"
    )


def batches(classifier: Classifier, address: str, archive: Path) -> None:
    """Batches of gradio's endpoint, beside `train.predict` in this process."""
    client = Client(address, verbose=False)
    several = [
        (
            rate(lambda: predict_all(classifier, archive)),
            rate(lambda: client.predict([handle_file(str(archive))], api_name="/batch")),
        )
        for _ in range(5)
    ]
    alone, served = (statistics.median(rates) for rates in zip(*several, strict=True))
    print(f"batch of {BATCH}: {served:.0f} images/s; train.predict, loaded, {alone:.0f}: {served / alone:.2f}")


def cold_start(path: Path) -> float:
    """Seconds from starting the process to its first answer, of the median of three."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        with running_app(real=True) as address:
            Rest(address)(path)
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
        image = read_xray(paths[0]).image
        forward, guarded = medians_ms(
            lambda n: classifier.examine([image], guarded=False), lambda n: classifier.examine([image])
        )
        print(
            f"resize, forward pass and Grad-CAM of all classes {forward:.1f} ms; with guard {guarded:.1f} ms = "
            f"{guarded / forward:.2f}"
        )
        archive = make_archive(Path(folder))
        with running_app(real=True) as address:
            one_by_one(classifier, address, paths)
            batches(classifier, address, archive)
        for kind in (Rest, Gradio):
            with running_app(real=True) as address:
                load(kind, address, paths, expected, args.clients, args.seconds)
        start, imports = cold_start(paths[0]), import_time()
    print(f"cold start {start:.1f} s; `{IMPORTS}` {imports:.1f} s: ratio {start / imports:.2f}")


if __name__ == "__main__":
    main()
