"""The numbers that every config starts from, each written once. The other files say what differs."""

from ml_collections import ConfigDict


def baseline(arg: str | None = None, *, downsample: str = "strided_conv") -> ConfigDict:
    """Return the strided mini-ResNet on CIFAR-10; ``arg`` "quick" is the same program on the embedded data set.

    "narrow" is half the width in bfloat16 for fewer epochs: a whole study of it takes two CPU cores some hours.
    """
    config = ConfigDict(
        {
            "seed": 0,
            "epochs": 10.0,
            "batch_size": 128,
            "eval_batch_size": 500,
            "checkpoint_epochs": 1,
            "task": "classify",
            "model": {
                "network": "mini_resnet",
                "stem": {"kernel": 7, "stride": 2, "downsample": "strided_conv", "pool": None, "width": None},
                "widths": (64, 128, 256),
                "blocks": (1, 1, 1),
                "strides": (1, 2, 2),
                "downsample": downsample,
                "window": None,  # the operator's own
                "taps": None,
                "placement": "after",
                "padding": "SYMMETRIC",
                "residual": True,
                "batch_norm_momentum": 0.9,
                "dtype": "float32",
                "output_stride": None,  # that of all strides
                "decoder": None,  # one class for an image
                "upsample": None,
            },
            "data": {
                "name": "cifar10",
                "dir": None,
                "train_count": None,  # all
                "val_count": 1000,
                "test_count": None,
                "size": None,
                "skip_unreadable": False,
                "void_label": None,
                "stretch": (1, 1),
            },
            "augment": {
                "crop": 4,
                "crop_padding": "zeros",
                "flip": True,
                "alternate_flips": False,
                "cutout": 0,
                "scale": 0.0,
            },
            "optimizer": {
                "name": "sgd",
                "schedule": "one_cycle",
                "learning_rate": 0.2,
                "warmup_epochs": 2.5,
                "momentum": 0.9,
                "weight_decay": 5e-3,
                "label_smoothing": 0.1,
                "clip_norm": None,
                "average_decay": None,
            },
        }
    )
    if arg == "quick":
        config.epochs = 3.0
        config.optimizer.warmup_epochs = 0.5
        config.model.widths = (16, 32, 64)
        config.data.update({"name": "shapes", "train_count": 4000, "val_count": 500, "test_count": 1000})
    elif arg == "narrow":
        config.epochs = 8.0
        config.checkpoint_epochs = 4
        config.optimizer.update({"learning_rate": 0.4, "warmup_epochs": 1.0})
        config.model.update({"widths": (32, 64, 128), "dtype": "bfloat16"})
    elif arg:
        raise ValueError(f"unknown variant {arg!r}; known: quick, narrow")
    return config
