"""The page for everyone: either language, light and dark, on a phone, by keyboard or screen reader; and its models."""

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import open_page, upload
from tests.conftest import DEFAULT_MODEL
from tests.hostile import hostile_files
from tests.phantoms import draw_phantom
from tests.server import running_app
from tests.space.imaging.test_dicom import dicom_bytes

TABS = {"en-US": ("Classify", "Grad-CAM", "Batch", "About"), "ru-RU": ("Снимок", "Grad-CAM", "Пакет", "О модели")}
# What axe finds inside gradio's own widgets: rule, and what the element is recognised by.
IN_WIDGETS = (
    ("button-name", 'button class="svelte'),  # gr.Image: the field that waits for an image to be pasted
    ("aria-prohibited-attr", 'aria-label="Empty value"'),  # gr.File without a file
    ("color-contrast", 'span class="token'),  # gr.Markdown: colours of program text, and on a phone its long lines
    ("scrollable-region-focusable", "<pre>"),
)


def open_tab(page: Page, name: str) -> None:
    """Open a tab, from the menu where the screen is too narrow for it."""
    tab = page.get_by_role("tab", name=name, exact=True)
    if tab.count() and tab.is_visible():
        tab.click()
    else:
        page.locator(".overflow-menu > button").click()
        page.locator(".overflow-dropdown").get_by_text(name, exact=True).click()


def serious(page: Page) -> list[str]:
    """What axe-core finds serious or critical, outside gradio's own widgets."""
    return [
        f"{found['id']}: {node['html'][:200]}"
        for found in Axe().run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
        if not any(found["id"] == rule and mark in node["html"] for rule, mark in IN_WIDGETS)
    ]


@pytest.mark.parametrize(
    ("locale", "scheme", "width"), [("en-US", "light", 1100), ("ru-RU", "dark", 1100), ("ru-RU", "light", 375)]
)
def test_every_tab_is_accessible_and_fits_the_screen(browser, address, images, locale, scheme, width):
    page = open_page(browser, address, width, locale=locale, color_scheme=scheme)
    expect(page.get_by_role("radio", name="Русский")).to_be_checked(checked=locale == "ru-RU")
    upload(page, images / "phantom.png")
    page.get_by_test_id("label-output-value").wait_for()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background.strip("rgb()").split(",")[:3])) < 200) == (scheme == "dark")
    for name in TABS[locale]:
        open_tab(page, name)
        page.wait_for_timeout(500)  # tabs fade in, and half a colour has no contrast
        assert serious(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()


def test_the_browsers_language_is_spoken_and_can_be_changed(browser, address, images):
    page = open_page(browser, address, 375, locale="ru-RU")
    expect(page.get_by_text("не медицинское изделие")).to_be_visible()
    upload(page, images / "noise.png")
    expect(page.get_by_text("Не классифицировано.").first).to_be_visible()
    page.get_by_role("radio", name="English").check()
    expect(page.get_by_text("Not classified.").first).to_be_visible()
    expect(page.get_by_text("not a medical device").first).to_be_visible()
    page.context.close()


def test_a_phantom_is_looked_at_by_keyboard_alone(browser, address):
    page = open_page(browser, address, locale="en-US")
    button = page.get_by_role("button", name="Phantom 2")
    for _ in range(30):
        page.keyboard.press("Tab")
        if button.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("label-output-value")).to_be_visible()
    page.context.close()


def test_dicom_and_16_bit_files_are_shown_as_they_are(browser, address, tmp_path):
    values = np.asarray(draw_phantom(np.random.default_rng(3), True, 300, 280)).astype(np.uint16) * 16
    (tmp_path / "xray.dcm").write_bytes(dicom_bytes(values, BitsStored=12, HighBit=11))
    Image.fromarray(values).save(tmp_path / "xray.png")
    page = open_page(browser, address, locale="en-US")
    shown = page.get_by_role("tabpanel").first.locator("img[src*='gradio_api/file']").last
    for name in ("xray.dcm", "xray.png"):
        upload(page, tmp_path / name)
        expect(page.get_by_text("Highest probability")).to_be_visible()
        gray = shown.evaluate(
            """async image => {
                await image.decode();
                const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext("2d");
                canvas.drawImage(image, 0, 0);
                const pixels = canvas.getImageData(0, 0, image.naturalWidth, image.naturalHeight).data;
                const red = pixels.filter((_, i) => i % 4 == 0);
                return [image.naturalWidth, red.reduce((a, b) => a + b) / red.length];
            }"""
        )
        assert gray[0] == 300
        assert gray[1] == pytest.approx(values.mean() / values.max() * 255, abs=6)  # neither white nor black
        page.get_by_role("button", name="Clear").first.click()
        expect(page.get_by_test_id("label-output-value")).to_have_count(0)
    page.context.close()


def test_hostile_files_get_sentences_and_the_page_lives_on(browser, address, images, tmp_path):
    page = open_page(browser, address, locale="ru-RU")
    for name, said in (
        ("bomb.png", "слишком много пикселей"),
        ("truncated.png", "повреждён"),
        ("moving.png", "кадров"),
    ):
        (tmp_path / name).write_bytes(hostile_files()[name][0])
        upload(page, tmp_path / name)
        expect(page.get_by_text(said).first).to_be_visible()
        page.get_by_role("button", name="Очистить").or_(page.get_by_role("button", name="Clear")).first.click()
    assert "Traceback" not in page.content()
    upload(page, images / "phantom.png")
    expect(page.get_by_test_id("label-output-value")).to_be_visible()
    page.context.close()


def test_what_is_shown_belongs_to_the_last_image_however_fast_it_came(browser, address, tmp_path):
    large = np.random.default_rng(0).integers(0, 256, (3000, 3000), np.uint8)
    Image.fromarray(large).save(tmp_path / "slow.png")
    page = open_page(browser, address, locale="en-US")
    for _ in range(3):
        upload(page, tmp_path / "slow.png")
        page.get_by_role("link").filter(has_text="MB").wait_for()  # it is there, and being looked at
        page.get_by_role("button", name="Phantom 1").click()
        expect(page.get_by_text("Highest probability: PNEUMONIA, 71.2%")).to_be_visible()
        page.wait_for_timeout(1500)  # in which the answer to the other image might come late
        expect(page.get_by_text("Highest probability: PNEUMONIA, 71.2%")).to_be_visible()
        expect(page.get_by_text("phantom_1").first).to_be_visible()
        page.get_by_role("button", name="Phantom 2").click()
        expect(page.get_by_text("phantom_2").first).to_be_visible()  # chosen, and still being looked at
        page.get_by_role("button", name="Clear").first.click()
        page.wait_for_timeout(1500)
        expect(page.get_by_text("Highest probability")).to_have_count(0)
    page.context.close()


def test_models_are_chosen_and_compared(browser, run_folder):
    with running_app("--model", f"{DEFAULT_MODEL},{run_folder}") as address:
        page = open_page(browser, address, locale="en-US")
        page.get_by_role("button", name="Phantom 1").click()
        expect(page.get_by_text("Highest probability: PNEUMONIA, 71.2%")).to_be_visible()
        page.get_by_role("checkbox", name="Compare all models").check()
        expect(page.get_by_role("gridcell", name="0.7120").first).to_be_visible()
        page.get_by_label("Model", exact=True).first.click()
        page.get_by_role("option", name="tiny").click()
        expect(page.get_by_text("71.2%")).to_have_count(0)
        expect(page.get_by_text("Model: tiny")).to_be_visible()
        open_tab(page, "About")
        expect(page.get_by_role("heading", name="tiny", exact=True)).to_be_visible()
        page.context.close()
