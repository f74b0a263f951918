"""What does each trick of the recipe give? ResNet-9 without one of them at a time, for three paired seeds.

strideflax sweep --config configs/resnet9_tricks.py:narrow --out runs/resnet9_tricks

Every run has one change from the recipe of `configs/resnet9.py`; the first of each seed has none. What ``:narrow``
gave stands in RESULTS.md.
"""

from configs.resnet9 import get_config as resnet9

WITHOUT = {
    "nothing": {},
    "alternating flips": {"augment.alternate_flips": False},
    "flips": {"augment.flip": False, "augment.alternate_flips": False},
    "reflected borders": {"augment.crop_padding": "zeros"},
    "crops": {"augment.crop": 0},
    "cutout": {"augment.cutout": 0},
    "label smoothing": {"optimizer.label_smoothing": 0.0},
    "the fall of the learning rate": {"optimizer.schedule": "constant"},
    "the average of weights": {"optimizer.average_decay": None},
}


def get_config(arg=None):
    """Return ResNet-9 and its recipe."""
    return resnet9(arg)


def sweep(arg=None):
    """Yield the recipe and the recipe without each trick, seed by seed."""
    for seed in range(3):
        for changes in WITHOUT.values():
            yield {**changes, "seed": seed}
