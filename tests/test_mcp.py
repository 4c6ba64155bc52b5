"""The page as an MCP server: what a language model reads of it, and how it hands over an image."""

import base64
import io
import json
import os
import sys
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from tests.conftest import run_python
from tests.server import running_app

PACKAGES = Path(sys.prefix) / "mcp"  # where `make test` puts what gradio's MCP server needs
PHANTOM = Path(__file__).parents[1] / "space" / "web" / "examples" / "phantom_1.png"


@pytest.fixture(scope="module")
def address():
    if not PACKAGES.is_dir():
        message = "gradio's MCP server is not installed beside the tests (make test does it)"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    with running_app(GRADIO_MCP_SERVER="True", PYTHONPATH=str(PACKAGES), ALLOW_URL_INPUT="0") as address:
        yield address


def call(address: str, method: str, **parameters) -> dict:
    """The result of a JSON-RPC call to the MCP server."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    accept = {"Accept": "application/json, text/event-stream"}
    answer = httpx2.post(f"{address}/gradio_api/mcp/", json=request, headers=accept, timeout=60)
    assert answer.status_code == 200, answer.text
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith(("data: ", "{"))]
    return json.loads(lines[-1])["result"]


def test_tools_say_what_they_are_and_are_not(address):
    tools = {tool["name"]: tool for tool in call(address, "tools/list")["tools"]}
    assert set(tools) == {"classify", "explain"}
    assert all("frontal chest X-ray" in tool["description"] for tool in tools.values())
    assert "not a medical device" in tools["classify"]["description"]
    for tool in tools.values():
        assert tool["inputSchema"]["required"] == ["file"]
        assert all(one.get("description") for one in tool["inputSchema"]["properties"].values())


def test_an_uploaded_image_is_classified_and_explained(address):
    with PHANTOM.open("rb") as file:
        path = httpx2.post(f"{address}/gradio_api/upload", files={"files": (PHANTOM.name, file)}).json()[0]
    uploaded = {"file": f"{address}/gradio_api/file={path}"}
    answer = call(address, "tools/call", name="classify", arguments=uploaded)
    details = json.loads(answer["content"][0]["text"])
    assert (details["label"], details["guard"]["code"]) == ("PNEUMONIA", "phantom")
    answer = call(address, "tools/call", name="explain", arguments=uploaded | {"label": "NORMAL"})
    assert answer["content"][0]["type"] == "image"
    shown = Image.open(io.BytesIO(base64.b64decode(answer["content"][0]["data"])))
    assert (shown.width, shown.height > 440) == (480, True)  # with the warning below


@pytest.mark.parametrize("place", ["https://example.com/x.png", "{address}/gradio_api/file=/etc/passwd"])
def test_nothing_else_is_fetched_or_opened(address, place):
    arguments = {"file": place.format(address=address)}
    answer = call(address, "tools/call", name="classify", arguments=arguments)
    assert answer["isError"]
    assert "root:" not in str(answer)


def test_without_its_package_the_switch_is_one_clear_message():
    done = run_python("app.py", GRADIO_MCP_SERVER="True")
    assert (done.returncode, "pip install 'gradio[mcp]'" in done.stderr) == (2, True)
