"""A class for each pixel of the embedded scenes: the mini-ResNet with a dense head, at output stride 2 by dilation.

Shows what resolution costs and what it is worth where detail counts. CamVid is read from its folder or archive.

- ``python train.py --config configs/segment.py:quick``: mean IoU 93.6 %, pixel accuracy 98.4 %, in 88 s of training and 4 s of
  compilation (n = 1).
- ``python train.py --config configs/segment.py:camvid --config.data.dir=DIR``: on CamVid at 128 x 96 mean IoU 42.0 %, pixel
  accuracy 81.1 %, in 378 s of training (n = 1), with a U-Net of 0.49 million parameters that has seen nothing else.

Two cores of an AMD EPYC, shared with other work, jax 0.12.0.1, 2026-11-26.
"""

from configs.baseline import baseline

SCENES = {"name": "scenes", "train_count": 4000, "val_count": 200, "test_count": 500}
CAMVID = {"name": "camvid", "train_count": None, "val_count": 101, "test_count": None}


def get_config(arg=None):
    """Return the strided network with dilation beyond output stride 2; "camvid" goes on to 8, with a U-Net.

    "quick" and "narrow" have fewer channels.
    """
    config = baseline(None if arg == "camvid" else arg)
    config.task = "segment"
    config.epochs = 8.0
    config.batch_size = 32
    config.eval_batch_size = 100
    config.model.stem.kernel = 3
    config.model.widths = (16, 32, 32) if arg in ("quick", "narrow") else (32, 64, 128)
    config.model.decoder = "resize"
    config.model.output_stride = 2
    config.data.update(SCENES)
    config.optimizer.update({"warmup_epochs": 0.5, "learning_rate": 0.2, "weight_decay": 1e-3, "label_smoothing": 0.0})
    if arg == "camvid":
        config.epochs = 60.0
        config.batch_size = 8
        config.checkpoint_epochs = 10
        config.model.update({"decoder": "unet", "output_stride": None})
        config.augment.scale = 0.25
        config.optimizer.update({"warmup_epochs": 5.0, "learning_rate": 0.1})
        config.data.update(CAMVID)
    return config
