"""The page as it is built: its texts, its public endpoints."""

from dataclasses import replace

import pytest

from space.web.page import Page, build_ui
from space.web.service import ModelService
from space.web.settings import Settings


@pytest.fixture(scope="module")
def demo(models):
    return build_ui([models["default-model"]], Settings(max_upload_mb=7, max_batch_files=33))


def values(demo) -> list[str]:
    props = (component["props"] for component in demo.get_config_file()["components"])
    return [value for prop in props for value in (prop.get("value"), prop.get("label")) if isinstance(value, str)]


def test_only_the_named_endpoints_are_public(demo):
    assert set(demo.get_api_info()["named_endpoints"]) == {"/classify", "/explain", "/batch"}


def test_texts_state_the_model_and_the_limits(demo):
    (model,) = [value for value in values(demo) if value.startswith("Model: ")]
    assert model.startswith("Model: `default-model`. Whatever the image, it answers with one of: NORMAL, PNEUMONIA.")
    assert "Training images: kermany: children aged 1 to 5" in model
    assert any("up to 7 MB" in value for value in values(demo))
    assert any(value.startswith("Up to 33 images") for value in values(demo))


def test_addresses_are_asked_for_only_where_they_may_be(models):
    for allowed in (0, 1):
        demo = build_ui([models["default-model"]], Settings(allow_url_input=allowed))
        assert ("Address of an image (URL)" in values(demo)) == bool(allowed)


def test_another_language_relabels_every_text(models):
    page = Page(models, Settings())
    page.build()
    english, russian = page._relabel("en", "three"), page._relabel("ru", "three")
    assert len(english) == len(russian) > 30
    assert english[0].startswith("This model has no card.")
    assert russian[0].startswith("У этой модели нет карточки.")
    same = [a for a, b in zip(english[1:], russian[1:], strict=True) if a == b]
    assert [update["label"] for update in same] == ["Grad-CAM"]


@pytest.mark.parametrize(
    ("tested", "claim"),
    [
        (True, "In this model's test, hiding the bright region of the most probable class's map changed the score"),
        (False, "class's map did not reliably change the score more than hiding another region"),
        (None, "Whether the bright region matters more to this model's score than other regions was not tested."),
    ],
)
def test_the_caption_of_maps_claims_what_the_models_own_test_supports(models, tested, claim):
    service = models["default-model"]
    facts = replace(service.facts, hottest_counts_more=tested)
    demo = build_ui([ModelService(service.classifier, facts, service.settings)], Settings())
    (caption,) = [value for value in values(demo) if value.startswith("Bright regions")]
    assert claim in caption
    assert caption.count("hiding the bright region") == (tested is not None)
