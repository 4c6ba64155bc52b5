"""What the page withstands: hostile files, more visitors than it serves, and being killed."""

import os
import threading
from pathlib import Path

import gradio_client
import httpx2
import numpy as np
import pytest
from gradio_client import Client, handle_file

from space.web.uploads import PREFIX
from tests.benchmarks.serve import Refused, ask
from tests.hostile import hostile_files, zip_of_zeros
from tests.phantoms import draw_phantom
from tests.server import running_app

PHANTOM = Path(__file__).parents[1] / "space" / "web" / "examples" / "phantom_1.png"


@pytest.fixture(scope="module")
def client():
    with running_app() as address:
        yield Client(address, verbose=False)


@pytest.mark.parametrize("name", hostile_files())
def test_a_hostile_file_gets_a_sentence_and_the_next_visitor_an_answer(client, tmp_path, name):
    content, sentence = hostile_files()[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(gradio_client.exceptions.AppError, match=sentence):
        client.predict(handle_file(str(tmp_path / name)), api_name="/classify")
    rows, _ = client.predict([handle_file(str(tmp_path / name)), handle_file(str(PHANTOM))], api_name="/batch")
    assert sentence in rows[0]["error"]["sentence"]
    assert rows[1]["answer"]["probabilities"]["PNEUMONIA"] > 0


def test_a_zip_bomb_is_refused_and_the_next_visitor_gets_an_answer(client, tmp_path):
    (tmp_path / "bomb.zip").write_bytes(zip_of_zeros(300))
    with pytest.raises(gradio_client.exceptions.AppError, match=r"bomb\.zip is refused"):
        client.predict([handle_file(str(tmp_path / "bomb.zip"))], api_name="/batch")
    (row,), _ = client.predict([handle_file(str(PHANTOM))], api_name="/batch")
    assert row["answer"]["probabilities"]["PNEUMONIA"] > 0


def test_a_file_over_the_limit_is_not_taken(client, tmp_path):
    (tmp_path / "large.png").write_bytes(bytes(10_000_001))
    with (tmp_path / "large.png").open("rb") as file:
        answer = httpx2.post(f"{client.src}gradio_api/upload", files={"files": ("large.png", file)})
    assert answer.status_code == 413


def test_past_the_queue_visitors_are_told_to_come_back():
    found: list[str] = []

    def visit(address: str) -> None:
        with httpx2.Client(timeout=60) as http:
            for _ in range(10):
                try:
                    found.append("right" if ask(http, address, PHANTOM)["PNEUMONIA"] > 0.5 else "wrong")
                except Refused as refusal:
                    found.append(str(refusal))

    with running_app(MAX_QUEUE="1", CONCURRENCY="1") as address:
        visitors = [threading.Thread(target=visit, args=(address,)) for _ in range(12)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
        with httpx2.Client(timeout=60) as http:
            assert ask(http, address, PHANTOM)["PNEUMONIA"] > 0.5
    refused = [one for one in found if one not in ("right", "wrong")]
    assert "right" in found
    assert "wrong" not in found
    assert refused
    assert all("Queue is full" in one for one in refused)


def test_uploads_are_deleted_when_the_page_ends_or_starts_again_after_it_was_killed(tmp_path, monkeypatch):
    monkeypatch.delenv("GRADIO_TEMP_DIR")
    for signal in ("SIGTERM", "SIGKILL"):
        with running_app(TMPDIR=str(tmp_path), end=signal) as address, httpx2.Client(timeout=60) as http:
            ask(http, address, PHANTOM)
            assert list(tmp_path.glob(f"{PREFIX}*/*/phantom_1.png"))
        left = list(tmp_path.glob(f"{PREFIX}*"))
        assert bool(left) == (signal == "SIGKILL")
    with running_app(TMPDIR=str(tmp_path)) as address, httpx2.Client(timeout=60) as http:
        assert not left[0].exists()
        assert ask(http, address, PHANTOM)["PNEUMONIA"] > 0.5


def test_nothing_is_left_in_the_log_of_what_visitors_brought(tmp_path):
    secret = tmp_path / "SECRET-NAME.png"
    draw_phantom(np.random.default_rng(0), True).save(secret)
    log = tmp_path / "log.txt"
    with running_app(log=log) as address:
        client = Client(address, verbose=False)
        client.predict(handle_file(str(secret)), api_name="/classify")
        client.predict([handle_file(str(secret))], api_name="/batch")
    assert "SECRET" not in log.read_text()
    assert os.path.getsize(log)
