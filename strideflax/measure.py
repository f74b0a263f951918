"""Measures of a network of your own: the public import path of `strideflax.measuring` for any function of images.

``predict`` is any traceable JAX function from images ``[batch, height, width, channels]`` to logits ``[batch, classes]``: a
Flax NNX module, ``lambda x: net.apply(variables, x)`` of Linen, or plain JAX. Images are arrays of the type that it takes,
floats or uint8. A module is measured in evaluation, as by its ``.eval()``, whatever it is in, and stays as it is.

::

    from strideflax import measure
    measure.shift_consistency(model, images, labels, border="circular")
"""

from strideflax.measuring.calibration import calibration
from strideflax.measuring.cost import cost
from strideflax.measuring.detail import detail
from strideflax.measuring.fractional_shifts import fractional_shift_consistency
from strideflax.measuring.receptive_field import receptive_field
from strideflax.measuring.robustness import corruption_errors as robustness
from strideflax.measuring.shifts import shift_consistency
from strideflax.measuring.traced_aliasing import aliasing

__all__ = [
    "aliasing",
    "calibration",
    "cost",
    "detail",
    "fractional_shift_consistency",
    "receptive_field",
    "robustness",
    "shift_consistency",
]
