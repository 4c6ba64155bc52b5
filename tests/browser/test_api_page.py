"""The REST API's own page."""

from axe_playwright_python.sync_playwright import Axe


def test_it_has_its_style_and_asks_for_nothing_else(browser, address):
    page, asked, problems = browser.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: problems.append(message.text))
    page.goto(f"{address}/api/docs")
    assert page.evaluate("getComputedStyle(document.querySelector('pre')).overflowX") == "auto"
    page.get_by_role("link", name="openapi.json").click()
    page.wait_for_url(f"{address}/api/openapi.json")
    assert (asked, problems) == ([f"{address}/api/docs", f"{address}/api/openapi.json"], [])


def test_everyone_can_read_it(browser, address):
    for scheme, width in (("light", 1100), ("dark", 375)):
        options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
        page = browser.new_context(**options, bypass_csp=True).new_page()  # for axe's own script
        page.goto(f"{address}/api/docs")
        results = Axe().run(page)
        assert not results.response["violations"], results.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") == width
