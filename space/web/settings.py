"""Settings of the page, from environment variables."""

import importlib.util
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields

from space.errors import UsageError
from space.imaging.xray import WEB_FORMATS, Limits

PORT = "7860"  # gradio's
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    """Limits of the page; each is set by the variable of its name in capitals, as in `MAX_UPLOAD_MB=20`.

    Attributes:
        max_upload_mb: Largest file, in units of 10^6 bytes.
        max_pixels: Largest image, in pixels, as its header states it.
        max_batch_files: Most images of a batch.
        max_queue: Requests that may wait; further ones are told to try again later.
        concurrency: Requests of a kind that are handled at once.
        max_seconds: For a batch, after which its other images are skipped; and for a request to arrive.
        allow_url_input: 1: images may be fetched from an address; 0: they may not. By default only where the page
            can be reached from this machine alone.
    """

    max_upload_mb: int = 10
    max_pixels: int = 40_000_000
    max_batch_files: int = 200
    max_queue: int = 64
    concurrency: int = 2
    max_seconds: int = 120
    allow_url_input: int = 0

    @property
    def limits(self) -> Limits:
        """What the reader accepts."""
        return Limits(self.max_upload_mb * 10**6, self.max_pixels, WEB_FORMATS)


def is_mcp_server(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether gradio will serve its endpoints to language models as well."""
    return environment.get("GRADIO_MCP_SERVER", "").lower() == "true"


def read_port(environment: Mapping[str, str] = os.environ) -> int:
    """The port to serve at; gradio would answer a mistake with a traceback, and a port in use with another one.

    Raises:
        UsageError: `GRADIO_SERVER_PORT` is not a port, or it is in use, or `GRADIO_MCP_SERVER` needs a package that is
            not installed.
    """
    if is_mcp_server(environment) and not importlib.util.find_spec("mcp"):
        raise UsageError("GRADIO_MCP_SERVER needs the package mcp: pip install 'gradio[mcp]'.")
    text, host = environment.get("GRADIO_SERVER_PORT", PORT), environment.get("GRADIO_SERVER_NAME", "127.0.0.1")
    if not (text.isdecimal() and 0 < int(text) < 2**16):
        raise UsageError(f"GRADIO_SERVER_PORT={text!r}: it must be a port number, 1 to 65535.")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, int(text)), family=family).close()
    except OSError as error:
        raise UsageError(
            f"the page cannot be served at {host}:{text} ({error.strerror}). Another page may be running there: stop "
            "it, or choose another port with the environment variable GRADIO_SERVER_PORT."
        ) from None
    return int(text)


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Raises:
        UsageError: A variable is not a whole number, or out of range.
    """
    values = {}
    for field in fields(Settings):
        text = environment.get(field.name.upper())
        if text is None:
            continue
        least, most = (0, 1) if field.name == "allow_url_input" else (1, 10**9)
        if not (text.isdecimal() and least <= int(text) <= most):
            raise UsageError(f"{field.name.upper()}={text!r}: it must be a whole number from {least} to {most:,}.")
        values[field.name] = int(text)
    # By default, gradio listens to this machine only. On a Space, it listens to all.
    local = environment.get("GRADIO_SERVER_NAME", "127.0.0.1") in LOOPBACK and "SPACE_ID" not in environment
    return Settings(**({"allow_url_input": int(local)} | values))
