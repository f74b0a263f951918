"""What the documentation points to is there, and the README stays one that is read."""

import re

import pytest
from docs.pages import ROOT, Page, all_pages
from site_pages.costs import short_cost
from site_pages.gains import gains

from strideflax import DOWNSAMPLERS
from strideflax.analysis.ablation import CONSISTENCY
from strideflax.config_file import read_sweep

every_page = pytest.mark.parametrize("page", all_pages(), ids=lambda page: page.name)


@every_page
def test_links_lead_to_files(page: Page):
    for target in page.links():
        assert target.exists(), f"{page.name} links to {target}"


@every_page
def test_files_that_a_page_names_exist(page: Page):
    for file in page.files():
        assert (ROOT / file).exists() or (ROOT / f"{file}.py").exists(), f"{page.name} names {file}"


@every_page
def test_a_page_has_one_title(page: Page):
    titles = [line for line in page.prose().splitlines() if line.startswith("# ")]
    assert len(titles) == 1, f"{page.name}: {titles}"


def test_the_readme_is_short_and_names_every_operator():
    readme = Page(ROOT / "README.md")
    assert len(readme.text.splitlines()) < 130
    for name in DOWNSAMPLERS:
        assert f"`{name}`" in readme.text, name


def test_the_readme_s_multiply_adds_are_those_that_inspection_counts():
    rows = re.findall(r"^\|[^|]+\|(.*`.*)\| ([\d. /]+) \|$", Page(ROOT / "README.md").text, re.M)
    stated = {}
    for operators, macs in rows:
        for name in re.findall(r"`(\w+)`", operators):
            stated[name] = macs
    assert stated == {name: short_cost(name) for name in DOWNSAMPLERS}


def test_the_readme_s_gains_are_those_of_the_shipped_runs():
    smoothing, shifts = [], []
    for name in ("blur_pool", "avg_pool", "max_blur"):
        for crop in (0, 4):
            smoothing.append(100 * gains("ablation_cifar10", crop, "test_accuracy")[name]["difference"])
            shifts.append(100 * gains("ablation_cifar10", crop, CONSISTENCY)[name]["difference"])
    before = gains("equal_cost_cifar10", 0, "test_accuracy")
    text = " ".join(Page(ROOT / "README.md").text.split())
    assert f"is worth {min(smoothing):.1f} to {max(smoothing):.1f} points of accuracy" in text
    assert f"the class of {min(shifts):.1f} to {max(shifts):.1f} points more" in text
    blur, average = (100 * before[name]["difference"] for name in ("blur_pool", "avg_pool"))
    assert f"a blur still gains {blur:.1f} points and an average {average:.1f}" in text
    assert before["max_pool"]["low"] < 0 < before["max_pool"]["high"]


def test_the_readme_s_first_two_blocks_train_and_test():
    train, test, *_ = Page(ROOT / "README.md").blocks("bash")
    assert "train.py --config configs/stride2.py:quick" in train
    assert "'.[test]'" in test
    assert "-m pytest" in test


@pytest.mark.parametrize(
    ("page", "spec"),
    [
        ("docs/guide/recipe.md", "study94.py"),
        ("configs/study94.py", "study94.py"),
        ("docs/guide/recipe.md", "resnet9_tricks.py"),
        ("docs/guide/segmentation.md", "segment_study.py:quick"),
        ("RESULTS.md", "segment_study.py:quick"),
    ],
)
def test_the_runs_of_a_sweep_are_as_many_as_is_said(page: str, spec: str):
    assert f"{len(read_sweep(f'configs/{spec}'))} runs" in (ROOT / page).read_text()
