"""One page per operator, and the page that lists them all: from the table, the docstrings, the counts, the shipped runs."""

import inspect
import re
from pathlib import Path

from drawing import operator_page
from flax import nnx

from site_pages.configs import as_markdown
from site_pages.costs import costs_of, short_cost
from site_pages.documents import write_if_changed
from site_pages.gains import gains_table, shortest_gain
from strideflax import operators as public
from strideflax.operators.table import DOWNSAMPLERS, Operator, downsampler

LIST_HEAD = """# Operators

A gain is in percentage points of accuracy over the strided convolution, on CIFAR-10 (JPEG re-encoded) with random
crops: n = 5 paired seeds, `strideflax sweep --config configs/ablation.py:narrow`, two cores of an Intel Xeon,
2026-11-22; each operator's page has the interval, and a dash means that it was not measured with several seeds. MACs
are those of the whole baseline network over the strided one's, with the operator after the block's first convolution /
before it.

| operator | what it does | gain | MACs |
|---|---|---|---|
"""
PICTURE = """
![What {name} does to a small picture, to an edge and to rings]({name}.png)

Above: a small picture, what `{name}` at stride 2 makes of it, and its answer to a sharp edge (blue circles) and to the
same edge one pixel further right (orange squares). Below: rings that get finer outwards, and what it makes of them;
outside the dashed square no ring is true. Right of them: what is folded down (red) or lost (blue) of the power of 100
small pictures, lowest frequency in the middle.{note}
"""
PICTURE_DPI = 130
PASSES_ON = " The convolution is set to pass its input on, so that only the downsampling shows."
UNTRAINED = " It is shown untrained."
GAINS = """Over the strided convolution, in percentage points: mean of paired differences with 95 % bootstrap
interval; CIFAR-10 is JPEG re-encoded. Two cores of an Intel Xeon, jax 0.12.0.1, 2026-11-22. [Results](../RESULTS.md)
says what the studies share.

"""
NOT_MEASURED = """Not yet measured with several seeds. To measure it, add `"{name}"` to `OPERATORS` of
`configs/ablation.py` and run

```console
$ strideflax sweep --config configs/ablation.py:quick --out runs/ablation
$ strideflax report runs/ablation
```"""
COSTS = """Counted for the whole baseline network, over the strided one's. No device enters.
"""
INSPECT = """$ strideflax inspect --config configs/stride2.py --compare configs/stride2.py \\
    --config.model.downsample={name}{words}"""
TRAIN = """```console
$ strideflax train --config configs/stride2.py:quick \\
    --config.model.downsample={name}
```"""
WAY_BACK = """## The way back

In a decoder, [`{name}`](../upsampling.md) takes its output back to the larger map."""
SHORTCUT_PICTURE = (
    """![What the shortcut of {name} does to a small picture, to an edge and to rings]({name}_shortcut.png)"""
)
FUNCTIONS = {
    "strided_conv": "conv",
    "subsample": "subsample",
    "max_pool": "max_pool",
    "avg_pool": "avg_pool",
    "conv_pool": "conv_pool",
    "blur_pool": "blur_pool",
    "max_blur": "max_blur",
    "conv_blur": "conv_blur",
    "resnet_d": "resnet_d_shortcut",
    "l2_pool": "lp_pool",
    "gem_pool": "generalized_mean_pool",
    "max_avg": "max_avg_pool",
    "mixed_pool": "mixed_pool",
    "gated_pool": "gated_pool",
    "soft_pool": "soft_pool",
    "stochastic_pool": "stochastic_pool",
    "ada_pool": "ada_pool",
    "pasa": "pixel_adaptive_pool",
    "lip": "local_importance_pool",
    "resize": "resize_pool",
    "spectral_pool": "spectral_pool",
    "asap": "asap_pool",
    "diff_stride": "diff_stride",
    "aps": "adaptive_polyphase",
    "lps": "learned_polyphase",
    "space_to_depth": "space_to_depth",
    "haar_low": "haar_low",
    "haar_all": "haar_all",
    "tips": "soft_polyphase",
    "db2_low": "wavelet_low",
    "db2_all": "wavelet_all",
}
EXAMPLE = """import jax.numpy as jnp
import strideflax
from flax import nnx

operator = strideflax.downsampler("{name}")(64, stride=2, rngs=nnx.Rngs(0))
y = operator(jnp.ones((8, 32, 32, 64)))
assert y.shape == (8, 16, 16, {features})
"""


