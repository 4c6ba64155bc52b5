import csv
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import gradio_client
import httpx2
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from PIL import Image

from tests.benchmarks.serve import ask
from tests.conftest import run_python
from tests.phantoms import draw_phantom
from tests.server import running_app
from train.config.recipe import ModelRecipe
from train.models.factory import build, save
from train.models.graph import export_graph


@pytest.fixture(scope="module")
def client(run_folder):
    with running_app("--model", run_folder, ALLOW_URL_INPUT="0") as address:
        yield Client(address, verbose=False)


@pytest.fixture(scope="module")
def test_rows(run_folder, kaggle_folder):
    """The run's predictions on the test split, with the files they are of."""
    with (run_folder / "predictions.csv").open() as file:
        return [row | {"file": kaggle_folder / "chest_xray" / row["source"]} for row in csv.DictReader(file)][-48:]


def test_classify_answers_with_the_recorded_probabilities(client, test_rows):
    for row in (test_rows[0], test_rows[-1]):
        answer = client.predict(handle_file(str(row["file"])), api_name="/classify")
        scores = answer["probabilities"]
        assert answer["label"] == max(scores, key=scores.get)
        for label, score in scores.items():
            assert score == pytest.approx(float(row[f"prob:{label}"]), abs=1e-4)


def test_explain_answers_with_an_overlay_of_the_image(client, test_rows):
    file = test_rows[-1]["file"]
    overlays = [
        np.asarray(Image.open(client.predict(handle_file(str(file)), label, api_name="/explain")[0]))
        for label in ("NORMAL", "PNEUMONIA")
    ]
    plain = np.asarray(Image.open(file))
    assert all(overlay.shape == (*plain.shape, 3) for overlay in overlays)
    assert not np.array_equal(*overlays)
    invisible = client.predict(handle_file(str(file)), "PNEUMONIA", 0, api_name="/explain")[0]
    assert np.array_equal(np.asarray(Image.open(invisible))[..., 0], plain)


def test_16_bit_images_are_read_by_their_own_range(client, test_rows, tmp_path):
    plain = np.asarray(Image.open(test_rows[-1]["file"])).astype(float)
    stretched = np.rint((plain - plain.min()) / (plain.max() - plain.min()) * 255).astype(np.uint8)
    Image.fromarray(stretched).save(tmp_path / "8.png")
    Image.fromarray(stretched.astype(np.uint16) * 10).save(tmp_path / "16.png")
    answers = [client.predict(handle_file(str(tmp_path / name)), api_name="/classify") for name in ("8.png", "16.png")]
    first, second = (answer["probabilities"] for answer in answers)
    assert first == pytest.approx(second, abs=1e-5)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"just text", "not an image"), (b"", "empty"), (b"\x89PNG\r\n\x1a\n123", "not an image")],
)
def test_a_file_that_is_no_image_gets_a_sentence(client, tmp_path, content, sentence):
    (tmp_path / "fake.png").write_bytes(content)
    for endpoint, rest in (("/classify", []), ("/explain", ["NORMAL"])):
        with pytest.raises(gradio_client.exceptions.AppError) as caught:
            client.predict(handle_file(str(tmp_path / "fake.png")), *rest, api_name=endpoint)
        assert sentence in str(caught.value)
        assert "Traceback" not in str(caught.value)


def test_an_unknown_class_is_refused(client, test_rows):
    with pytest.raises(gradio_client.exceptions.AppError, match="NORMAL"):
        client.predict(handle_file(str(test_rows[0]["file"])), "FRACTURE", api_name="/explain")


def test_only_the_named_endpoints_are_public(client):
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {"/classify", "/explain", "/batch"}


