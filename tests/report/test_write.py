import re
import subprocess
from html.parser import HTMLParser

import pandas as pd
import pytest
from made_runs import config, result, write, write_run

from strideflax import results
from strideflax.config_file import read_config
from strideflax.errors import UserError
from strideflax.report.write import _markdown_row, write_report

WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def page(report):
    return (report / "report.html").read_text()


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
        "**With crop 0: the best by validation is blur_pool; its gain over strided_conv, +1.50 percentage points at 1.59 "
        "times the MACs, is not significant (3 pairs, p = 0.75 after Holm).**" in text
    )
    assert "| blur_pool | 0 | 88.53 | 89.53 (88.73 to 90.34) | +1.50 (+1.42 to +1.58) | 0.25 | 0.75 | 3 |" in text
    assert "| blur_pool | 0 | 3 | 63.5 | 1,000 | 6.35 ± 0.00 | 900 ± 0 |" in text
    assert "| blur_pool | +1.40 (+1.32 to +1.48) | 3 | 0.25 |" in text  # the interaction of blur and crop
    assert "![Test accuracy](figures/accuracy.svg)" in text
    assert (report / "figures/accuracy.svg").read_text().startswith("<svg ")


def test_csv_has_all_runs_with_whole_numbers_as_such(report):
    table = pd.read_csv(report / "results.csv", dtype=str)
    assert len(table) == 26
    assert set(table["params"].dropna()) == {"1000"}
    assert set(table["seed"].dropna()) == {"0", "1", "2", "3"}


def test_a_results_file_makes_the_same_tables_without_learning_curves(study_folder, report, tmp_path):
    results.save(results.load(study_folder), tmp_path / "results.jsonl.gz")
    write_report(tmp_path / "results.jsonl.gz", tmp_path / "out")
    text, expected = ((folder / "report.md").read_text() for folder in (tmp_path / "out", report))
    assert text.split("## Figures")[0] == expected.split("## Figures")[0]
    assert "learning curves: they are in the run folders" in text


def test_the_commands_make_the_runs_configuration_again(tmp_path):
    """Each line, read by the training command's own reader over another base, gives back the run's fingerprint."""
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
        assert words[:4] == ["-m", "strideflax", "train", "--config"]
        made = read_config(words[4], [word for word in words if word.startswith("--config.")])
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


def test_a_name_of_several_lines_stays_in_its_row():
    assert _markdown_row(["a\nb|c", "1"]) == "| a b\\|c | 1 |"
