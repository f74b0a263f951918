"""What is measured: a training step, one operator, the machine's limits; described so that any framework can do the same."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from strideflax.config import Config, OptimizerConfig
from strideflax.data.dataset import Split

CLASSES = 10
CHECKED_IMAGES = 8  # whose logits are compared
CHECKED_NUMBERS = 1000  # of an increment
CHECKED_ROWS = 64  # of a product
CHECKED_STEPS = 3  # of training, whose losses are compared
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)  # about CIFAR-10's; only their being the same for all matters
ITEM_BYTES = {"float32": 4, "bfloat16": 2}
LEARNING_RATE = 0.01  # the rate changes no cost, and a small one keeps the compared losses close


@dataclass(frozen=True, kw_only=True)
class Step:
    """The whole training step of a config on random images, from uint8 pixels to new weights, without augmentation.

    Attributes:
        label: what the config is called.
        config: its nested dict; the learning rate is a small constant, and crops, mirrors and the average of weights are off.
        size: height and width of the images.
        steps: done in one call.
        seeds: trained at once, in one program.
    """

    label: str
    config: dict[str, Any]
    size: int = 32
    steps: int = 1
    seeds: int = 1

    @classmethod
    def of(cls, label: str, config: Config, *, dtype: str, size: int = 32, steps: int = 1, seeds: int = 1) -> "Step":
        """Return the step of ``config`` computing in ``dtype``."""
        values = config.to_dict()
        values["model"]["dtype"] = dtype
        values["augment"] = {"crop": 0, "flip": False, "cutout": 0}
        values["optimizer"] |= {"schedule": "constant", "warmup_epochs": 0.0, "learning_rate": LEARNING_RATE}
        values["optimizer"]["average_decay"] = None
        return cls(label=label, config=values, size=size, steps=steps, seeds=seeds)

    @property
    def dtype(self) -> str:
        """The type of the computation; weights are float32."""
        return str(self.config["model"]["dtype"])

    @property
    def batch(self) -> int:
        """Images per step."""
        return int(self.config["batch_size"])

    @property
    def images_per_call(self) -> int:
        """Images per call."""
        return self.batch * self.steps * self.seeds

    @property
    def name(self) -> str:
        """A line that tells it from the others."""
        name = f"{self.label} training step, batch {self.batch}, {self.dtype}"
        if self.steps > 1:
            name += f", {self.steps} steps per call"
        if self.seeds > 1:
            name += f", {self.seeds} seeds"
        return name

    @property
    def optimizer(self) -> OptimizerConfig:
        """The optimizer's settings."""
        return Config.from_dict(self.config).optimizer

    def images(self) -> Split:
        """Return two batches of random pixels and labels, the same in every process."""
        random = np.random.default_rng(0)
        count = 2 * self.batch
        images = random.integers(0, 256, (count, self.size, self.size, 3), dtype=np.uint8)
        return Split(images=images, labels=random.integers(0, CLASSES, count, dtype=np.int32), centres=None)


