"""The web demo: label probabilities and Grad-CAM for chest X-rays.

python app.py [--model FOLDER_OR_REPOSITORY@COMMIT[,…]]     (or the environment variable MODEL_ID)
"""

import os
import signal
import sys
from collections.abc import Sequence

from PIL import Image

from space.errors import CommandParser, run_cli
from space.web.model_choice import ModelId, choose_models
from space.web.settings import Settings, read_port, read_settings
from space.web.uploads import prepare


def serve(models: Sequence[ModelId], settings: Settings, port: int) -> None:
    """Load models, and serve the page and the API around them until the process ends.

    Args:
        models: Where they are; the first is chosen when the page opens, and answers where no model is named.
        settings: Limits.
        port: Where to listen.

    Raises:
        UsageError: A model cannot be loaded.
    """
    # Imported here, because that takes seconds, and mistakes on the command line are reported before.
    from space.web.middleware import Gateway
    from space.web.page import build_ui
    from space.web.rest.door import before_gradio
    from space.web.service import ModelService
    from space.web.theme import CSS, build_theme

    services = [ModelService.load(model, settings) for model in models]
    door = before_gradio({service.name: service for service in services}, settings)
    # No history of runs: uploads are X-rays, which must not stay in a visitor's browser.
    build_ui(services, settings).launch(
        server_port=port,
        max_file_size=settings.limits.max_bytes,
        run_history=False,
        enable_monitoring=False,
        app_kwargs={"middleware": [(Gateway, (settings,), {})], "lifespan": door},
        footer_links=["api", "settings"],
        theme=build_theme(),
        css=CSS,
    )


def main() -> None:
    """Command line of the demo; gradio itself follows GRADIO_SERVER_NAME and GRADIO_MCP_SERVER."""
    parser = CommandParser(description="Web demo: label probabilities and Grad-CAM for chest X-rays.")
    parser.add_argument(
        "--model",
        metavar="MODEL[,MODEL…]",
        help="up to five model folders, or Hub repositories as OWNER/NAME@COMMIT "
        "(default: the environment variable MODEL_ID, or the bundled model)",
    )
    args = parser.parse_args()
    settings = read_settings()
    models, port = choose_models(args.model), read_port()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # an ordinary end, which deletes the uploads
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # gradio reads it when it is imported
    sys.modules.setdefault("matplotlib", None)  # gradio would import it while the first visitor waits
    # gr.Image decodes a pasted image before our reader sees it. Pillow refuses images of twice this many pixels.
    Image.MAX_IMAGE_PIXELS = settings.max_pixels // 2
    prepare()
    serve(models, settings, port)


if __name__ == "__main__":
    run_cli(main)
