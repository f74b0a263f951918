import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from made_runs import config, result, write, write_run

from strideflax import results
from strideflax.analysis.ablation import LATENCY, read_ablation
from strideflax.config_file import read_config
from strideflax.errors import UserError
from strideflax.report.figures import pareto_front
from strideflax.report.write import write_report

WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def report(study_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    write_report(study_folder, out)
    return out


@pytest.fixture(scope="module")
def page(report):
    return (report / "report.html").read_text()


def accuracies(values, **changes):
    """Runs of {operator: [accuracy of seed 0, 1, ...]}, as `load` gives them, with config fields changed."""
    return pd.DataFrame(
        [
            {
                "run": f"{name}{seed}{changes}",
                "status": "finished",
                "seed": seed,
                "test_accuracy": value,
                "model.downsample": name,
                "device": "cpu",
                "dataset_name": "made up",
                "dataset_fingerprint": "1",
            }
            | changes
            for name, seeds in values.items()
            for seed, value in enumerate(seeds)
        ]
    )


class TestAblation:
    def test_a_field_that_varies_for_the_baseline_is_a_setting(self, study_folder):
        ablation = read_ablation(results.load(study_folder))
        assert ablation.settings == ("augment.crop",)
        assert ablation.operators == ["strided_conv", "blur_pool", "max_pool", "avg_pool"]  # baseline, then by accuracy
        assert [label for label, _, _ in ablation.cells()] == ["crop 0", "crop 4"]

    def test_a_field_that_varies_for_other_operators_alone_is_part_of_their_names(self):
        frames = [
            accuracies({"strided_conv": [0.5], "blur_pool": [0.6]}, **{"model.window": 0}),
            accuracies({"blur_pool": [0.7]}, **{"model.window": 5}),
        ]
        ablation = read_ablation(pd.concat(frames, ignore_index=True))
        assert ablation.settings == ()
        assert ablation.operators == ["strided_conv", "blur_pool, window 5", "blur_pool"]

    def test_fields_that_change_together_are_one_setting(self):
        frames = [
            accuracies({"strided_conv": [0.5], "a": [0.6]}, **{"augment.crop": c, "augment.cutout": 2 * c})
            for c in (0, 4)
        ]
        assert read_ablation(pd.concat(frames, ignore_index=True)).settings == ("augment.crop",)

    def test_the_table_holds_paired_differences_and_mean_costs(self, study_folder):
        table = read_ablation(results.load(study_folder)).table.set_index(["augment.crop", "operator"])
        row = table.loc[(0, "blur_pool")]
        assert row[["n", "pairs", "macs", LATENCY]].tolist() == pytest.approx([3, 3, 63.5e6, 6.35], rel=1e-12)
        assert row["difference"] == pytest.approx(0.015, abs=1e-12)
        assert table.loc[(4, "avg_pool"), ["n", "missing", "pairs", "dropped"]].tolist() == [2, 1, 2, 1]

    def test_another_factor_and_baseline(self):
        frames = [
            accuracies({"strided_conv": [a]}, **{"model.padding": p}) for p, a in (("SAME", 0.5), ("SYMMETRIC", 0.6))
        ]
        ablation = read_ablation(pd.concat(frames, ignore_index=True), factor="model.padding", baseline="SAME")
        assert ablation.operators == ["SAME", "SYMMETRIC"]
        assert ablation.table["difference"].tolist()[1] == pytest.approx(0.1, abs=1e-12)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"factor": "model.colour"},
                "no run has the field 'model.colour'; fields with several values: model.downsample",
            ),
            ({"baseline": "lanczos"}, "no run has model.downsample 'lanczos'; there are avg_pool, blur_pool"),
        ],
    )
    def test_what_is_not_there_is_the_users_mistake(self, study_folder, options, message):
        with pytest.raises(UserError, match=message):
            read_ablation(results.load(study_folder), **options)

    def test_two_runs_of_one_configuration_cannot_be_compared(self):
        frame = accuracies({"strided_conv": [0.5], "a": [0.6]})
        with pytest.raises(UserError, match="can't be compared: not paired: several runs"):
            read_ablation(pd.concat([frame, frame], ignore_index=True))


