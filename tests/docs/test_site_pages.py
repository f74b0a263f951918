"""What the build of the documentation site writes: a page for every operator, links that are right in the site."""

from pathlib import Path

import pytest
from docs.pages import FENCE, ROOT
from drawing import operator_page
from site_pages import commands, configs, operators, upsampling
from site_pages.links import with_site_links

from strideflax import DOWNSAMPLERS, UPSAMPLERS, downsampler


@pytest.mark.parametrize("name", DOWNSAMPLERS)
def test_an_operator_s_page_has_its_parts_and_an_example_that_runs(name: str):
    page = operators.page(name)
    for heading in ("Use it", "What it gains", "What it costs", "Definition"):
        assert f"\n## {heading}\n" in page
    (example,) = [body for language, body in FENCE.findall(page) if language == "python"]
    exec(compile(example, f"{name}.md", "exec"), {})


def test_the_page_on_upsampling_has_every_operator_and_examples_that_run():
    page = upsampling.page()
    for name in UPSAMPLERS:
        assert f"\n## {name}\n" in page
    examples = [body for language, body in FENCE.findall(page) if language == "python"]
    exec(compile("\n".join(examples), "upsampling.md", "exec"), {})
    assert "| `spectral_pool`, `asap`, `diff_stride` |" in page


def test_a_measured_operator_s_gains_stand_on_its_page():
    page = operators.page("blur_pool")
    assert "| CIFAR-10, random crops | after the convolution | +2.67 (+2.50 to +2.83) |" in page
    assert "| CIFAR-10, no crops | before it | +1.31 (+1.11 to +1.52) |" in page
    assert "Not yet measured" in operators.page("lip")


def test_the_picture_shows_what_the_operator_does():
    image = operator_page.small_pictures()[0]
    passing, mean = (
        operator_page.one_channel(downsampler("strided_conv")),
        operator_page.one_channel(downsampler("avg_pool")),
    )
    assert abs(operator_page.responses.picture(passing, image) - image[::2, ::2]).max() < 1e-6
    blocks = image.reshape(16, 2, 16, 2).mean((1, 3))
    assert abs(operator_page.responses.picture(mean, image) - blocks).max() < 1e-6
    assert len(operator_page.draw("max_pool", downsampler("max_pool")).axes) == 6


def test_every_config_and_command_is_shown(tmp_path: Path):
    configs.write(ROOT, tmp_path)
    commands.write(ROOT, tmp_path)
    page = (tmp_path / "configs.md").read_text()
    for path in (ROOT / "configs").glob("*.py"):
        assert f"## configs/{path.name}\n" in page
    assert "--config FILE[:VARIANT]" in (tmp_path / "help" / "train.txt").read_text()
    assert "usage: strideflax bench scaling" in (tmp_path / "help" / "bench_scaling.txt").read_text()


def test_links_lead_within_the_site():
    home, place = ROOT, ROOT / "docs" / "generated"
    text = "[a](RELIABILITY.md#x) ![b](notebooks/balance.png) [c](configs/stem.py) [d](strideflax/model/resnet.py) [e](https://f.g)"
    expected = "[a](RELIABILITY.md#x) ![b](../../notebooks/balance.png) [c](configs.md) d [e](https://f.g)"
    assert with_site_links(text, home, place, ROOT) == expected
