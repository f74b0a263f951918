"""What does a stride cost where each pixel has a class? Operators, output strides and decoders, for five paired seeds.

strideflax sweep --config configs/segment_study.py:hour --out runs/segment_study

Output stride 2 to 16 by strides, and 2 to 8 by dilation instead; plain interpolation of the last map, and a U-Net whose way up
is the operator's counterpart. Pools stand behind the convolution, at more than the stride's cost, and before it, at that cost.
On CamVid: ``:camvid`` with ``--config.data.dir=DIR``.

``:hour`` and ``:camvid_hour`` are what one CPU core trains in an hour: fewer channels, images, epochs and nets. Their 140
and 60 runs come with the library; they took 36 and 53 minutes on an AMD EPYC VM that had other work, most of them on one
core (2026-11-26).
"""

from configs.segment import get_config as segment

OPERATORS = ("blur_pool", "max_pool", "avg_pool")
STRIDES = {2: (1, 1, 1), 4: (1, 1, 2), 8: (1, 2, 2), 16: (2, 2, 2)}  # of the stages, by output stride; the stem has 2
SEEDS = 5


def get_config(arg=None):
    """Return the segmenting network without dilation; every run changes it by one dict of `sweep`."""
    config = segment({"hour": "quick", "camvid_hour": "camvid"}.get(arg, arg))
    config.model.output_stride = None
    if arg == "hour":
        config.data.train_count = 2000
        config.epochs = 4.0
        config.batch_size = 16
    elif arg == "camvid_hour":
        config.model.widths = (16, 32, 32)
        config.epochs = 20.0
        config.optimizer.warmup_epochs = 2.0
    return config


def sweep(arg=None):
    """Yield everything seed by seed, so that an unfinished sweep is already paired."""
    nets = {"hour": nets_for_scenes, "camvid_hour": nets_for_camvid}.get(arg, all_nets)
    for seed in range(SEEDS):
        for net in nets():
            yield net | {"seed": seed}


def all_nets():
    """Yield every operator, placement, output stride and decoder, and dilation."""
    for decoder in ("resize", "unet"):
        for output_stride in STRIDES:
            if decoder == "unet" and output_stride == 2:
                continue  # nothing to go up from: the same net as with "resize"
            yield strided(output_stride, decoder)
            if output_stride > 2:  # at 2 the stem alone has a stride
                yield from pooled(output_stride, decoder)
    for output_stride in (2, 4, 8):
        yield dilated(output_stride)


def nets_for_scenes():
    """Yield every output stride, all operators at 8 and 16, and the blur and the maximum at 4 and in a U-Net."""
    for output_stride in STRIDES:
        yield strided(output_stride, "resize")
    for output_stride in (2, 4, 8):
        yield dilated(output_stride)
    yield strided(8, "unet")
    for output_stride in (8, 16):
        yield from pooled(output_stride, "resize")
    for output_stride, decoder in ((4, "resize"), (8, "unet")):
        yield from pooled(output_stride, decoder, ("blur_pool", "max_pool"))


def nets_for_camvid():
    """Yield three output strides, a U-Net, and the blur and the maximum at output stride 8."""
    for output_stride in (4, 8, 16):
        yield strided(output_stride, "resize")
    yield strided(8, "unet")
    for decoder in ("resize", "unet"):
        yield from pooled(8, decoder, ("blur_pool", "max_pool"))


def strided(output_stride, decoder):
    """Return the changes that make the net with strided convolutions."""
    return {"model.decoder": decoder, "model.strides": STRIDES[output_stride], "model.downsample": "strided_conv"}


def pooled(output_stride, decoder, operators=OPERATORS):
    """Yield the changes for each operator, behind the convolution and before it."""
    for operator in operators:
        for placement in ("after", "before"):
            yield strided(output_stride, decoder) | {"model.downsample": operator, "model.placement": placement}


def dilated(output_stride):
    """Return the changes that make the net of output stride 16 with dilation beyond ``output_stride``."""
    return strided(16, "resize") | {"model.output_stride": output_stride}