class TestWords:
    """The answer says no more than the numbers do."""

    def verdict(self, tmp_path, values):
        results.save(accuracies(values), tmp_path / "results.jsonl")
        write_report(tmp_path / "results.jsonl", tmp_path)
        return (tmp_path / "report.md").read_text().split("**")[1]

    def test_clearly_better(self, tmp_path):
        values = {"strided_conv": [0.80, 0.81, 0.82, 0.80, 0.81], "a": [0.81, 0.83, 0.83, 0.82, 0.82]}
        assert self.verdict(tmp_path, values) == "a beats strided_conv, +1.40 percentage points."

    def test_too_few_pairs(self, tmp_path):
        values = {"strided_conv": [0.80, 0.81], "a": [0.81, 0.83]}
        assert self.verdict(tmp_path, values) == "a is ahead of strided_conv, +1.50 percentage points."

    def test_not_clear(self, tmp_path):
        values = {"strided_conv": [0.80, 0.81, 0.82, 0.80, 0.81], "a": [0.81, 0.80, 0.83, 0.79, 0.82]}
        expected = "no operator is clearly better than strided_conv; the best is a, +0.20 percentage points."
        assert self.verdict(tmp_path, values) == expected

    def test_worse(self, tmp_path):
        values = {"strided_conv": [0.80, 0.81], "a": [0.79, 0.80], "b": [0.6, 0.6]}
        expected = "no operator beats strided_conv; the closest is a, \N{MINUS SIGN}1.00 percentage points."
        assert self.verdict(tmp_path, values) == expected

    def test_no_baseline_run_finished(self, tmp_path):
        values = {"strided_conv": [np.nan, np.nan], "a": [0.79, 0.80]}
        assert self.verdict(tmp_path, values) == "no run of strided_conv finished, so there is nothing to compare with."


