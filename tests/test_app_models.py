"""Several models on one page."""

import gradio_client
import pytest
from gradio_client import Client, handle_file

from tests.conftest import DEFAULT_MODEL, run_python
from tests.server import running_app

PHANTOM = str(DEFAULT_MODEL.parent / "web" / "examples" / "phantom_1.png")


def test_the_page_and_its_endpoints_serve_each(run_folder, three_classes):
    with running_app(MODEL_ID=f"{run_folder},{three_classes}") as address:
        client = Client(address, verbose=False)
        file = handle_file(PHANTOM)
        answers = [
            client.predict(file, show_anyway=True, model=model, api_name="/classify") for model in ("tiny", "three")
        ]
        assert [len(answer["probabilities"]) for answer in answers] == [2, 3]
        assert client.predict(file, show_anyway=True, api_name="/classify") == answers[0]
        heat, details = client.predict(file, "COVID", show_anyway=True, model="three", api_name="/explain")
        assert (heat.endswith(".png"), details) == (True, answers[1])
        with pytest.raises(gradio_client.exceptions.AppError, match="tiny has no class 'COVID'"):
            client.predict(file, "COVID", show_anyway=True, model="tiny", api_name="/explain")
        with pytest.raises(gradio_client.exceptions.AppError, match="other"):
            client.predict(file, show_anyway=True, model="other", api_name="/classify")
        (row,), _ = client.predict([file], model="three", api_name="/batch")
        assert row["answer"]["model"] == "three"


def test_what_is_not_pinned_is_not_served():
    done = run_python("app.py", "--model", "owner/name")
    assert (done.returncode, "OWNER/NAME@COMMIT" in done.stderr) == (2, True)
