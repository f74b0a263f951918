"""The dilated convolution: what stands behind a stride that was taken out, so that its outputs see what they saw before."""

from collections.abc import Sequence
from dataclasses import replace

from flax import nnx

from strideflax.operators.geometry import PerAxis, centred, make_window, per_axis
from strideflax.operators.strided import StridedConv
from strideflax.window import Window


class DilatedConv(StridedConv):
    """A convolution at stride 1 whose taps lie ``dilation`` pixels apart, ``y[i] = sum_t w[t] x[i + d t - pad_low]``.

    Behind a dense layer in the place of one with stride ``d`` it computes, at every ``d``-th position, what the plain
    convolution did behind that stride, and new outputs between. Initial values are those of `StridedConv`. Sources:
    Holschneider et al. 1989 (algorithme à trous); Yu and Koltun 2016 (arXiv:1511.07122).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        dilation: PerAxis,
        window: PerAxis | None = None,
        padding: str | None = None,
        rngs: nnx.Rngs | None = None,
    ):
        super().__init__(in_features, out_features, stride=1, window=window, padding=padding, rngs=rngs)
        self.dilation = per_axis(dilation, len(self.window), "DilatedConv: dilation")

    def _window_on(self, map_size: Sequence[int]) -> Window:
        """Return the window with its taps apart, padded so that each pixel has an output."""
        window = replace(Window.dense(self.window), dilation=self.dilation)
        padding = centred(self.padding, window.extent)
        return make_window(map_size, self.window, stride=1, padding=padding, dilation=self.dilation)
