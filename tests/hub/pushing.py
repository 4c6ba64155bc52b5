"""Pushes to the tests' Hub, and what loads from it."""

import json
from pathlib import Path

import hub.push
from tests.commands import Done, call
from tests.hub_state import TOKEN, Hub


def push(*arguments: str | Path) -> Done:
    """`python -m hub.push ARGUMENTS` in this process; the fixture `hub` is where it goes."""
    return call(hub.push.main, *arguments)


def pushed(folder: Path) -> dict:
    """What a push noted in its folder."""
    return json.loads((folder / "pushed.json").read_text())


def online(hub: Hub) -> dict[str, str]:
    """The environment in which a process of its own reaches a Hub."""
    settings = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
    return settings | {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "0"}
