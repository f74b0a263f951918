"""My experiment: what it is to show.

strideflax train --config configs/mine.py:quick
strideflax inspect --config configs/mine.py
strideflax train --config configs/mine.py --config.data.dir=DIR

The first takes seconds, on images that the library draws; the last trains on the CIFAR-10 in DIR.
"""

from ml_collections import ConfigDict

from configs.baseline import baseline  # the library's own, found by strideflax from any folder


def get_config(arg: str | None = None) -> ConfigDict:
    """Return the baseline with what this experiment changes; ``arg`` is what follows the colon: "quick", "narrow" or None."""
    config = baseline(arg)
    config.model.downsample = "blur_pool"  # one of strideflax.DOWNSAMPLERS, in every block that downsamples

    # Further fields. Each line is an example; remove the "# " in front of it and change the value.

    # config.model.window = 5  # pixels of the operator's window; None is its own default
    # config.model.placement = "before"  # the operator before the convolution, at a stride's cost, instead of "after"
    # config.model.widths = (32, 64, 128)  # channels of each stage
    # config.model.blocks = (2, 2, 2)  # residual blocks of each stage
    # config.model.strides = (1, 2, (1, 2))  # of each stage; rows and columns may differ
    # config.model.residual = False  # no shortcuts
    # config.model.dtype = "bfloat16"  # of the computation

    # config.data.train_count = 2000  # images to train on; None is all
    # config.data.val_count = 500  # images split off to choose by
    # config.augment.crop = 0  # pixels of a random shift; 0 is off
    # config.augment.cutout = 8  # side of a blanked square in pixels; 0 is off

    # config.epochs = 5.0
    # config.batch_size = 64
    # config.optimizer.learning_rate = 0.1  # the peak of the schedule
    # config.optimizer.weight_decay = 1e-3

    return config
