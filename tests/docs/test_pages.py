"""What the documentation points to is there, and the README stays one that is read."""

import pytest
from docs.pages import ROOT, Page, all_pages

from strideflax import DOWNSAMPLERS

every_page = pytest.mark.parametrize("page", all_pages(), ids=lambda page: page.name)


@every_page
def test_links_lead_to_files(page: Page):
    for target in page.links():
        assert (page.path.parent / target).exists(), f"{page.name} links to {target}"


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


def test_the_readme_s_first_two_blocks_train_and_test():
    train, test, *_ = Page(ROOT / "README.md").blocks("bash")
    assert "train.py --config configs/stride2.py:quick" in train
    assert "'.[test]'" in test
    assert "-m pytest" in test
