"""The app in headless Chromium, as a visitor uses it."""

import os
import shutil

import numpy as np
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.phantoms import draw_phantom
from tests.server import running_app

FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def page():
    chromium = shutil.which("chromium")
    if chromium is None:
        message = "Chromium is not installed (Debian: apt-get install chromium)"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    with running_app() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.set_default_timeout(60_000)
        page.goto(address, wait_until="domcontentloaded")
        yield page
        browser.close()


@pytest.fixture(scope="module")
def phantom_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("upload") / "phantom.png"
    draw_phantom(np.random.default_rng(3), pneumonia=True, width=600, height=540).save(path)
    return path


def upload(page: Page, path) -> None:
    panel = page.get_by_role("tabpanel").filter(has=page.get_by_role("button", name="Classify", exact=True))
    panel.locator("input[type=file]").first.set_input_files(path)


def clear(page: Page) -> None:
    """Take the file away and see the page forget it."""
    panel = page.get_by_role("tabpanel").filter(has=page.get_by_role("button", name="Classify", exact=True))
    panel.get_by_role("button", name="Clear").first.click()
    expect(page.get_by_test_id("label-output-value")).to_have_count(0)


def test_a_visitor_reads_a_label_and_sees_an_overlay(page, phantom_file):
    page.get_by_role("tab", name="Classify").wait_for()
    expect(page.get_by_text("not a medical device")).to_be_visible()
    upload(page, phantom_file)
    label = page.get_by_test_id("label-output-value")
    label.wait_for()
    assert label.inner_text().strip() in {"NORMAL", "PNEUMONIA"}
    expect(page.get_by_text("At the operating point")).to_be_visible()
    if target := os.environ.get("SCREENSHOT"):
        page.wait_for_timeout(1500)
        page.screenshot(path=f"{target}/classify.png")
    page.get_by_role("tab", name="Grad-CAM").click()
    overlay = page.get_by_role("tabpanel").filter(has=page.get_by_text("Opacity")).locator("img[src*='file=']")
    overlay.first.wait_for()
    assert overlay.first.evaluate("image => image.naturalWidth") == 600
    pneumonia = overlay.first.get_attribute("src")
    if target := os.environ.get("SCREENSHOT"):
        page.wait_for_timeout(1500)
        page.screenshot(path=f"{target}/gradcam.png")
    page.get_by_role("radio", name="NORMAL").check()
    expect(overlay.first).not_to_have_attribute("src", pneumonia)
    normal = overlay.first.get_attribute("src")
    page.get_by_role("spinbutton").fill("0.2")
    page.keyboard.press("Enter")
    expect(overlay.first).not_to_have_attribute("src", normal)


def test_a_text_file_gets_a_sentence_and_the_page_lives_on(page, phantom_file, tmp_path):
    page.get_by_role("tab", name="Classify").click()
    (tmp_path / "letter.png").write_text("Dear doctor")
    clear(page)
    upload(page, tmp_path / "letter.png")
    expect(page.get_by_text("not a picture that can be read")).to_have_count(1)
    assert "Traceback" not in page.content()
    page.get_by_role("button", name="Clear").first.click()
    upload(page, phantom_file)
    expect(page.get_by_test_id("label-output-value")).to_be_visible()
