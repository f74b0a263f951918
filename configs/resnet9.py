"""ResNet-9 with a short recipe: the net and the tricks of the CIFAR-10 speed records, with one operator to exchange.

Shows what an operator is worth where a net is good. Recipes of this kind reach 94 % on the official CIFAR-10 (Page 2018, with
max pools, in 24 epochs), on which this one has not been run: that takes a GPU, and `strideflax bench gpu --parts recipe`.

- ``python train.py --config configs/resnet9.py --config.data.dir=DIR``: 90.49 % on CIFAR-10 (JPEG re-encoded), in 1.6 hours of
  training on one core without its pauses (n = 1).
- ``python train.py --config configs/resnet9.py:narrow --config.data.dir=DIR``: 83.07 % on the same images, in 250 s of training
  on one core (n = 3).
- ``python train.py --config configs/resnet9.py:quick``: 98.6 % in 3 s of training and 4 s of compilation on two cores (n = 1).

AMD EPYC, jax 0.12.0.1, 2026-11-26.
"""

from configs.baseline import baseline


def get_config(arg=None):
    """Return a 3 x 3 stem, three max pools behind convolutions, two residual blocks, and 20 epochs of batches of 512.

    "narrow" has a quarter of the channels and fewer epochs.
    """
    config = baseline(arg, downsample="max_pool")
    config.batch_size = 512
    config.eval_batch_size = 1000
    config.checkpoint_epochs = 5
    config.model.network = "resnet9"
    config.model.stem.update({"kernel": 3, "stride": 1})
    config.model.blocks = (1, 0, 1)
    config.model.strides = (2, 2, 2)
    config.augment.update({"crop_padding": "reflect", "alternate_flips": True, "cutout": 8})
    config.optimizer.average_decay = 0.99
    if arg == "quick":
        config.batch_size = 128
        config.model.stem.width = 8
        config.optimizer.average_decay = 0.9
    elif arg == "narrow":
        config.model.stem.width = 16
        config.optimizer.average_decay = 0.98
    else:
        config.epochs = 20.0
        config.model.stem.width = 64
        config.model.widths = (128, 256, 512)
        config.model.dtype = "bfloat16"
        config.optimizer.update({"learning_rate": 0.4, "warmup_epochs": 4.0})
    return config