class TestPage:
    def test_it_is_one_file_without_a_link_to_anything(self, page):
        links = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)|url\(([^)]*)\)|@import""", page)
        assert all(target.startswith("#") for pair in links for target in pair if target)
        assert "<script src" not in page
        assert "data:" not in page

    def test_names_of_elements_are_unique(self, page):
        names = re.findall(r'\bid="([^"]*)"', page)
        assert sorted(names) == sorted(set(names))

    def test_what_runs_say_is_escaped(self, page):
        assert ">out of memory &lt;b&gt;here&lt;/b&gt;<" in page
        assert "<b>here" not in page

    def test_every_tag_is_closed(self, page):
        class Balance(HTMLParser):
            def __init__(self):
                super().__init__()
                self.open = []

            def handle_starttag(self, tag, attrs):
                if tag not in ("meta", "br"):
                    self.open.append(tag)

            def handle_endtag(self, tag):
                assert self.open.pop() == tag

        parser = Balance()
        parser.feed(page)
        assert parser.open == []

    def test_all_figures_are_drawn_but_those_without_numbers_which_it_says(self, page):
        drawn = re.findall(r'<figure id="(\w+)"', page)
        assert drawn == ["accuracy", "differences", "seeds", "macs", "latency", "shift_consistency", "curves"]
        assert "Left out: accuracy against latency of a batch: no run has cost.inference.median_ms." in page

    def test_data_device_fingerprint_versions_and_failed_runs_are_told(self, page):
        for words in (
            "CIFAR-10 (JPEG re-encoded)",
            "cpu, 2 cores",
            "0123456789ab",
            "jax 0.10.2",
            "killed",
            "unreadable",
        ):
            assert words in page

    def test_the_same_runs_make_the_same_page(self, page, study_folder, tmp_path):
        write_report(study_folder, tmp_path)
        assert (tmp_path / "report.html").read_text() == page


def test_markdown_has_the_answer_and_the_table(report):
    text = (report / "report.md").read_text()
    assert (
        "**With crop 0: blur_pool is ahead of strided_conv, +1.50 percentage points at 1.59 times its MACs.**" in text
    )
    assert "| blur_pool | 0 | 89.53 (88.73 to 90.34) | +1.50 (+1.42 to +1.58) | 63.5 |" in text
    assert "| blur_pool | +1.40 (+1.32 to +1.48) | 3 | 0.25 |" in text  # the interaction of blur and crop
    assert "![Test accuracy](figures/accuracy.svg)" in text
    assert (report / "figures/accuracy.svg").read_text().startswith("<svg ")


def test_csv_has_all_runs(report):
    assert len(pd.read_csv(report / "results.csv")) == 26


def test_a_results_file_makes_the_same_tables_without_learning_curves(study_folder, report, tmp_path):
    results.save(results.load(study_folder), tmp_path / "results.jsonl.gz")
    write_report(tmp_path / "results.jsonl.gz", tmp_path / "out")
    text, expected = ((folder / "report.md").read_text() for folder in (tmp_path / "out", report))
    assert text.split("## Figures")[0] == expected.split("## Figures")[0]
    assert "learning curves: they are in the run folders" in text


def test_the_commands_make_the_runs_configuration_again(tmp_path):
    """Each line, read by train.py's own reader over another base, gives back the run's fingerprint."""
    changes = [["--config.model.downsample=max_pool", "--config.augment.crop=0"], ["--config.epochs=2.5"]]
    configs = [read_config("configs/stride2.py:quick", words) for words in changes]
    for i, run in enumerate(configs):
        write(tmp_path / f"run{i}/config.json", run.to_dict())
        write(tmp_path / f"run{i}/result.json", result() | {"config": run.to_dict(), "seed": run.seed})
    write_report(tmp_path, tmp_path / "out")
    commands = (tmp_path / "out/report.md").read_text().split("```bash\n")[1].split("```")[0]
    script = 'python() { printf "%s\\n" "$@" END; }\n' + commands  # a shell, as words with brackets need quotes
    calls = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split("\nEND\n")
    for call, expected in zip(calls, configs, strict=False):  # the last call is the report's
        words = call.split("\n")
        assert words[:2] == ["train.py", "--config"]
        made = read_config(words[2], [word for word in words if word.startswith("--config.")])
        assert made.fingerprint == expected.fingerprint


def test_a_folder_where_nothing_has_finished_yet(tmp_path):
    write(tmp_path / "run/config.json", config())
    with pytest.raises(UserError, match=r"no run has finished yet \(1 unfinished\)"):
        write_report(tmp_path, tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_one_single_run_is_reported_without_comparisons(tmp_path):
    write_run(tmp_path / "run", "strided_conv", 4, 0)
    write_report(tmp_path, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "there is no pair of runs to compare strided_conv with." in text
    assert "there is only one operator" in text


def test_pareto_front_by_hand():
    cost, gain = np.array([1, 2, 2, 3, 4]), np.array([5, 7, 6, 7, 9])
    # (2, 6) has an equal in cost and a better in gain, (3, 7) one that costs less for as much
    assert pareto_front(cost, gain).tolist() == [True, True, False, False, True]


@pytest.fixture(scope="module")
def browser(tmp_path_factory, report):
    """The page in headless Chromium. CI must have it; elsewhere it may be missing."""
    paths = [shutil.which("chromium"), shutil.which("chromedriver")]
    if not all(paths):
        message = "chromium and chromedriver are not installed (Debian: chromium, chromium-driver)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for switch in (
        "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "disable-dev-shm-usage", "disable-sync",
        "no-first-run", "disable-background-networking", "disable-component-update",
        f"user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(paths[1]))
    try:
        driver.get((report / "report.html").as_uri())
        yield driver
    finally:
        driver.quit()


class TestBrowser:
    def column(self, browser, title):
        """Return the cells of the first table's column ``title``, from top to bottom, and its aria-sort."""
        return browser.execute_script(
            """const table = document.querySelector("table"), headers = [...table.tHead.rows[0].cells];
            const header = headers.find((cell) => cell.textContent.startsWith(arguments[0]));
            const cells = [...table.tBodies[0].rows].map((row) => row.cells[header.cellIndex].textContent);
            return [cells, header.getAttribute("aria-sort")];""",
            title,
        )

    def press(self, browser, title, key=None):
        buttons = browser.find_elements("css selector", "table:first-of-type thead button")
        button = next(button for button in buttons if button.text.startswith(title))
        button.send_keys(key) if key else button.click()

    @pytest.mark.parametrize("width", WIDTHS)
    def test_the_page_is_as_wide_as_the_window_and_tables_scroll_in_their_boxes(self, browser, width):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        page_width, window = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert window == width
        assert page_width <= width
        box, table = browser.execute_script(
            'const box = document.querySelector(".scroll"); return [box.clientWidth, box.scrollWidth]'
        )
        assert box < table  # wide enough to need the box
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
        assert len(browser.find_elements("css selector", "table:first-of-type th[aria-sort]")) <= 1

    def test_the_console_is_silent_and_nothing_was_fetched(self, browser):
        assert browser.get_log("browser") == []
        assert browser.execute_script('return performance.getEntriesByType("resource").length') == 0
