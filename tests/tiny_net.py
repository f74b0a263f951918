"""The arguments of a command for a network that trains in a moment."""

TINY_NET = (
    "--config", "configs/stride2.py:quick",
    "--config.model.widths=(4, 8)",
    "--config.model.blocks=(1, 1)",
    "--config.model.strides=(1, 2)",
    "--config.model.stem.kernel=3",
)  # fmt: skip
