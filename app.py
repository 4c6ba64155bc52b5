"""The web demo: label probabilities and Grad-CAM for chest X-rays.

python app.py [--model REPO_OR_DIR]     (or the environment variable MODEL_ID; TRUST_REMOTE_CODE=1 for chest CNNs)
"""

import argparse
import json
import os
from pathlib import Path

from space.errors import UsageError, run_cli
from space.settings import read_settings

DEFAULT_MODEL = Path(__file__).parent / "space" / "default-model"
PIN = Path(__file__).with_name("model.json")  # in a Space that hub.push made: the model and its commit


def build_demo(model: str | None = None):
    """Load a model and build the page around it.

    Args:
        model: Folder or Hub repository; None: `MODEL_ID`, else what model.json pins, else the bundled model.

    Returns:
        The page, as `gradio.Blocks`.

    Raises:
        UsageError: The model cannot be loaded, or a setting makes no sense (see `space.settings`).
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # gradio reads it at the moment it is imported
    settings = read_settings()
    import torch

    from space.answers import Answers
    from space.classifier import Classifier
    from space.model_files import ModelFacts
    from space.ui import build_ui

    chosen, revision = model or os.environ.get("MODEL_ID"), None
    trusted = os.environ.get("TRUST_REMOTE_CODE") == "1"
    if not chosen and PIN.is_file():
        pin = json.loads(PIN.read_text(encoding="utf-8"))
        chosen, revision, trusted = pin["model"], pin["revision"], pin["trust_remote_code"]
    chosen = chosen or str(DEFAULT_MODEL)
    classifier = Classifier.load(chosen, revision, trusted)
    if classifier.backend != "torch":
        torch.set_num_threads(1)  # torch has little left to do, and its waiting threads take the cores from OpenVINO
    return build_ui(Answers(classifier, ModelFacts.load(chosen, revision), settings))


def _port() -> int | None:
    """The port that the environment asks for, checked before gradio is imported, which would fail with a traceback."""
    port = os.environ.get("GRADIO_SERVER_PORT")
    if port is not None and not (port.isdecimal() and 0 < int(port) < 2**16):
        raise UsageError(f"GRADIO_SERVER_PORT={port!r}: it must be a port number, 1 to 65535.")
    return None if port is None else int(port)


def main() -> None:
    """Command line of the demo; gradio itself follows GRADIO_SERVER_NAME."""
    parser = argparse.ArgumentParser(description="Web demo: label probabilities and Grad-CAM for chest X-rays")
    parser.add_argument("--model", help="model folder or Hub repository (default: MODEL_ID, else the bundled model)")
    model, port = parser.parse_args().model, _port()
    demo = build_demo(model)
    import gradio as gr

    from space.gateway import Gateway

    # A port that was asked for is meant: without `server_port` gradio would take the next free one in silence. Uploads
    # are X-rays: no history of runs in the visitor's browser.
    demo.launch(
        server_port=port,
        max_file_size=read_settings().limits.max_bytes,
        run_history=False,
        app_kwargs={"middleware": [(Gateway, (), {})]},
        footer_links=["api", "settings"],
        theme=gr.themes.Default(font="system-ui", font_mono="ui-monospace"),
    )


if __name__ == "__main__":
    run_cli(main)
