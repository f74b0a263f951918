"""Downsampling that lets the image choose which phase of the grid to keep, so that a shift does not matter.

Phase ``p`` of a map is its every ``stride``-th pixel from offset ``p`` on. Shifting the image permutes the phases and
shifts each by whole output pixels. Whoever chooses among them by a measure that ignores order and shifts chooses the
same pixels.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array, lax

from strideflax.kernels import lies_on_mesh
from strideflax.operators.base import Downsample, Stochastic, streams
from strideflax.operators.conv import conv
from strideflax.operators.geometry import PerAxis, per_axis, spatial_size
from strideflax.operators.rearrange import block_window, phases
from strideflax.operators.receptive_field import WindowPass
from strideflax.operators.strided import StridedConv


def adaptive_polyphase(x: Array, stride: PerAxis = 2) -> Array:
    """Keep, per sample, the phase with the largest l2 norm, see `polyphase_index` and `polyphase_sample`."""
    return polyphase_sample(x, polyphase_index(x, stride), stride)


def polyphase_index(x: Array, stride: PerAxis = 2) -> Array:
    """Return ``[batch]``, the phase of each sample with the largest l2 norm over space and channels.

    Args:
        x: ``[batch, *spatial, channels]``, one to three spatial axes.
        stride: an int or one per axis.

    Returns:
        Integers in ``0 ... prod(stride) - 1``, offsets counted row by row; the first of equals.

    Raises:
        ValueError: a stride or rank that does not fit.
    """
    components = _components(lax.stop_gradient(x), stride)
    dtype = jnp.promote_types(components[0].dtype, jnp.float32)
    energies = [jnp.square(c.astype(dtype)).sum(range(1, c.ndim)) for c in components]
    return jnp.argmax(jnp.stack(energies, 1), 1)


def polyphase_sample(x: Array, index: Array, stride: PerAxis = 2) -> Array:
    """Sample each image at its own phase.

    Args:
        x: ``[batch, *spatial, channels]``, one to three spatial axes. Where ``stride`` does not divide a size, the map
            wraps around, so that every phase has ``ceil(n / stride)`` pixels.
        index: integers ``[batch]``, the phase to keep, in ``0 ... prod(stride) - 1``, or weights
            ``[batch, prod(stride)]``, floating point, of a weighted sum of all phases.
        stride: an int or one per axis.

    Returns:
        ``[batch, *ceil(spatial / stride), channels]``.

    Raises:
        ValueError: a stride, a rank or an index that does not fit. (Within `jax.jit` values can't be looked at: there
            the nearest phase is taken for an index out of range.)
    """
    components = _components(x, stride)
    index = checked_index(index, components[0].shape[0], len(components))
    per_sample = (-1, *(1,) * (components[0].ndim - 1))
    if jnp.issubdtype(index.dtype, jnp.floating):
        weights = index.astype(components[0].dtype)
        parts = [c * weights[:, p].reshape(per_sample) for p, c in enumerate(components)]
        return sum(parts[1:], start=parts[0])
    return lax.select_n(jnp.broadcast_to(index.astype(jnp.int32).reshape(per_sample), components[0].shape), *components)


def checked_index(index: Array, batch: int, count: int) -> Array:
    """Return ``index`` if it is one of ``count`` phases, or a weight of each, for every sample of a batch.

    Raises:
        ValueError: another shape, or a phase that does not exist (unless traced).
    """
    index = jnp.asarray(index)
    weighted = jnp.issubdtype(index.dtype, jnp.floating)
    if index.shape != ((batch, count) if weighted else (batch,)):
        raise ValueError(
            f"index must be integers [{batch}] or weights [{batch}, {count}], got {index.dtype}{list(index.shape)}"
        )
    if not weighted and not isinstance(index, jax.core.Tracer) and ((index < 0) | (index >= count)).any():
        raise ValueError(f"index must be phases in 0..{count - 1}, got {index.tolist()}")
    return index


def _components(x: Array, stride: PerAxis) -> list[Array]:
    x = jnp.asarray(x)
    strides = per_axis(stride, len(spatial_size(x)), "stride")
    return phases(x, strides, strides, "CIRCULAR")


def learned_polyphase(x: Array, kernel: Array, score: Array, *, stride: PerAxis = 2, key: Array | None = None) -> Array:
    """Keep, per sample, the phase with the best score of a small network, see `phase_scores`.

    Args:
        x: ``[batch, *spatial, channels]``, one to three spatial axes.
        kernel: ``[3, ..., channels, hidden]``.
        score: ``[hidden]``.
        stride: an int or one per axis.
        key: randomness of training, where phases are mixed by Gumbel-softmax weights; None keeps the best one.

    Returns:
        ``[batch, *ceil(spatial / stride), channels]``.

    Raises:
        ValueError: a stride, rank or kernel that does not fit.
    """
    x = jnp.asarray(x)
    strides = per_axis(stride, len(spatial_size(x)), "stride")
    index = _phase_by_scores(phase_scores(x, kernel, score, strides), key)
    return polyphase_sample(x, index, strides)


def phase_scores(x: Array, kernel: Array, score: Array, stride: PerAxis = 2) -> Array:
    """Return ``score . mean(relu(kernel * phase))`` of each phase of ``x``, ``[batch, phases]``, float32.

    The convolution is circular and the mean global, so the scores of a circularly shifted image are the same.
    """
    components = _components(x, stride)
    kernel = jnp.asarray(kernel, jnp.result_type(components[0].dtype, float))
    if lies_on_mesh(*components):  # where images must not be moved to another device by a concatenation
        return jnp.stack([_mean_response(component, kernel) @ score for component in components], axis=1)
    means = _mean_response(jnp.concatenate(components), kernel)
    return (means @ score).reshape(len(components), -1).T


def _mean_response(x: Array, kernel: Array) -> Array:
    hidden = nnx.relu(conv(x, kernel, padding="CIRCULAR"))
    spatial = tuple(range(1, hidden.ndim - 1))
    return hidden.mean(spatial, dtype=jnp.promote_types(hidden.dtype, jnp.float32))


def _phase_by_scores(scores: Array, key: Array | None) -> Array:
    """Return the best phase ``[batch]``, or with a key Gumbel-softmax weights ``[batch, phases]``."""
    if key is None:
        return jnp.argmax(scores, 1)
    return jax.nn.softmax(scores + jax.random.gumbel(key, scores.shape, scores.dtype), 1)


class Polyphase(Downsample):
    """Sample every image at a phase that somebody else chose, by `polyphase_sample`; what the shortcut of a block does.

    The map wraps around where the stride does not divide its size, whatever the model's ``padding``.
    """

    default_window = None

    def __call__(
        self, x: Array, *, train: bool | None = None, key: Array | None = None, index: Array | None = None
    ) -> Array:
        """Sample ``x`` at ``index``, or at what `select` says if that is None; see `Downsample`."""
        index = self.select(self._checked(x), train=train, key=key) if index is None else index
        if index is None:
            raise ValueError(f"{type(self).__name__} samples where another operator chose: it needs an index, got None")
        return polyphase_sample(self._checked(x), index, self.stride)

    def dense(self, x: Array) -> Array:
        """Return ``x``: nothing is filtered before it is sampled (at the phase chosen, not at 0)."""
        return self._checked(x)

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return its one pass: any pixel of a block may be the one that is kept."""
        return (self._block_pass(map_size, taps=0),)

    def phase(self, map_size: Sequence[int]) -> None:
        """Return None: it depends on the image."""
        return None

    def _block_pass(self, map_size: Sequence[int], taps: int) -> WindowPass:
        window = block_window(map_size, self.stride, self.stride, "CIRCULAR")
        return WindowPass(window=window, features=self.in_features, taps=taps)


