"""The app in headless Chromium, as visitors use it."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.phantoms import draw_phantom
from tests.server import running_app

expect.set_options(timeout=60_000)  # milliseconds: its own five seconds are few on a busy machine
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="package")
def browser():
    """Debian's Chromium; no longer than these tests, because Playwright's event loop keeps others from running."""
    chromium = shutil.which("chromium")
    if chromium is None:
        message = "Chromium is not installed (Debian: apt-get install chromium)"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def address():
    """Of the app with the bundled model."""
    with running_app() as address:
        yield address


def open_page(browser: Browser, address: str, width: int = 1100, **options) -> Page:
    """Open the page as a new visitor."""
    page = browser.new_context(viewport={"width": width, "height": 900}, **options).new_page()
    page.set_default_timeout(60_000)
    page.goto(address, wait_until="domcontentloaded")
    page.get_by_role("tab").first.wait_for()
    return page


@pytest.fixture(scope="package")
def images(tmp_path_factory):
    """A folder with a phantom, a page of noise and a letter that calls itself an image."""
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
