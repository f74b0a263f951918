"""A mini-ResNet or ResNet-9 of strideflax in PyTorch; this file needs torch alone, and safetensors to load an exported run.

    import torch
    from torch_net import load

    net = load("weights.safetensors")
    logits = net(images)  # images: uint8 [batch, channels, height, width]
    names = [net.classes[i] for i in logits.argmax(-1)]

It computes what strideflax computes in evaluation, layer for layer, and can be trained on: see `MiniResNet` for what it takes.
"""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LOGIT_SCALE = 0.125  # of ResNet-9
BORDER_MODES = {"REFLECT": "reflect", "CIRCULAR": "circular"}  # every other padding adds a constant


@dataclass(frozen=True)
class Window:
    """A window that slides over rows and columns, padded such that ``ceil(n / stride)`` places come out."""

    size: tuple[int, int]
    stride: tuple[int, int]
    padding: str

    @property
    def pads_itself(self) -> bool:
        """Whether PyTorch's own layers pad alike: half an odd window, or `tiles`."""
        return self.padding == "SYMMETRIC" and all(size % 2 == 1 for size in self.size)

    @property
    def tiles(self) -> bool:
        """Whether the windows lie side by side from the first pixel on, so that only the last may lack pixels."""
        return self.size == self.stride and self.padding == "SYMMETRIC" and max(self.size) <= 2

    def pads(self, map_size: Sequence[int]) -> list[int]:
        """Return what to add on the left, on the right, above and below."""
        found: list[int] = []
        for n, k, s in zip(map_size, self.size, self.stride, strict=True):
            total = max((-(-n // s) - 1) * s + k - n, 0)
            rule = {"SAME": (total // 2, total - total // 2), "SAME_LOWER": (total - total // 2, total // 2)}
            found = [*rule.get(self.padding, ((k - 1) // 2, k // 2)), *found]
        return found

    def padded(self, x: Tensor, fill: float = 0.0) -> Tensor:
        """Return ``x`` with its border, for a layer without padding."""
        pads = self.pads(x.shape[-2:])
        if max(pads) == 0:
            return x
        if self.padding in BORDER_MODES:
            return functional.pad(x, pads, mode=BORDER_MODES[self.padding])
        return functional.pad(x, pads, value=fill)

    def taps(self, x: Tensor, fill: float = 0.0) -> Tensor:
        """Return the pixels of each window, ``[batch, channels, taps, rows, columns]``."""
        rows, columns = (-(-n // s) for n, s in zip(x.shape[-2:], self.stride, strict=True))
        x, (row_step, column_step) = self.padded(x, fill), self.stride
        pixels = []
        for i, j in itertools.product(*map(range, self.size)):
            last = i + (rows - 1) * row_step + 1, j + (columns - 1) * column_step + 1
            pixels.append(x[:, :, i : last[0] : row_step, j : last[1] : column_step])
        return torch.stack(pixels, dim=2)

    def is_inside(self, x: Tensor) -> Tensor:
        """Return 1 for each tap on a pixel and 0 for those on a border of zeros, shaped as `taps` of one channel."""
        return self.taps(torch.ones_like(x[:1, :1]))

    def maximum(self, x: Tensor) -> Tensor:
        """Return the largest value of each window."""
        if self.tiles:
            return functional.max_pool2d(x, self.size, self.stride, ceil_mode=True)
        if self.pads_itself:
            return functional.max_pool2d(x, self.size, self.stride, (self.size[0] // 2, self.size[1] // 2))
        return functional.max_pool2d(self.padded(x, -math.inf), self.size, self.stride)

    def mean(self, x: Tensor) -> Tensor:
        """Return the mean of each window's pixels; zeros of the border are not counted."""
        if self.tiles or self.pads_itself:
            pads = (0, 0) if self.tiles else (self.size[0] // 2, self.size[1] // 2)
            return functional.avg_pool2d(x, self.size, self.stride, pads, self.tiles, count_include_pad=False)
        return self.taps(x).sum(2) / self.is_inside(x).sum(2)


class Conv(nn.Conv2d):
    """A convolution without bias."""

    def __init__(self, in_features: int, out_features: int, window: Window):
        pads = (window.size[0] // 2, window.size[1] // 2) if window.pads_itself else 0
        super().__init__(in_features, out_features, window.size, window.stride, pads, bias=False)
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, in_features, rows, columns]`` to ``[batch, out_features, ...]``."""
        return super().forward(x if self.window.pads_itself else self.window.padded(x))


class Pool(nn.Module):
    """Maximum over a window, and what all operators that keep the channels apart have in common."""

    default_size: int | None = None  # as large as the stride

    def __init__(self, features: int, stride: tuple[int, int], padding: str, size: int | None = None):
        super().__init__()
        chosen = self.default_size if size is None else size
        sizes = stride if chosen is None else tuple(chosen if s > 1 else 1 for s in stride)
        self.window = Window((sizes[0], sizes[1]), stride, padding)
        self.out_features = features
        self.build(features)

    def build(self, features: int) -> None:
        """Create what is learned or stored."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, rows, columns]`` to its downsampled self."""
        return self.window.maximum(x)


class AvgPool(Pool):
    """Mean over a window."""

    def forward(self, x: Tensor) -> Tensor:
        """Average."""
        return self.window.mean(x)


class MaxAvg(Pool):
    """Maximum plus mean."""

    def forward(self, x: Tensor) -> Tensor:
        """Add the two."""
        return self.window.maximum(x) + self.window.mean(x)


class MixedPool(Pool):
    """A learned mixture of maximum and mean."""

    def build(self, features: int) -> None:
        """Create the logit of the maximum's share."""
        self.logit = nn.Parameter(torch.zeros(()))

    def share(self, x: Tensor) -> Tensor:
        """Return the maximum's share."""
        return torch.sigmoid(self.logit)

    def forward(self, x: Tensor) -> Tensor:
        """Mix."""
        share = self.share(x)
        return share * self.window.maximum(x) + (1 - share) * self.window.mean(x)


class GatedPool(MixedPool):
    """A mixture of maximum and mean, gated by each window's content."""

    def build(self, features: int) -> None:
        """Create the mask."""
        self.mask = nn.Parameter(torch.zeros(self.window.size))

    def share(self, x: Tensor) -> Tensor:
        """Return the maximum's share in each window."""
        return torch.sigmoid((self.window.taps(x) * self.mask.reshape(-1, 1, 1)).sum(2))


class L2Pool(Pool):
    """Root of the sum of squares."""

    def forward(self, x: Tensor) -> Tensor:
        """Take the norm of each window."""
        return self.window.taps(x).square().sum(2).sqrt()


class GeMPool(Pool):
    """Generalised mean with a learned exponent."""

    def build(self, features: int) -> None:
        """Create the exponent's logarithm."""
        self.log_p = nn.Parameter(torch.tensor(math.log(3.0)))

    def forward(self, x: Tensor) -> Tensor:
        """Take the power mean of each window's pixels, scaled by the largest so that no power overflows."""
        pixels, inside, p = self.window.taps(x).clamp_min(1e-6), self.window.is_inside(x), self.log_p.exp()
        largest = pixels.amax(2, keepdim=True)
        mean = ((pixels / largest) ** p * inside).sum(2) / inside.sum(2)
        return mean ** (1 / p) * largest.squeeze(2)


class SoftPool(Pool):
    """Mean weighted by the softmax of an importance, here the values themselves."""

    def importance(self, x: Tensor) -> Tensor:
        """Return each pixel's logit."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Weight and add up."""
        weights = self.window.taps(self.importance(x), fill=-math.inf).softmax(2)
        return (weights * self.window.taps(x)).sum(2)


class LIP(SoftPool):
    """Mean weighted by a learned importance."""

    def build(self, features: int) -> None:
        """Create the logits' convolution, scale and offset."""
        self.conv = Conv(features, features, Window((1, 1), (1, 1), self.window.padding))
        self.weight = nn.Parameter(torch.zeros(features))
        self.offset = nn.Parameter(torch.zeros(features))

    def importance(self, x: Tensor) -> Tensor:
        """Return each pixel's logit."""
        normalized = functional.instance_norm(self.conv(x), weight=self.weight, bias=self.offset)
        return 12 * torch.sigmoid(normalized)


class StochasticPool(Pool):
    """The expectation of a pick with probability proportional to the value."""

    def forward(self, x: Tensor) -> Tensor:
        """Weight each window's pixels by themselves."""
        pixels = self.window.taps(x.relu())
        total = pixels.sum(2)
        return pixels.square().sum(2) / torch.where(total > 0, total, 1)


class BlurPool(Pool):
    """A binomial filter."""

    default_size = 3

    def build(self, features: int) -> None:
        """Store the filter, one for each channel."""
        rows, columns = (torch.tensor([math.comb(k - 1, i) / 2 ** (k - 1) for i in range(k)]) for k in self.window.size)
        kernel = torch.outer(rows, columns).expand(features, 1, *self.window.size).contiguous()
        self.kernel: Tensor
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Filter each channel."""
        window, kernel, features = self.window, self.kernel.to(x.dtype), x.shape[1]
        if window.pads_itself:
            pads = (window.size[0] // 2, window.size[1] // 2)
            return functional.conv2d(x, kernel, None, window.stride, pads, groups=features)
        return functional.conv2d(window.padded(x), kernel, None, window.stride, groups=features)


class MaxBlur(BlurPool):
    """A dense maximum over windows as large as the stride, then a binomial filter."""

    def forward(self, x: Tensor) -> Tensor:
        """Take the maximum, then filter."""
        padding = "SYMMETRIC" if self.window.padding.startswith("SAME") else self.window.padding
        return super().forward(Window(self.window.stride, (1, 1), padding).maximum(x))


class Blocks(Pool):
    """Keep the first pixel of each block as large as the stride, and what all operators on blocks have in common."""

    def pixels(self, x: Tensor) -> Tensor:
        """Return the pixels of each block, ``[batch, channels, pixels, rows, columns]``; the last one is completed."""
        (rows, columns), (height, width) = self.window.stride, x.shape[-2:]
        pads = [0, -width % columns, 0, -height % rows]
        if max(pads) > 0:
            x = functional.pad(x, pads, mode=BORDER_MODES.get(self.window.padding, "constant"))
        return torch.stack([x[:, :, i::rows, j::columns] for i in range(rows) for j in range(columns)], dim=2)

    def forward(self, x: Tensor) -> Tensor:
        """Subsample."""
        return x[:, :, :: self.window.stride[0], :: self.window.stride[1]]


class SpaceToDepth(Blocks):
    """Stack each block's pixels on the channels."""

    def build(self, features: int) -> None:
        """Note that every pixel is kept."""
        self.out_features = features * math.prod(self.window.stride)

    def forward(self, x: Tensor) -> Tensor:
        """Stack pixel after pixel."""
        return self.pixels(x).transpose(1, 2).flatten(1, 2)


class HaarAll(SpaceToDepth):
    """All bands of the orthonormal Haar wavelet, stacked on the channels."""

    def bands(self, x: Tensor) -> Tensor:
        """Return ``[batch, channels, bands, rows, columns]``."""
        signs = torch.ones(1, 1)
        for step in self.window.stride:
            signs = torch.kron(signs, torch.tensor([[1.0, 1.0], [1.0, -1.0]]) if step == 2 else torch.ones(1, 1))
        signs = signs.to(x) / math.sqrt(len(signs))
        return torch.einsum("bcphw,qp->bcqhw", self.pixels(x), signs)

    def forward(self, x: Tensor) -> Tensor:
        """Stack band after band."""
        return self.bands(x).transpose(1, 2).flatten(1, 2)


class HaarLow(HaarAll):
    """The low band of the orthonormal Haar wavelet."""

    def build(self, features: int) -> None:
        """Note that one band is kept."""
        self.out_features = features

    def forward(self, x: Tensor) -> Tensor:
        """Keep the first band."""
        return self.bands(x)[:, :, 0]


POOLS: dict[str, type[Pool]] = {
    "subsample": Blocks,
    "max_pool": Pool,
    "avg_pool": AvgPool,
    "blur_pool": BlurPool,
    "max_blur": MaxBlur,
    "l2_pool": L2Pool,
    "gem_pool": GeMPool,
    "max_avg": MaxAvg,
    "mixed_pool": MixedPool,
    "gated_pool": GatedPool,
    "soft_pool": SoftPool,
    "stochastic_pool": StochasticPool,
    "lip": LIP,
    "space_to_depth": SpaceToDepth,
    "haar_low": HaarLow,
    "haar_all": HaarAll,
}
CONVOLUTIONS = ("strided_conv", "conv_pool", "conv_blur", "resnet_d")
OPERATORS = (*CONVOLUTIONS, *POOLS)


class ConvolutionAndPool(nn.Module):
    """An operator that convolves and pools, in the order that it has on the main path or on the shortcut."""

    def __init__(
        self,
        operator: str,
        in_features: int,
        out_features: int,
        *,
        kernel: int,
        stride: tuple[int, int],
        padding: str,
        taps: int | None,
        on_shortcut: bool,
    ):
        super().__init__()
        self.pool_first = on_shortcut and operator != "conv_pool"
        self.relu = operator == "conv_blur" and not on_shortcut
        only_strided = operator == "resnet_d" and not on_shortcut
        window = Window((kernel, kernel), stride if only_strided else (1, 1), padding)
        self.conv = Conv(in_features, out_features, window)
        pooled = in_features if self.pool_first else out_features
        pools: dict[str, type[Pool]] = {"conv_pool": Pool, "conv_blur": BlurPool, "resnet_d": AvgPool}
        size = taps if operator == "conv_blur" else None
        self.pool = nn.Identity() if only_strided else pools[operator](pooled, stride, padding, size)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, in_features, rows, columns]`` to ``[batch, out_features, ...]``."""
        if self.pool_first:
            return self.conv(self.pool(x))
        y = self.conv(x)
        return self.pool(functional.relu(y) if self.relu else y)


class Reduction(nn.Module):
    """Convolution, BatchNorm, ReLU, and the downsampling operator in the convolution's place, before or after it."""

    def __init__(
        self,
        config: Mapping[str, Any],
        in_features: int,
        out_features: int,
        *,
        operator: str,
        kernel: int,
        stride: int | Sequence[int],
        placement: str,
        window: int | None,
        taps: int | None,
        relu: bool,
        on_shortcut: bool = False,
    ):
        super().__init__()
        self.relu, self.out_features = relu, out_features
        rows, columns = (stride, stride) if isinstance(stride, int) else stride
        padding = config["padding"]

        def norm(features: int) -> nn.Module:
            return nn.BatchNorm2d(features, momentum=1 - config["batch_norm_momentum"])

        def dense(features: int) -> nn.Module:
            return Conv(features, out_features, Window((kernel, kernel), (1, 1), padding))

        def convolution(features: int, size: int) -> nn.Module:
            if operator == "strided_conv":
                return Conv(in_features, features, Window((size, size), (rows, columns), padding))
            options: dict[str, Any] = {"padding": padding, "taps": taps, "on_shortcut": on_shortcut}
            return ConvolutionAndPool(operator, in_features, features, kernel=size, stride=(rows, columns), **options)

        layers: list[nn.Module]
        if max(rows, columns) == 1:
            layers = [dense(in_features), norm(out_features)]
        elif operator in CONVOLUTIONS and placement == "added":
            layers = [convolution(in_features, window or 3), norm(in_features), dense(in_features), norm(out_features)]
        elif operator in CONVOLUTIONS:
            chosen = window if kernel > 1 else None
            layers = [convolution(out_features, chosen or kernel), norm(out_features)]
        elif placement == "after":
            pool = POOLS[operator](out_features, (rows, columns), padding, window)
            layers = [dense(in_features), norm(out_features), pool]
            self.out_features = pool.out_features
        else:
            pool = POOLS[operator](in_features, (rows, columns), padding, window)
            layers = [pool, dense(pool.out_features), norm(out_features)]
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Run the layers in their order, ReLU after BatchNorm."""
        for layer in self.layers:
            x = layer(x)
            if self.relu and isinstance(layer, nn.BatchNorm2d):
                x = functional.relu(x)
        return x


class Block(nn.Module):
    """A residual block whose shortcut, where the shape changes, is the same operator and a 1 x 1 convolution."""

    def __init__(self, config: Mapping[str, Any], in_features: int, out_features: int, stride: int | Sequence[int]):
        super().__init__()
        self.residual = config["residual"]
        down = {"operator": config["downsample"], "stride": stride, "window": config["window"], "taps": config["taps"]}
        self.reduction = Reduction(
            config, in_features, out_features, kernel=3, placement=config["placement"], relu=True, **down
        )
        self.conv = Conv(self.reduction.out_features, out_features, Window((3, 3), (1, 1), config["padding"]))
        self.norm = nn.BatchNorm2d(out_features, momentum=1 - config["batch_norm_momentum"])
        self.shortcut = None
        if config["residual"] and (stride not in (1, (1, 1), [1, 1]) or in_features != out_features):
            self.shortcut = Reduction(
                config, in_features, out_features, kernel=1, placement="before", relu=False, on_shortcut=True, **down
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, in_features, height, width]`` to ``[batch, out_features, height / s, width / s]``."""
        y = self.norm(self.conv(self.reduction(x)))
        if not self.residual:
            return functional.relu(y)
        return functional.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class Transition(nn.Module):
    """What a stage of ResNet-9 begins with: a convolution that downsamples, with no shortcut."""

    def __init__(self, config: Mapping[str, Any], in_features: int, out_features: int, stride: int | Sequence[int]):
        super().__init__()
        down = {"operator": config["downsample"], "stride": stride, "window": config["window"], "taps": config["taps"]}
        self.reduction = Reduction(
            config, in_features, out_features, kernel=3, placement=config["placement"], relu=True, **down
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, in_features, height, width]`` to ``[batch, out_features, height / s, width / s]``."""
        return self.reduction(x)


class MiniResNet(nn.Module):
    """The network, on normalised images: the mini-ResNet, or ResNet-9 where ``config["network"]`` is "resnet9".

    Args:
        config: the group ``model`` of a run's ``config.json``.
        classes: number of logits.
        in_features: image channels.

    Raises:
        ValueError: an operator that this file does not have, or a net that classifies pixels.
    """

    def __init__(self, config: Mapping[str, Any], *, classes: int = 10, in_features: int = 3):
        super().__init__()
        check_network(config)
        stem = config["stem"]
        self.stem = Reduction(
            config,
            in_features,
            stem.get("width") or config["widths"][0],
            operator=stem["downsample"],
            kernel=stem["kernel"],
            stride=stem["stride"],
            placement="after",
            window=None,
            taps=None,
            relu=True,
        )
        features, blocks = self.stem.out_features, []
        self.stem_pool = None
        if stem["pool"] is not None:
            self.stem_pool = POOLS[stem["pool"]](features, (2, 2), config["padding"])
            features = self.stem_pool.out_features
        self.is_resnet9 = config.get("network") == "resnet9"
        for width, count, stride in zip(config["widths"], config["blocks"], config["strides"], strict=True):
            if self.is_resnet9:
                blocks.append(Transition(config, features, width, stride))
                features, stride = blocks[-1].reduction.out_features, 1
            for number in range(count):
                blocks.append(Block(config, features, width, stride if number == 0 else 1))
                features = width
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[batch, classes]``, float32, of normalised images ``[batch, channels, height, width]``."""
        x = self.stem(x)
        if self.stem_pool is not None:
            x = self.stem_pool(x)
        for block in self.blocks:
            x = block(x)
        with torch.autocast(x.device.type, enabled=False):  # the classifier is float32 in the original too
            if self.is_resnet9:
                return self.head(x.float().amax((2, 3))) * LOGIT_SCALE
            return self.head(x.float().mean((2, 3)))

    @torch.no_grad()
    def load(self, weights: Mapping[str, Any]) -> None:
        """Take over strideflax's parameters and statistics, arrays or tensors by their path in the model.

        Raises:
            ValueError: a weight too many, too few, or of another shape.
        """
        here = {k: v for k, v in self.state_dict(keep_vars=True).items() if not k.endswith("num_batches_tracked")}
        there = {_torch_name(path): path for path in weights}
        if here.keys() != there.keys():
            raise ValueError(f"weights differ: {', '.join(sorted(here.keys() ^ there.keys()))}")
        for name, target in here.items():
            array = weights[there[name]]
            value = array if isinstance(array, Tensor) else torch.tensor(array)
            if there[name].endswith("kernel"):  # (rows, columns, in, out), or (in, out)
                value = value.permute(3, 2, 0, 1) if value.ndim == 4 else value.T
            if value.shape != target.shape:
                raise ValueError(f"{name} must have shape {tuple(target.shape)}, got {tuple(value.shape)}")
            target.copy_(value)


class Classifier(nn.Module):
    """A trained network on images as they are in files.

    Attributes:
        net: the network on normalised images.
        classes: the names of the classes, in the order of the logits.
    """

    def __init__(self, net: MiniResNet, *, mean: Sequence[float], std: Sequence[float], classes: Sequence[str]):
        super().__init__()
        self.net, self.classes = net, tuple(classes)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", 255 * torch.tensor(mean).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std).reshape(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[batch, classes]`` of images uint8 ``[batch, channels, height, width]``."""
        return self.net((images.float() - self.mean) / self.std)


def classifier(weights: Mapping[str, Any], description: Mapping[str, str]) -> Classifier:
    """Return the trained network, in evaluation.

    Args:
        weights: arrays or tensors by their path in strideflax's model.
        description: what an exported file says of itself: ``model``, ``classes``, ``mean`` and ``std``, each as JSON.
    """
    model, names, mean, std = (json.loads(description[key]) for key in ("model", "classes", "mean", "std"))
    net = MiniResNet(model, classes=len(names), in_features=len(mean))
    net.load(weights)
    return Classifier(net, mean=mean, std=std, classes=names).eval()


def load(path: str) -> Classifier:
    """Return the trained network of a safetensors file that ``strideflax export`` wrote, in evaluation."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        return classifier({name: file.get_tensor(name) for name in names}, file.metadata())


def check_network(config: Mapping[str, Any]) -> None:
    """Raise a ValueError if ``config`` has an operator that this file does not have, a decoder or dilated stages."""
    for field in ("decoder", "output_stride"):
        if config.get(field) is not None:
            raise ValueError(f"in PyTorch, config.model.{field} must be None, got {config[field]!r}")
    stem = config["stem"]
    named = {"downsample": config["downsample"], "stem.downsample": stem["downsample"], "stem.pool": stem["pool"]}
    for field, operator in named.items():
        if operator is not None and operator not in OPERATORS:
            raise ValueError(
                f"in PyTorch, config.model.{field} must be one of {', '.join(OPERATORS)}, got {operator!r}"
            )


_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def _torch_name(path: str) -> str:
    parent, _, leaf = path.rpartition(".")
    return f"{parent}.{_LEAVES.get(leaf, leaf)}"
