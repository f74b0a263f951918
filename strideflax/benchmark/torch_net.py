"""The same mini-ResNet in PyTorch, written from the configuration, layer for layer as `strideflax.model`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from strideflax.model import ModelConfig
from strideflax.operators.blur import binomial_filter

OPERATORS = ("strided_conv", "max_pool", "avg_pool", "blur_pool")


class Pool(nn.Module):
    """Max pool, average pool or BlurPool; channels are kept."""

    def __init__(self, operator: str, window: int, stride: int, features: int):
        super().__init__()
        self.operator, self.window, self.stride = operator, window, stride
        self.ceil = window == stride  # what is left of an odd map is a window too
        self.padding = 0 if self.ceil else window // 2
        filter_row = torch.tensor(binomial_filter(window), dtype=torch.float32)
        kernel = torch.outer(filter_row, filter_row).expand(features, 1, window, window).contiguous()
        self.kernel: Tensor
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, channels, height, width]`` to its downsampled self."""
        if self.operator == "max_pool":
            return functional.max_pool2d(x, self.window, self.stride, self.padding, ceil_mode=self.ceil)
        if self.operator == "avg_pool":
            return functional.avg_pool2d(
                x, self.window, self.stride, self.padding, ceil_mode=self.ceil, count_include_pad=False
            )
        return functional.conv2d(x, self.kernel.to(x.dtype), None, self.stride, self.padding, groups=x.shape[1])


def convolution(in_features: int, out_features: int, window: int, stride: int) -> nn.Conv2d:
    """Return the one convolution of all layers: centred zero padding, no bias."""
    return nn.Conv2d(in_features, out_features, window, stride, window // 2, bias=False)


class Reduction(nn.Module):
    """Convolution, BatchNorm, ReLU, and the downsampling operator before or after them."""

    def __init__(
        self,
        config: ModelConfig,
        in_features: int,
        out_features: int,
        *,
        operator: str,
        kernel: int,
        stride: int,
        placement: str,
        window: int,
        relu: bool,
    ):
        super().__init__()
        self.relu = relu
        norm = nn.BatchNorm2d(out_features, momentum=1 - config.batch_norm_momentum)
        layers: list[nn.Module]
        if operator == "strided_conv" or stride == 1:
            size = window if window and kernel > 1 and stride > 1 else kernel
            layers = [convolution(in_features, out_features, size, stride), norm]
        else:
            default = 3 if operator == "blur_pool" else stride
            pooled = in_features if placement == "before" else out_features
            down = Pool(operator, window or default, stride, pooled)
            conv = convolution(in_features, out_features, kernel, 1)
            layers = [down, conv, norm] if placement == "before" else [conv, norm, down]
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

    def __init__(self, config: ModelConfig, in_features: int, out_features: int, stride: int):
        super().__init__()
        self.residual = config.residual
        downsample: dict[str, Any] = {"operator": config.downsample, "stride": stride, "window": config.window or 0}
        self.reduction = Reduction(
            config, in_features, out_features, kernel=3, placement=config.placement, relu=True, **downsample
        )
        self.conv = convolution(out_features, out_features, 3, 1)
        self.norm = nn.BatchNorm2d(out_features, momentum=1 - config.batch_norm_momentum)
        self.shortcut = None
        if config.residual and (stride > 1 or in_features != out_features):
            self.shortcut = Reduction(
                config, in_features, out_features, kernel=1, placement="before", relu=False, **downsample
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, in_features, height, width]`` to ``[batch, out_features, height / s, width / s]``."""
        y = self.norm(self.conv(self.reduction(x)))
        if not self.residual:
            return functional.relu(y)
        return functional.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class MiniResNet(nn.Module):
    """The network under study, in PyTorch.

    Raises:
        ValueError: a config with something that this twin does not have.
    """

    def __init__(self, config: ModelConfig, *, classes: int = 10):
        super().__init__()
        check_twin(config)
        self.stem = Reduction(
            config,
            3,
            config.widths[0],
            operator=config.stem.downsample,
            kernel=config.stem.kernel,
            stride=_square(config.stem.stride),
            placement="after",
            window=0,
            relu=True,
        )
        features, blocks = config.widths[0], []
        for width, count, stride in zip(config.widths, config.blocks, config.strides, strict=True):
            for j in range(count):
                blocks.append(Block(config, features, width, _square(stride) if j == 0 else 1))
                features = width
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[batch, classes]``, float32, of images ``[batch, 3, height, width]``."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        with torch.autocast(x.device.type, enabled=False):  # the classifier is float32 in the original too
            return self.head(x.float().mean((2, 3)))

    @torch.no_grad()
    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Take over strideflax's parameters and statistics, by their path in the model.

        Raises:
            ValueError: a weight too many, too few, or of another shape.
        """
        here = {k: v for k, v in self.state_dict(keep_vars=True).items() if not k.endswith("num_batches_tracked")}
        there = {_torch_name(path): array for path, array in weights.items()}
        if here.keys() != there.keys():
            raise ValueError(f"weights differ: {', '.join(sorted(here.keys() ^ there.keys()))}")
        for name, target in here.items():
            value = torch.from_numpy(np.array(_torch_axes(there[name]), order="C"))  # a copy, as JAX's are read-only
            if value.shape != target.shape:
                raise ValueError(f"{name} must have shape {tuple(target.shape)}, got {tuple(value.shape)}")
            target.copy_(value)


def check_twin(config: ModelConfig) -> None:
    """Raise a ValueError if ``config`` has something that the network in PyTorch lacks."""
    steps = (config.stem.stride, *config.strides)
    for what, value, fits, allowed in (
        ("downsample", config.downsample, config.downsample in OPERATORS, ", ".join(OPERATORS)),
        ("stem.downsample", config.stem.downsample, config.stem.downsample == "strided_conv", "strided_conv"),
        ("stem.pool", config.stem.pool, config.stem.pool is None, "none"),
        ("padding", config.padding, config.padding == "SYMMETRIC", "SYMMETRIC"),
        ("placement", config.placement, config.placement != "added", "after or before"),
        ("window", config.window, config.window is None or config.window % 2 == 1, "the default or odd"),
        ("stem.kernel", config.stem.kernel, config.stem.kernel % 2 == 1, "odd"),
        ("strides", steps, all(s in (1, 2, (1, 1), (2, 2)) for s in steps), "1 or 2, the same on both axes"),
    ):
        if not fits:
            raise ValueError(f"in PyTorch, config.model.{what} must be {allowed}, got {value!r}")


def multiply_adds(net: nn.Module, size: Sequence[int]) -> int:
    """Return the multiply-adds of the convolutions (filters apart) and the classifier for one image, seen as they run."""
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, (nn.Conv2d, nn.Linear))
        total += output[0].numel() * module.weight[0].numel()

    counted = [module for module in net.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    hooks = [module.register_forward_hook(count) for module in counted]
    training = net.training
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, *size, device=next(net.parameters()).device))
    net.train(training)
    for hook in hooks:
        hook.remove()
    return total


def _square(stride: int | tuple[int, int]) -> int:
    return stride if isinstance(stride, int) else stride[0]


_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def _torch_name(path: str) -> str:
    parent, _, leaf = path.rpartition(".")
    return f"{parent}.{_LEAVES[leaf]}"


def _torch_axes(array: np.ndarray) -> np.ndarray:
    """Put a convolution's kernel (rows, columns, in, out) or a linear layer's (in, out) into PyTorch's order of axes."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
