"""The page of the upsampling operators: from the table and the docstrings."""

from pathlib import Path

from site_pages.documents import write_if_changed
from site_pages.operators import reference, summary, when_it_helps
from strideflax.operators.table import DOWNSAMPLERS, UPSAMPLERS

HEAD = """# Upsampling

The way back up, for decoders: each takes a map to any size that its stride takes down, so that an odd map meets its skip
connection again. `strideflax.way_back` builds the one that belongs to a downsampling layer, with that layer's stride, padding
and phase:

```python
import jax.numpy as jnp
import strideflax

down = strideflax.downsampler("blur_pool")(64)
up = strideflax.way_back("blur_pool", down, (31, 31))
x = jnp.ones((8, 31, 31, 64))
assert up(down(x), size=x.shape[1:3]).shape == x.shape
```

Adaptive sampling keeps another phase of every image. Its way back is told which, and a U-Net of circular convolutions then
follows every circular shift exactly:

```python
down = strideflax.downsampler("aps")(64, padding="CIRCULAR")
up = strideflax.way_back("aps", down, (32, 32))
x = jnp.ones((8, 32, 32, 64))
index = down.select(x)
y = up(down(x, index=index), size=x.shape[1:3], index=index)
```

| operator | what it does | way back of |
|---|---|---|
"""
FUNCTIONS = {
    "nearest": "nearest_upsample",
    "linear": "linear_upsample",
    "blur": "blur_upsample",
    "transposed_conv": "conv_transpose",
    "polyphase": "polyphase_upsample",
    "spectral": "spectral_upsample",
    "depth_to_space": "depth_to_space",
    "haar": "wavelet_upsample",
    "db2": "wavelet_upsample",
}


def write(root: Path, generated: Path) -> None:
    """Write ``upsampling.md``."""
    write_if_changed(generated / "upsampling.md", page())


def page() -> str:
    """Return the page."""
    rows, parts, shown = [], [], set()
    for name, cls in UPSAMPLERS.items():
        rows.append(f"| `{name}` | {summary(cls)} | {downsamplers_of(name)} |")
        parts += [f"## {name}", when_it_helps(cls), reference("autoclass", cls)]
        function = FUNCTIONS.get(name)
        if function == "depth_to_space":  # it has its place in the API reference
            parts.append("As a function: `strideflax.depth_to_space`.")
        elif function in shown:
            parts.append(f"As a function: `strideflax.{function}`.")
        elif function is not None:
            parts += ["As a function:", f"```{{eval-rst}}\n.. autofunction:: strideflax.{function}\n```"]
            shown.add(function)
    back = "## The layer that belongs to another\n\n```{eval-rst}\n.. autofunction:: strideflax.way_back\n```"
    return HEAD + "\n".join(rows) + "\n\n" + "\n\n".join([back, *parts]) + "\n"


def downsamplers_of(name: str) -> str:
    """Return the operators whose way back is the one called ``name``."""
    if name == "linear":
        return "every filter, and all that are not named here"
    names = []
    for down, entry in DOWNSAMPLERS.items():
        if entry.upsampler == name:
            names.append(f"`{down}`")
    return ", ".join(names)