def write(root: Path, generated: Path) -> None:
    """Write ``operators/NAME.md`` and its pictures for every entry of the table, and ``operators/index.md``."""
    folder = generated / "operators"
    rows = []
    for name, entry in DOWNSAMPLERS.items():
        write_if_changed(folder / f"{name}.md", page(name))
        operator_page.draw(name, entry.main).savefig(folder / f"{name}.png", dpi=PICTURE_DPI)
        if projects(entry):
            picture = operator_page.draw(f"{name}'s shortcut", entry.on_shortcut)
            picture.savefig(folder / f"{name}_shortcut.png", dpi=PICTURE_DPI)
        rows.append(f"| [`{name}`]({name}.md) | {summary(entry.main)} | {shortest_gain(name)} | {short_cost(name)} |")
    toctree = "\n".join(("\n```{toctree}", ":hidden:", "", *DOWNSAMPLERS, "```\n"))
    write_if_changed(folder / "index.md", LIST_HEAD + "\n".join(rows) + "\n" + toctree)


def page(name: str) -> str:
    """Return the page of one operator."""
    entry = DOWNSAMPLERS[name]
    note = PASSES_ON if entry.main.convolves else ""
    if name in ("lps", "pasa", "tips"):
        note = UNTRAINED
    parts = [
        f"# {name}",
        summary(entry.main),
        when_it_helps(entry.main),
        PICTURE.format(name=name, note=note).strip(),
        "## Use it",
        f"```python\n{example(name)}```",
        TRAIN.format(name=name),
        "## What it gains",
        gains_section(name),
        "## What it costs",
        costs_section(name),
        "## Definition",
        reference("autoclass", entry.main),
    ]
    if name in FUNCTIONS:
        parts += ["As a function:", f"```{{eval-rst}}\n.. autofunction:: strideflax.{FUNCTIONS[name]}\n```"]
    parts.append(WAY_BACK.format(name=entry.upsampler))
    if entry.shortcut is not None:
        parts += ["## On the shortcut", f"On the shortcut of a block stands `{entry.shortcut.__name__}`."]
        if projects(entry):
            parts += [SHORTCUT_PICTURE.format(name=name), reference("autoclass", entry.shortcut)]
    return "\n\n".join(part for part in parts if part) + "\n"


def projects(entry: Operator) -> bool:
    """Return whether a module of its own stands on the shortcut and convolves, so that its picture says something."""
    return entry.shortcut is not None and entry.shortcut.convolves


def reference(directive: str, module: type) -> str:
    """Return what lets Sphinx write out a docstring."""
    place = "strideflax.operators" if hasattr(public, module.__name__) else module.__module__
    return f"```{{eval-rst}}\n.. {directive}:: {place}.{module.__name__}\n```"


def summary(module: type) -> str:
    """Return the first sentence of an operator's docstring, as Markdown."""
    docstring = inspect.getdoc(module) or ""
    first = re.split(r"(?<=\.)\s", docstring.split("\n\n")[0].replace("\n", " "))[0]
    return as_markdown(first)


def when_it_helps(module: type) -> str:
    """Return the paragraph of an operator's docstring that says so, as Markdown; "" if there is none."""
    for paragraph in (inspect.getdoc(module) or "").split("\n\n"):
        if paragraph.startswith("When it helps: "):
            return as_markdown(paragraph.replace("When it helps:", "**When it helps:**").replace("\n", " "))
    return ""


def example(name: str) -> str:
    """Return lines of Python that use the operator; the tests run them."""
    built = downsampler(name)(64, rngs=nnx.Rngs(0))
    return EXAMPLE.format(name=name, features=built.out_features)


def gains_section(name: str) -> str:
    """Return what the shipped studies say about the operator."""
    if name == "strided_conv":
        return "It is the baseline of all comparisons: see [Results](../RESULTS.md)."
    table = gains_table(name)
    if table is None:
        return NOT_MEASURED.format(name=name)
    return GAINS + table


def costs_section(name: str) -> str:
    """Return the operator's cost in the baseline network."""
    lines = [COSTS, "| place | MACs | parameters |", "|---|---|---|"]
    commands = []
    for cost in costs_of(name):
        place, words = "after the block's first convolution", ""
        if downsampler(name).convolves:
            place = "as the block's first convolution"
        elif cost.place == "before":
            place, words = "before it", " --config.model.placement=before"
        lines.append(f"| {place} | {cost.macs:.2f} | {cost.params:.2f} |")
        commands.append(INSPECT.format(name=name, words=words))
    return "\n".join([*lines, "", "```console", *commands, "```"])
