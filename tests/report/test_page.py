"""The page in headless Chromium, as a reader sees and uses it."""

import pytest
from browser import headless_chromium

WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def browser(tmp_path_factory, report):
    """The page in headless Chromium."""
    with headless_chromium(tmp_path_factory.mktemp("profile")) as driver:
        driver.get((report / "report.html").as_uri())
        yield driver


class TestBrowser:
    def column(self, browser, title):
        """Return the cells of the column ``title``, from top to bottom, and its aria-sort."""
        return browser.execute_script(
            """const headers = [...document.querySelectorAll("thead th")];
            const header = headers.find((cell) => cell.textContent.startsWith(arguments[0]));
            const table = header.closest("table");
            const cells = [...table.tBodies[0].rows].map((row) => row.cells[header.cellIndex].textContent);
            return [cells, header.getAttribute("aria-sort")];""",
            title,
        )

    def press(self, browser, title, key=None):
        buttons = browser.find_elements("css selector", "thead button")
        button = next(button for button in buttons if button.text.startswith(title))
        button.send_keys(key) if key else button.click()

    def resize(self, browser, width):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        assert browser.execute_script("return innerWidth") == width

    def test_at_a_desktops_width_no_column_is_cut_off(self, browser):
        self.resize(browser, 1280)
        boxes = browser.execute_script(
            'return [...document.querySelectorAll(".scroll")].map((box) => box.scrollWidth - box.clientWidth)'
        )
        assert len(boxes) == 4
        assert max(boxes) <= 0
        assert not any(hint.is_displayed() for hint in browser.find_elements("css selector", ".hint"))

    def test_at_a_phones_width_a_table_that_goes_on_says_so_and_scrolls_beside_its_first_column(self, browser):
        self.resize(browser, 390)
        frame = browser.find_element("css selector", ".frame")
        hint = frame.find_element("css selector", ".hint")
        assert hint.is_displayed()
        assert "scroll it sideways" in hint.text
        assert "more" in frame.get_attribute("class").split()
        box = frame.find_element("css selector", ".scroll")
        left = browser.execute_script(
            """arguments[0].scrollLeft = arguments[0].scrollWidth;
            const place = (cell) => cell.getBoundingClientRect().left - arguments[0].getBoundingClientRect().left;
            const cells = arguments[0].querySelector("tbody tr").cells;
            return [place(cells[0]), place(cells[1])];""",
            box,
        )
        assert left[0] == pytest.approx(0, abs=1)
        assert left[1] < 0
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(browser, 5).until(lambda _: "more" not in frame.get_attribute("class").split())

    @pytest.mark.parametrize("width", WIDTHS)
    def test_the_page_is_as_wide_as_the_window_and_figures_keep_their_size(self, browser, width):
        self.resize(browser, width)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        figures = browser.execute_script(
            """return [...document.querySelectorAll("figure svg")].map(
                (svg) => [svg.getBoundingClientRect().width, svg.viewBox.baseVal.width])"""
        )
        assert all(
            shown / drawn > 0.95 for shown, drawn in figures
        )  # letters of 9 points stay letters of 9 pixels or more

    def test_a_click_sorts_numbers_as_numbers_and_a_second_click_the_other_way(self, browser):
        self.press(browser, "million MACs")
        cells, direction = self.column(browser, "million MACs")
        assert ([float(cell) for cell in cells], direction) == ([40, 40, 62, 62, 63.5, 63.5, 102, 102], "ascending")
        self.press(browser, "million MACs")
        cells, direction = self.column(browser, "million MACs")
        assert ([float(cell) for cell in cells], direction) == ([102, 102, 63.5, 63.5, 62, 62, 40, 40], "descending")

    def test_the_keyboard_sorts_and_missing_cells_stay_last(self, browser):
        from selenium.webdriver.common.keys import Keys

        for direction in ("ascending", "descending"):
            self.press(browser, "gain over", Keys.ENTER)
            cells, said = self.column(browser, "gain over")
            gains = [float(cell.split()[0].replace("\N{MINUS SIGN}", "-")) for cell in cells[:6]]
            assert said == direction
            assert gains == sorted(gains, reverse=direction == "descending")
            assert cells[6:] == ["", ""]  # the baseline's

    def test_words_sort_as_words_and_only_one_column_says_that_it_is_sorted(self, browser):
        self.press(browser, "operator")
        cells, _ = self.column(browser, "operator")
        assert cells == sorted(cells)
        assert len(browser.find_elements("css selector", "[aria-label=Accuracy] th[aria-sort]")) == 1

    def test_the_console_is_silent_and_nothing_was_fetched(self, browser):
        assert browser.get_log("browser") == []
        assert browser.execute_script('return performance.getEntriesByType("resource").length') == 0
