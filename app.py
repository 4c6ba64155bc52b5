"""The web demo: label probabilities and Grad-CAM for chest X-rays.

python app.py [--model DIR_OR_REPO@COMMIT[,…]]     (or the environment variable MODEL_ID)
"""

import argparse
import os
import signal
import sys

from space.errors import run_cli
from space.web.model_choice import choose_models
from space.web.settings import read_port, read_settings
from space.web.uploads import prepare


def build_demo(models: str | None = None):
    """Load models and build the page around them.

    Args:
        models: See `space.web.model_choice.choose_models`.

    Returns:
        The page, as `gradio.Blocks`.

    Raises:
        UsageError: A model cannot be loaded, or a setting makes no sense (see `space.web.settings`).
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # gradio reads it at the moment it is imported
    prepare()
    settings, (chosen, trusted) = read_settings(), choose_models(models)
    import torch

    from space.web.page import build_ui
    from space.web.service import ModelService

    answers = [ModelService.load(one, trusted, settings) for one in chosen]
    if all(one.classifier.backend != "torch" for one in answers):
        torch.set_num_threads(1)  # torch has little left to do, and its waiting threads take the cores from OpenVINO
    return build_ui(answers, settings)


def main() -> None:
    """Command line of the demo; gradio itself follows GRADIO_SERVER_NAME and GRADIO_MCP_SERVER."""
    parser = argparse.ArgumentParser(description="Web demo: label probabilities and Grad-CAM for chest X-rays")
    what = "up to five folders of models, or repositories as OWNER/NAME@COMMIT (default: MODEL_ID, else the bundled)"
    parser.add_argument("--model", metavar="MODEL[,MODEL…]", help=what)
    models, port = parser.parse_args().model, read_port()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # an ordinary end, which deletes the uploads
    sys.modules.setdefault("matplotlib", None)  # gradio would import it to answer the first visitor, who waits
    demo = build_demo(models)
    from space.web.middleware import Gateway
    from space.web.theme import CSS, build_theme

    # A port that was asked for is meant: without `server_port` gradio would take the next free one in silence. Uploads
    # are X-rays: no history of runs in the visitor's browser.
    settings = read_settings()
    demo.launch(
        server_port=port,
        max_file_size=settings.limits.max_bytes,
        run_history=False,
        enable_monitoring=False,
        app_kwargs={"middleware": [(Gateway, (settings,), {})]},
        footer_links=["api", "settings"],
        theme=build_theme(),
        css=CSS,
    )


if __name__ == "__main__":
    run_cli(main)
