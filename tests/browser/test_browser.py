"""One visitor goes through all tabs."""

import csv
import os
import re

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import clear, open_page, upload


@pytest.fixture(scope="module")
def page(browser, address) -> Page:
    return open_page(browser, address, locale="en-US")


def shoot(page: Page, name: str) -> None:
    """Take an image for the README, if that is asked for."""
    if target := os.environ.get("SCREENSHOT"):
        page.wait_for_timeout(1500)
        page.screenshot(path=f"{target}/{name}.png")


def test_a_visitor_reads_a_label_and_sees_an_overlay(page, images):
    expect(page.get_by_text("not a medical device").first).to_be_visible()
    upload(page, images / "phantom.png")
    label = page.get_by_test_id("label-output-value")
    label.wait_for()
    assert label.inner_text().strip() in {"NORMAL", "PNEUMONIA"}
    expect(page.get_by_text("Decision at the operating point")).to_be_visible()
    expect(page.get_by_text(re.compile(r"On validation \(\d+% PNEUMONIA\)"))).to_be_visible()
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


def test_what_is_no_chest_xray_is_refused_and_shown_only_if_asked_for(page, images):
    clear(page)
    upload(page, images / "noise.png")
    expect(page.get_by_text("Not classified.").first).to_be_visible()
    expect(page.get_by_test_id("label-output-value")).to_have_count(0)
    page.get_by_role("checkbox").check()
    expect(page.get_by_test_id("label-output-value")).to_be_visible()
    expect(page.get_by_text("This answer means nothing.").first).to_be_visible()
    page.get_by_role("checkbox").uncheck()
    expect(page.get_by_test_id("label-output-value")).to_have_count(0)


def test_a_text_file_gets_a_sentence_and_the_page_lives_on(page, images):
    clear(page)
    upload(page, images / "letter.png")
    expect(page.get_by_text("not an image that can be read")).to_have_count(1)
    assert "Traceback" not in page.content()
    page.get_by_role("button", name="Clear").first.click()
    upload(page, images / "phantom.png")
    expect(page.get_by_test_id("label-output-value")).to_be_visible()


def test_many_images_become_a_table_to_download(page, images, tmp_path):
    page.get_by_role("tab", name="Batch").click()
    panel = page.get_by_role("tabpanel").filter(has=page.get_by_role("button", name="Classify all"))
    panel.locator("input[type=file]").first.set_input_files(sorted(images.iterdir()))
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
    assert "not an image" in rows["letter.png"]["problem"]


def test_the_models_card_is_there(page):
    page.get_by_role("tab", name="About").click()
    expect(page.get_by_text("Which images can I use it on?")).to_be_visible()
