"""How a convolution and a window's reduction are computed fast; the operators say what, this folder says how.

Its face is four functions: `convolve`, `window_max`, `window_sum` and `window_pixels`, each with gradients of every order.
Whoever wants to understand the library can take them for granted, and whoever wants to drop this folder when XLA is fast
enough can write each in a few lines: `lax.conv_general_dilated`, `lax.reduce_window` with a maximum or a sum, and a stack of
strided slices.

* `implementation`: which formulation runs, and how to force one.
* `convolution`, `formulations`: the three primitives of a convolution, and its formulations in XLA.
* `windows`: maxima and sums as elementwise operations on slices, and their gradients.
* `native`, `onednn`: oneDNN inside XLA's CPU programs; `foreign_call`: how they call C functions without Python.
* `primitives`: all that touches JAX's unstable interfaces.
"""

from strideflax.kernels.convolution import convolve
from strideflax.kernels.implementation import lies_on_mesh, resolve_implementation, use_implementation
from strideflax.kernels.padding import pad_border
from strideflax.kernels.windows import window_max, window_pixels, window_sum

__all__ = [
    "convolve",
    "lies_on_mesh",
    "pad_border",
    "resolve_implementation",
    "use_implementation",
    "window_max",
    "window_pixels",
    "window_sum",
]
