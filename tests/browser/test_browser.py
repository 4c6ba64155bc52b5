"""The app in headless Chromium, as a visitor uses it."""

import csv
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from tests.phantoms import draw_phantom
from tests.server import running_app

expect.set_options(timeout=60_000)  # milliseconds: its own five seconds are few on a busy machine
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def visit():
    """A function that opens the page as a new visitor."""
    chromium = shutil.which("chromium")
    if chromium is None:
        message = "Chromium is not installed (Debian: apt-get install chromium)"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    with running_app() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)

        def open_page(width: int = 1100, **options) -> Page:
            page = browser.new_context(viewport={"width": width, "height": 900}, **options).new_page()
            page.set_default_timeout(60_000)
            page.goto(address, wait_until="domcontentloaded")
            page.get_by_role("tab").first.wait_for()
            return page

        yield open_page
        browser.close()


@pytest.fixture(scope="module")
def page(visit) -> Page:
    return visit(locale="en-US")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with a phantom, a page of noise and a letter that calls itself a picture."""
    folder = tmp_path_factory.mktemp("upload")
    draw_phantom(np.random.default_rng(3), pneumonia=True, width=600, height=540).save(folder / "phantom.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8)).save(folder / "noise.png")
    (folder / "letter.png").write_text("Dear doctor")
    return folder


def upload(page: Page, path) -> None:
    page.locator("input[type=file]").first.set_input_files(path)


def clear(page: Page) -> None:
    """Take the file away and see the page forget it."""
    page.get_by_role("tab").first.click()
    page.get_by_role("button", name="Clear").first.click()
    expect(page.get_by_test_id("label-output-value")).to_have_count(0)


def shoot(page: Page, name: str) -> None:
    """Take a picture for the README, if that is asked for."""
    if target := os.environ.get("SCREENSHOT"):
        page.wait_for_timeout(1500)
        page.screenshot(path=f"{target}/{name}.png")


def test_a_visitor_reads_a_label_and_sees_an_overlay(page, pictures):
    expect(page.get_by_text("not a medical device").first).to_be_visible()
    upload(page, pictures / "phantom.png")
    label = page.get_by_test_id("label-output-value")
    label.wait_for()
    assert label.inner_text().strip() in {"NORMAL", "PNEUMONIA"}
    expect(page.get_by_text("Decision at the operating point")).to_be_visible()
    expect(page.get_by_text("In validation, where 74% were PNEUMONIA")).to_be_visible()
    shoot(page, "classify")
    page.get_by_role("tab", name="Grad-CAM").click()
    overlay = page.get_by_role("tabpanel").filter(has=page.get_by_text("Opacity")).locator("img[src*='grad-cam']")
    overlay.first.wait_for()
    assert overlay.first.evaluate("image => image.naturalWidth") == 600
    shoot(page, "gradcam")
    for change in (
        lambda: page.get_by_role("radio", name="NORMAL").check(),
        lambda: page.get_by_role("radio", name="cividis").check(),
        lambda: (page.get_by_role("spinbutton").fill("0.2"), page.keyboard.press("Enter")),
    ):
        before = overlay.first.get_attribute("src")
        change()
        expect(overlay.first).not_to_have_attribute("src", before)


def test_the_map_can_be_downloaded(page, tmp_path):
    page.get_by_role("tab", name="Grad-CAM").click()
    with page.expect_download() as caught:
        page.get_by_text("Download the map").click()
    caught.value.save_as(tmp_path / "map.png")
    assert Image.open(tmp_path / "map.png").size == (600, 540)


def test_what_is_no_chest_xray_is_refused_and_shown_only_if_asked_for(page, pictures):
    clear(page)
    upload(page, pictures / "noise.png")
    expect(page.get_by_text("Not classified.").first).to_be_visible()
    expect(page.get_by_test_id("label-output-value")).to_have_count(0)
    page.get_by_role("checkbox").check()
    expect(page.get_by_test_id("label-output-value")).to_be_visible()
    expect(page.get_by_text("This answer means nothing.").first).to_be_visible()
    page.get_by_role("checkbox").uncheck()
    expect(page.get_by_test_id("label-output-value")).to_have_count(0)


def test_a_text_file_gets_a_sentence_and_the_page_lives_on(page, pictures):
    clear(page)
    upload(page, pictures / "letter.png")
    expect(page.get_by_text("not a picture that can be read")).to_have_count(1)
    assert "Traceback" not in page.content()
    page.get_by_role("button", name="Clear").first.click()
    upload(page, pictures / "phantom.png")
    expect(page.get_by_test_id("label-output-value")).to_be_visible()


def test_many_pictures_become_a_table_to_download(page, pictures, tmp_path):
    page.get_by_role("tab", name="Batch").click()
    panel = page.get_by_role("tabpanel").filter(has=page.get_by_role("button", name="Classify all"))
    panel.locator("input[type=file]").first.set_input_files(sorted(pictures.iterdir()))
    panel.get_by_text("phantom").first.wait_for()
    panel.get_by_role("button", name="Classify all").click()
    panel.get_by_text("predictions").wait_for()
    with page.expect_download() as caught:
        panel.locator("a[download]").last.click()
    caught.value.save_as(tmp_path / "answers.csv")
    with (tmp_path / "answers.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert float(rows["phantom.png"]["NORMAL"]) + float(rows["phantom.png"]["PNEUMONIA"]) == pytest.approx(1, abs=1e-3)
    assert "not look like" in rows["noise.png"]["problem"]
    assert "not a picture" in rows["letter.png"]["problem"]


def test_the_models_card_is_there(page):
    page.get_by_role("tab", name="About").click()
    expect(page.get_by_text("What it looks at")).to_be_visible()


def test_the_browsers_language_is_spoken_and_can_be_changed(visit, pictures):
    page = visit(locale="ru-RU", width=375)
    expect(page.get_by_text("не медицинское изделие")).to_be_visible()
    upload(page, pictures / "noise.png")
    expect(page.get_by_text("Не классифицировано.").first).to_be_visible()
    page.get_by_role("radio", name="English").check()
    expect(page.get_by_text("Not classified.").first).to_be_visible()
    expect(page.get_by_text("not a medical device").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