def test_what_is_no_chest_xray_is_refused_unless_it_is_asked_for(client, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)).save(tmp_path / "noise.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)).save(tmp_path / "colour.png")
    for name, reason in (("noise.png", "does not look like"), ("colour.png", "has colours")):
        file = handle_file(str(tmp_path / name))
        for endpoint, rest in (("/classify", []), ("/explain", ["NORMAL"])):
            with pytest.raises(gradio_client.exceptions.AppError, match=reason):
                client.predict(file, *rest, api_name=endpoint)
        answer = client.predict(file, show_anyway=True, api_name="/classify")
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert reason in answer["guard"]["sentence"]


@pytest.mark.parametrize("path", ["http://127.0.0.1:{port}/x.png", "HTTPS://example.com/x.png", " ftp://example.com/x"])
def test_no_file_is_fetched_on_a_visitors_word(client, path):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file = {"path": path.format(port=server.server_address[1]), "meta": {"_type": "gradio.FileData"}}
    answer = httpx2.post(f"{client.src}gradio_api/call/classify", json={"data": [file, False]})
    server.shutdown()
    assert (answer.status_code, "never fetched" in answer.text) == (400, True)
    assert not asked


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../etc/passwd", "app.py", "/proc/self/environ"])
def test_no_file_of_the_server_is_opened(client, path):
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    job = httpx2.post(f"{client.src}gradio_api/call/classify", json={"data": [file, True]})
    if job.status_code == 200:
        events = httpx2.get(f"{client.src}gradio_api/call/classify/{job.json()['event_id']}", timeout=30).text
        assert "event: error" in events
        assert "root:" not in events
    for address in (f"gradio_api/file={path}", f"file={path}"):
        assert httpx2.get(client.src + address).status_code in (403, 404)


WATCH = """
import ipaddress, os, sys

def hook(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    with open(os.environ["WATCH_LOG"], "a") as log:
        print(host, file=log)

sys.addaudithook(hook)
"""


def test_nothing_but_this_machine_is_ever_asked(run_folder, test_rows, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    log = tmp_path / "asked.txt"
    with running_app("--model", run_folder, PYTHONPATH=str(tmp_path), WATCH_LOG=str(log)) as address:
        client = Client(address, verbose=False)
        file = handle_file(str(test_rows[0]["file"]))
        client.predict(file, api_name="/classify")
        client.predict(file, "NORMAL", api_name="/explain")
        client.predict([file], api_name="/batch")
    asked = set(log.read_text().split())  # gradio asks itself at the start whether it is there
    assert asked <= {"127.0.0.1", "localhost", "::1", "None", "0.0.0.0"}, asked  # noqa: S104 - what is asked, not bound


def test_many_at_once_each_get_the_answer_to_their_own_image(client, test_rows):
    with httpx2.Client(timeout=120) as http, ThreadPoolExecutor(16) as pool:
        files = [row["file"] for row in test_rows]
        found = list(pool.map(lambda file: ask(http, client.src.rstrip("/"), file, anyway=True), files))
    for row, scores in zip(test_rows, found, strict=True):
        for label, score in scores.items():
            assert score == pytest.approx(float(row[f"prob:{label}"]), abs=1e-4)


def test_the_server_shows_that_it_lives(client):
    answer = httpx2.get(f"{client.src}healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_huge_request_that_is_no_upload_is_refused(client):
    answer = httpx2.post(f"{client.src}gradio_api/call/classify", content=b'{"data": "' + b"x" * 2**21 + b'"}')
    assert answer.status_code == 413


def test_batch_takes_files_and_archives(client, test_rows, tmp_path):
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(test_rows[-1]["file"], "=SUM(A1).jpeg")
        archive.writestr("deep/notes.txt", "no image")
        archive.writestr("__MACOSX/._a.jpeg", "left out")
    files = [handle_file(str(test_rows[0]["file"])), handle_file(str(tmp_path / "more.zip"))]
    rows, path = client.predict(files, api_name="/batch")
    assert [row["file"] for row in rows] == [test_rows[0]["file"].name, "=SUM(A1).jpeg", "deep/notes.txt"]
    for row, expected in zip(rows, (test_rows[0], test_rows[-1]), strict=False):
        assert row["answer"]["probabilities"]["PNEUMONIA"] == pytest.approx(float(expected["prob:PNEUMONIA"]), abs=1e-3)
    assert (rows[2]["answer"], "not an image" in rows[2]["error"]["sentence"]) == (None, True)
    with open(path, encoding="utf-8-sig", newline="") as file:
        saved = list(csv.reader(file))
    assert saved[0] == ["file", "most probable", "decision", "NORMAL", "PNEUMONIA", "problem"]
    assert saved[2][0] == "'=SUM(A1).jpeg"  # no spreadsheet runs it


def test_damaged_archives_and_too_many_files_get_a_sentence(client, tmp_path):
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(gradio_client.exceptions.AppError, match="damaged"):
        client.predict([handle_file(str(tmp_path / "bad.zip"))], api_name="/batch")
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(201):
            archive.writestr(f"{number}.png", b"")
    with pytest.raises(gradio_client.exceptions.AppError, match="up to 200"):
        client.predict([handle_file(str(tmp_path / "many.zip"))], api_name="/batch")


def test_model_id_chooses_the_model(run_folder):
    with running_app(MODEL_ID=str(run_folder)) as address:
        components = Client(address, verbose=False).config["components"]
    texts = [component["props"].get("value") for component in components]
    assert any("Model: `tiny`" in text for text in texts if isinstance(text, str))


def test_a_missing_model_or_a_wrong_port_is_one_clear_message(tmp_path):
    done = run_python("app.py", "--model", tmp_path)
    assert done.returncode == 2
    assert "no config.json" in done.stderr
    assert "Traceback" not in done.stderr
    done = run_python("app.py", GRADIO_SERVER_PORT="many")
    assert (done.returncode, "must be a port number" in done.stderr) == (2, True)
    done = run_python("app.py", MAX_PIXELS="lots")
    assert (done.returncode, "MAX_PIXELS='lots': it must be a whole number" in done.stderr) == (2, True)


def test_a_chest_cnn_is_served_without_its_code(tmp_path):
    torch.manual_seed(0)
    model, processor = build(ModelRecipe("chest_cnn_covid19", 64), ["Covid", "Normal", "Viral Pneumonia"])
    save(model, processor, tmp_path / "cnn")
    export_graph(model, processor, tmp_path / "cnn")
    (tmp_path / "cnn" / "modeling_chest_cnn.py").write_text("raise SystemExit('remote code ran')")
    draw_phantom(np.random.default_rng(0), True, 120, 140).save(tmp_path / "a.png")
    with running_app("--model", tmp_path / "cnn") as address:
        client = Client(address, verbose=False)
        answer = client.predict(handle_file(str(tmp_path / "a.png")), api_name="/classify")
        heat, _ = client.predict(handle_file(str(tmp_path / "a.png")), "Covid", api_name="/explain")
    assert set(answer["probabilities"]) == {"Covid", "Normal", "Viral Pneumonia"}
    assert Image.open(heat).size == (120, 140)
