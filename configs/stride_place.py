"""Where to put the strides? Early stages at stride 1 and deep ones at 2, or the other way round, at one cost.

strideflax sweep --config configs/stride_place.py --out runs/stride_place

Strides 1, 2, 2 of the stages are the baseline's. Earlier strides make a cheaper net, so each is run twice: with the same
channels, and with as many more in every stage as bring its multiply-adds within 6 % of the baseline's.
"""

from configs.baseline import baseline

WIDER = {(2, 1, 2): 1.17, (2, 2, 1): 1.41}  # times the channels, by strides


def get_config(arg=None):
    """Return the baseline."""
    return baseline(arg)


def sweep(arg=None):
    """Yield the baseline and both earlier places, as they are and widened, for five seeds."""
    widths = get_config(arg).model.widths
    for seed in range(5):
        yield {"model.strides": (1, 2, 2), "model.widths": widths, "seed": seed}
        for strides, factor in WIDER.items():
            yield {"model.strides": strides, "model.widths": widths, "seed": seed}
            wider = tuple(round(factor * width) for width in widths)
            yield {"model.strides": strides, "model.widths": wider, "seed": seed}
