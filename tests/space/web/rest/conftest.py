"""The door to the bundled model and one of three classes."""

import pytest

from space.web.rest.door import Door
from space.web.settings import Settings
from tests.space.web.rest.asking import behind


@pytest.fixture(scope="session")
def make_door(models):
    """Makes a door; takes its settings."""

    def make(**settings) -> Door:
        return Door(behind, models, Settings(**settings))

    return make


@pytest.fixture(scope="session")
def door(make_door):
    """The door with the usual settings."""
    return make_door()