@dataclass(frozen=True, kw_only=True)
class OperatorCall:
    """One convolution, pool or blur on a random map, as long on all its axes: forward, or forward and backward.

    Padding is zeros, ``window // 2`` on every side, and none for a pool whose window is its stride; an average counts real
    pixels alone.

    Attributes:
        operator: "conv", "conv_transpose", "max_pool", "avg_pool" or "blur_pool".
        window, stride: on every axis. A transposed convolution enlarges by its stride.
        size: of the input along each axis.
        in_features, out_features: channels; pools and blurs keep theirs.
        backward: with the gradients of the input and of the kernel.
        input_gradient: False leaves the input's gradient out, as the first layer of a network does.
        axes: spatial ones; pools and blurs have two.
        dilation, groups: of a convolution.
    """

    operator: str
    window: int
    stride: int
    size: int
    in_features: int
    out_features: int
    backward: bool = False
    input_gradient: bool = True
    batch: int = 128
    dtype: str = "float32"
    axes: int = 2
    dilation: int = 1
    groups: int = 1

    @property
    def has_kernel(self) -> bool:
        """Whether it convolves with a kernel, which has a gradient."""
        return self.operator in ("conv", "conv_transpose")

    @property
    def name(self) -> str:
        """A line that tells it from the others."""
        channels = f"{self.in_features}->{self.out_features}" if self.has_kernel else f"{self.in_features}"
        window, size = "x".join([str(self.window)] * self.axes), "x".join([str(self.size)] * self.axes)
        how = f" dilation {self.dilation}" if self.dilation > 1 else ""
        how += f" groups {self.groups}" if self.groups > 1 else ""
        name = f"{self.operator} {window}/{self.stride}{how} {channels} at {size}, {self.dtype}, forward"
        if self.backward:
            name += " + backward" if self.input_gradient else " + backward, kernel's gradient alone"
        return name

    @property
    def padding(self) -> int:
        """Zeros on every side."""
        return 0 if self.window == self.stride else self.dilation * (self.window // 2)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Batch, spatial axes, channels."""
        return self.batch, *[self.size] * self.axes, self.in_features

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Batch, spatial axes, channels."""
        extent = self.dilation * (self.window - 1) + 1
        size = (self.size + 2 * self.padding - extent) // self.stride + 1
        if self.operator == "conv_transpose":
            size = self.size * self.stride
        return self.batch, *[size] * self.axes, self.out_features

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """Window, input channels of a group, output channels; a transposed convolution has that of the one it undoes."""
        channels = self.in_features // self.groups, self.out_features
        if self.operator == "conv_transpose":
            channels = self.out_features, self.in_features
        return *[self.window] * self.axes, *channels

    @property
    def flops(self) -> int | None:
        """Multiplications and additions of the convolution and of each of its gradients; None for the others."""
        if not self.has_kernel:
            return None
        products = 1
        if self.backward:
            products = 3 if self.input_gradient else 2
        small = self.input_shape if self.operator == "conv_transpose" else self.output_shape
        return 2 * products * math.prod(small) * math.prod(self.kernel_shape[:-1])

    @property
    def bytes(self) -> int | None:
        """Least traffic with memory: the input read, the output written, and back the same of gradients; None for a conv."""
        if self.has_kernel:
            return None
        numbers = math.prod(self.input_shape) + math.prod(self.output_shape)
        passes = 2 if self.backward else 1
        return passes * numbers * ITEM_BYTES[self.dtype]

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return input, kernel and the output's gradient, float32, the same in every process."""
        random = np.random.default_rng(0)
        shapes = (self.input_shape, self.kernel_shape, self.output_shape)
        x, kernel, gradient = (random.standard_normal(shape, dtype=np.float32) for shape in shapes)
        return x, kernel / math.sqrt(math.prod(self.kernel_shape[:-1])), gradient


@dataclass(frozen=True, kw_only=True)
class Product:
    """A product of two square matrices: the most that the machine can compute."""

    size: int = 2048
    dtype: str = "float32"

    @property
    def name(self) -> str:
        """A line that tells it from the others."""
        return f"matrix product {self.size}x{self.size}, {self.dtype}"

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.size**3

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return both factors, float32."""
        tile = min(self.size, 2048)
        tiles = np.random.default_rng(0).standard_normal((2, tile, tile), dtype=np.float32)
        repeats = -(-self.size // tile)
        first, second = np.tile(tiles, (1, repeats, repeats))[:, : self.size, : self.size]
        return first, second


@dataclass(frozen=True, kw_only=True)
class Increment:
    """One added in place to every number of an array too large for the caches: how fast memory gives and takes."""

    numbers: int = 2**25
    dtype: str = "float32"

    @property
    def name(self) -> str:
        """A line that tells it from the others."""
        return f"increment of {self.numbers:,} numbers, {self.dtype}"

    @property
    def bytes(self) -> int:
        """Read and written."""
        return 2 * self.numbers * ITEM_BYTES[self.dtype]

    def array(self) -> np.ndarray:
        """Return the numbers, float32, whole ones that every type has."""
        return (np.arange(self.numbers, dtype=np.int32) % 128).astype(np.float32)


Workload: TypeAlias = Step | OperatorCall | Product | Increment
_KINDS = {"step": Step, "operator": OperatorCall, "product": Product, "increment": Increment}


def to_job(workload: Workload) -> dict[str, Any]:
    """Return ``workload`` as plain values, for another process."""
    kind = next(name for name, cls in _KINDS.items() if isinstance(workload, cls))
    return {"kind": kind, **dataclasses.asdict(workload)}


def from_job(job: Mapping[str, Any]) -> Workload:
    """Return what `to_job` was given."""
    fields = dict(job)
    return _KINDS[fields.pop("kind")](**fields)


def projected(array: np.ndarray) -> list[float]:
    """Return two numbers that stand for ``array`` (channels last) in a comparison: along a random direction, and its size."""
    direction = np.random.default_rng(1).standard_normal(array.size)
    flat = array.astype(np.float64).ravel()
    scale = math.sqrt(array.size)
    return [float(flat @ direction) / scale, float(np.linalg.norm(flat)) / scale]


def results_of(arrays: Iterable[ArrayLike]) -> dict[str, list[list[float]]]:
    """Return what stands for ``arrays`` among the facts that contenders compare."""
    return {"results": [projected(np.asarray(array, np.float32)) for array in arrays]}


# Operator, window, stride, size, channels in and out: as the shipped configs have them at 32 x 32 pixels, then wider maps.
SHAPES = (
    ("max_pool", 2, 2, 16, 128, 128),
    ("max_pool", 2, 2, 16, 64, 64),
    ("max_pool", 2, 2, 32, 32, 32),
    ("max_pool", 3, 2, 32, 32, 32),
    ("max_pool", 3, 1, 32, 32, 32),
    ("avg_pool", 2, 2, 16, 128, 128),
    ("avg_pool", 2, 2, 16, 64, 64),
    ("avg_pool", 3, 2, 32, 32, 32),
    ("blur_pool", 3, 2, 16, 128, 128),
    ("blur_pool", 3, 2, 16, 64, 64),
    ("conv", 7, 2, 32, 3, 64),
    ("conv", 3, 1, 16, 64, 64),
    ("conv", 3, 1, 16, 64, 128),
    ("conv", 3, 1, 8, 128, 128),
    ("conv", 3, 1, 4, 256, 256),
    ("conv", 3, 2, 16, 64, 128),
    ("conv", 3, 2, 8, 128, 256),
    ("conv", 1, 2, 16, 64, 128),
    ("conv", 1, 2, 8, 128, 256),
    ("conv", 1, 1, 8, 64, 128),
    ("conv", 3, 1, 32, 16, 16),
    ("conv", 3, 2, 32, 16, 32),
    ("conv", 3, 2, 16, 32, 64),
)


# Where XLA was seen to leave its fast path, or may: `strideflax.kernels.implementation.LEFT_TO_XLA` says what each decides.
OFF_THE_PATH = (
    OperatorCall(operator="conv", window=3, stride=2, size=256, in_features=64, out_features=128, axes=1),
    OperatorCall(operator="conv", window=3, stride=2, size=256, in_features=64, out_features=128, axes=1, dilation=2),
    OperatorCall(operator="conv", window=3, stride=1, size=16, in_features=64, out_features=64, dilation=2),
    OperatorCall(operator="conv", window=3, stride=2, size=16, in_features=64, out_features=128, dilation=2),
    OperatorCall(operator="conv", window=3, stride=2, size=16, in_features=64, out_features=128, groups=4),
    OperatorCall(operator="conv", window=3, stride=1, size=16, in_features=64, out_features=64, groups=64),
    OperatorCall(operator="conv", window=5, stride=2, size=16, in_features=64, out_features=128),
    OperatorCall(operator="conv", window=5, stride=3, size=30, in_features=64, out_features=128),
    OperatorCall(operator="conv", window=3, stride=1, size=8, in_features=32, out_features=32, axes=3, batch=32),
    OperatorCall(operator="conv", window=3, stride=2, size=16, in_features=32, out_features=64, axes=3, batch=16),
    OperatorCall(operator="conv_transpose", window=3, stride=2, size=128, in_features=128, out_features=64, axes=1),
    OperatorCall(operator="conv_transpose", window=3, stride=2, size=8, in_features=128, out_features=64),
    OperatorCall(
        operator="conv_transpose", window=3, stride=2, size=8, in_features=64, out_features=32, axes=3, batch=16
    ),
)


def off_the_path(dtype: str) -> list[OperatorCall]:
    """Return each of `OFF_THE_PATH`, forward and backward."""
    listed = []
    for call in OFF_THE_PATH:
        listed.append(dataclasses.replace(call, dtype=dtype, backward=True))
    return listed


def operators(dtype: str) -> list[OperatorCall]:
    """Return every shape forward, and forward and backward, then those `off_the_path`.

    The stem's is also listed as in a network, where images need no gradient.
    """
    listed = []
    for operator, window, stride, size, in_features, out_features in SHAPES:
        forward = OperatorCall(
            operator=operator, window=window, stride=stride, size=size, in_features=in_features,
            out_features=out_features, dtype=dtype,
        )  # fmt: skip
        listed += [forward, dataclasses.replace(forward, backward=True)]
        if forward.in_features == 3:
            listed.append(dataclasses.replace(forward, backward=True, input_gradient=False))
    return listed + off_the_path(dtype)


def limits(dtypes: Iterable[str], platform: str) -> list[Workload]:
    """Return what finds the limits of such a device, computing and moving numbers: large enough to hide that it is called."""
    size, numbers = (2048, 2**25) if platform == "cpu" else (8192, 2**28)
    products: list[Workload] = [Product(dtype=dtype, size=size) for dtype in dtypes]
    return products + [Increment(dtype=dtype, numbers=numbers) for dtype in dtypes]
