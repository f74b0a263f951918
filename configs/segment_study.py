"""What does a stride cost where each pixel has a class? Operators, output strides and decoders, for five paired seeds.

strideflax sweep --config configs/segment_study.py:quick --out runs/segment_study

Output stride 2 to 16 by strides, and 2 to 8 by dilation instead; plain interpolation of the last map, and a U-Net whose way up
is the operator's counterpart. Pools stand behind the convolution, at more than the stride's cost, and before it, at that cost.
On CamVid: ``:camvid`` with ``--config.data.dir=DIR``.
"""

from configs.segment import get_config as segment

OPERATORS = ("blur_pool", "max_pool", "avg_pool")
STRIDES = {2: (1, 1, 1), 4: (1, 1, 2), 8: (1, 2, 2), 16: (2, 2, 2)}  # of the stages, by output stride; the stem has 2
SEEDS = 5


def get_config(arg=None):
    """Return the segmenting network without dilation; every run changes it by one dict of `sweep`."""
    config = segment(arg)
    config.model.output_stride = None
    return config


def sweep(arg=None):
    """Yield everything seed by seed, so that an unfinished sweep is already paired."""
    for seed in range(SEEDS):
        for decoder in ("resize", "unet"):
            for output_stride, strides in STRIDES.items():
                if decoder == "unet" and output_stride == 2:
                    continue  # nothing to go up from: the same net as with "resize"
                net = {"model.decoder": decoder, "model.strides": strides, "seed": seed}
                yield net | {"model.downsample": "strided_conv"}
                for operator in OPERATORS if output_stride > 2 else ():  # at 2 the stem alone has a stride
                    for placement in ("after", "before"):
                        yield net | {"model.downsample": operator, "model.placement": placement}
        for output_stride in (2, 4, 8):
            dilated = {"model.strides": STRIDES[16], "model.output_stride": output_stride}
            yield {"model.decoder": "resize", **dilated, "model.downsample": "strided_conv", "seed": seed}
