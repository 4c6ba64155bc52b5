"""What whoever runs the page may set, by environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

from space.errors import UsageError
from space.xray import Limits

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    """Limits of the page; each is set by the variable of its name in capitals, as in `MAX_UPLOAD_MB=20`.

    Attributes:
        max_upload_mb: Largest file, in units of 10^6 bytes.
        max_pixels: Largest picture, in pixels, as its header states it.
        max_batch_files: Most pictures of a batch.
        max_queue: Requests that may wait; further ones are told to come back.
        concurrency: Requests of a kind that are worked on at once.
        allow_url_input: 1: pictures may be fetched from an address; 0: they may not. By default only where the page
            can be reached from this machine alone.
    """

    max_upload_mb: int = 10
    max_pixels: int = 40_000_000
    max_batch_files: int = 200
    max_queue: int = 64
    concurrency: int = 2
    allow_url_input: int = 0

    @property
    def limits(self) -> Limits:
        """What the reader accepts."""
        return Limits(self.max_upload_mb * 10**6, self.max_pixels)


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Raises:
        UsageError: A variable holds no whole number, or one that makes no sense.
    """
    found = {}
    for field in fields(Settings):
        text = environment.get(field.name.upper())
        if text is None:
            continue
        least, most = (0, 1) if field.name == "allow_url_input" else (1, 10**9)
        if not (text.isdecimal() and least <= int(text) <= most):
            raise UsageError(f"{field.name.upper()}={text!r}: it must be a whole number from {least} to {most:,}.")
        found[field.name] = int(text)
    # gradio listens to this machine alone unless told otherwise; on a Space it is told to listen to all.
    local = environment.get("GRADIO_SERVER_NAME", "127.0.0.1") in LOOPBACK and "SPACE_ID" not in environment
    return Settings(**({"allow_url_input": int(local)} | found))
