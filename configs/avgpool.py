"""Average pooling instead of strides in the blocks: 2 x 2 after the first convolution, and on the shortcut."""

from configs.baseline import baseline


def get_config(arg=None):
    """Return the baseline with `avg_pool` in every block that downsamples."""
    config = baseline(arg)
    config.model.downsample = "avg_pool"
    return config
