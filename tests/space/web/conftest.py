"""The bundled model as the page asks it, within any limits."""

import pytest

from space.web.model_choice import ModelId
from space.web.model_facts import ModelFacts
from space.web.service import ModelService
from space.web.settings import Settings
from tests.conftest import DEFAULT_MODEL


@pytest.fixture(scope="session")
def make_service(bundled):
    """Makes a service of the bundled model; takes settings."""
    facts = ModelFacts.load(ModelId(str(DEFAULT_MODEL)), bundled.labels)
    return lambda **settings: ModelService(bundled, facts, Settings(**settings))


@pytest.fixture(scope="session")
def models(make_service, three_classes):
    """The bundled model, and one with other labels, by their names."""
    services = [make_service(), ModelService.load(ModelId(str(three_classes)), Settings())]
    return {service.name: service for service in services}