class AdaptivePolyphase(Polyphase):
    """Adaptive polyphase sampling (APS): keep, per sample, the phase with the largest l2 norm.

    ``y = x[s i + p]``, ``p = argmax_p ||x[s . + p]||_2`` over space and channels. A circular shift of the image shifts
    the output by whole pixels, so a network with ``CIRCULAR`` padding everywhere, sizes that the strides divide, and a
    global average gives the same logits for every shift but for rounding, trained or not. (The exception: two phases
    whose norms agree to the last digits of float32. Which of them is kept may then depend on the shift.) With any other
    padding, or where the map has to wrap around because the stride does not divide its size, that is no longer exact.
    The shortcut takes the main path's index. No low-pass: it aliases, consistently. Phase: None, it depends on the
    image. Costs one multiply-add per input value. Source: Chaman and Dokmanic 2021 (arXiv:2011.14214).

    When it helps: for exact invariance to circular shifts.
    """

    def select(self, x: Array, *, train: bool | None = None, key: Array | None = None) -> Array:
        """Return ``[batch]``, the phase with the largest norm."""
        return polyphase_index(x, self.stride)

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return its one pass: the norms read every pixel of a block."""
        return (self._block_pass(map_size, taps=math.prod(self.stride)),)


class LearnedPolyphase(Polyphase, Stochastic):
    """Learnable polyphase sampling (LPS): a small network scores each phase, and the best is kept.

    ``score_p = v . mean(relu(W * x[s . + p]))``, a 3 x 3 circular convolution to 16 channels, a global mean and a
    product with ``v``: the same for every phase and blind to shifts, so all that `AdaptivePolyphase` promises holds. In
    training the phases are mixed by Gumbel-softmax weights ``softmax(score + g)``, ``g`` standard Gumbel noise,
    temperature 1, which is what lets a gradient reach the scores; otherwise the best is kept. The shortcut takes the
    same index or weights. Phase: None, it depends on the image. Source: Rojas-Gomez et al. 2022 (arXiv:2210.08001).

    When it helps: as `AdaptivePolyphase`, with the choice learned.
    """

    hidden = 16

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create the scoring convolution and the weights of its channels."""
        super()._build(rngs)
        rngs = streams(self, rngs)
        ones = (1,) * len(self.stride)
        self.conv = StridedConv(self.in_features, self.hidden, stride=ones, padding="CIRCULAR", rngs=rngs)
        self.score = nnx.Param(jax.random.normal(rngs.params(), (self.hidden,)) / math.sqrt(self.hidden))

    def select(self, x: Array, *, train: bool | None = None, key: Array | None = None) -> Array:
        """Return the best phase ``[batch]``, or in training weights ``[batch, phases]``.

        Raises:
            ValueError: training without a key or a stream.
        """
        return _phase_by_scores(self.scores(x), self._key(train, key))

    def scores(self, x: Array) -> Array:
        """Return the score of each phase, ``[batch, phases]``, float32."""
        return phase_scores(x, self.conv.kernel[...], self.score[...], self.stride)

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return its one pass; its cost is the scoring convolution's over all phases."""
        return (self._block_pass(map_size, taps=math.prod(self.stride) * 3 ** len(self.stride) * self.hidden),)
