"""A run's configuration: frozen, typed, checked values, and the fingerprint that names a run.

The numbers live in ``configs/``, each written once.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from strideflax.config_values import build, flat, with_not_set_as_before
from strideflax.errors import ConfigError
from strideflax.model.config import DECODERS, ModelConfig, StemConfig, require, require_choice

__all__ = [
    "AugmentConfig",
    "Config",
    "ConfigError",
    "DataConfig",
    "ModelConfig",
    "OptimizerConfig",
    "StemConfig",
]

DATASETS = (
    "cifar10",
    "cifar100",
    "shapes",
    "scenes",
)  # published or drawn sets; what else can be named is a user's own
DATASETS_WITH_MASKS = ("scenes", "camvid", "mask_folder")  # a class for each pixel
TFDS_PREFIX, NPZ_SUFFIX = "tfds:", ".npz"
TASKS = ("classify", "segment")
OPTIMIZERS = ("sgd", "adamw")
CROP_PADDINGS = ("zeros", "reflect")
SCHEDULES = ("one_cycle", "cosine", "constant")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The images.

    Attributes:
        name: "cifar10", "cifar100", "shapes" (the embedded set, drawn by code), or your own images: "folder" (one folder per
            class), "tfds:NAME" (a set that tensorflow-datasets has prepared) or "FILE.npz" (arrays). With a class for each
            pixel: "scenes" (drawn by code), "camvid", or "mask_folder" (your own images and masks).
        dir: the folder of class folders, or of images and masks; of CIFAR-10 and CIFAR-100 a folder with a local copy; of
            CIFAR-10 and "tfds:NAME" None for tensorflow-datasets' own folder.
        train_count: images to train on; None means all that validation leaves.
        val_count: images split from the training set for choices; of your own images None means a tenth, or all of ``val``.
        test_count: images of the test set to use; None means all.
        size: side in pixels that your own images are brought to; None is their own if they are squares of one size of at most
            64 pixels, else 64. Images with masks keep their size.
        skip_unreadable: leave out files of your own that are no images, or damaged, instead of refusing them.
        void_label: of "mask_folder", the number in its masks that means no class; None: 255 alone does.
        stretch: how often each pixel is repeated along rows and columns; (1, 2) makes 32 x 64 inputs.
    """

    name: str
    dir: str | None = None
    train_count: int | None = None
    val_count: int | None = None
    test_count: int | None = None
    size: int | None = None
    skip_unreadable: bool = False
    void_label: int | None = None
    stretch: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        names_a_set = self.name in (*DATASETS, *DATASETS_WITH_MASKS, "folder") or self.name.startswith(TFDS_PREFIX)
        named = ", ".join((*DATASETS, "camvid", "mask_folder"))
        expected = f"one of {named}, folder, {TFDS_PREFIX}NAME or FILE{NPZ_SUFFIX}"
        require(names_a_set or self.name.endswith(NPZ_SUFFIX), "data.name", self.name, expected)
        if self.is_own:
            allowed = self.val_count is None or self.val_count >= 0
            require(allowed, "data.val_count", self.val_count, "an int >= 0, or None for a tenth")
            allowed = self.size is None or 8 <= self.size <= 1024
            require(allowed, "data.size", self.size, "an int in 8..1024 (pixels), or None")
        else:
            allowed = self.val_count is not None and self.val_count >= 0
            require(allowed, "data.val_count", self.val_count, "an int >= 0")
            require(self.size is None, "data.size", self.size, f"None for {self.name}, which has a size of its own")
        if self.has_masks:
            require(self.size is None, "data.size", self.size, f"None for {self.name}, whose images keep their size")
            expected = f"false for {self.name}, whose images come in pairs"
            require(not self.skip_unreadable, "data.skip_unreadable", self.skip_unreadable, expected)
        for name, count in (("train_count", self.train_count), ("test_count", self.test_count)):
            require(count is None or count >= 1, f"data.{name}", count, "an int >= 1, or None for all images")
        if self.void_label is not None:
            allowed = self.name == "mask_folder" and 0 <= self.void_label <= 255
            require(
                allowed,
                "data.void_label",
                self.void_label,
                "an int in 0..255 where data.name is 'mask_folder', or None",
            )
        allowed = all(1 <= factor <= 8 for factor in self.stretch)
        require(allowed, "data.stretch", self.stretch, "two ints in 1..8 (rows, columns)")

    @property
    def is_own(self) -> bool:
        """Whether the images are a user's own, or CamVid, of which there are several: known only once they are read."""
        return self.name not in DATASETS

    @property
    def has_masks(self) -> bool:
        """Whether each pixel has a class, and not the image."""
        return self.name in DATASETS_WITH_MASKS


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """What happens to training images, per image, inside the step.

    Attributes:
        crop: pad by this many pixels and crop back at a random place; 0 is off.
        flip: mirror left-right half of the time.
        cutout: side in pixels of a square set to the image's mean colour at a random place; 0 is off.
        scale: enlarge or shrink about the middle by a random factor from ``1 / (1 + scale)`` to ``1 + scale``; 0 is off.
            Of images with masks alone.
        crop_padding: what a crop pads with: "zeros", or "reflect", the image mirrored at its border pixels.
        alternate_flips: mirror each image in every second epoch, half of the images in the first, instead of at random: in two
            epochs each image is seen both ways.
    """

    crop: int
    flip: bool
    cutout: int
    scale: float = 0.0
    crop_padding: str = "zeros"
    alternate_flips: bool = False

    def __post_init__(self) -> None:
        for name, pixels in (("crop", self.crop), ("cutout", self.cutout)):
            require(0 <= pixels <= 32, f"augment.{name}", pixels, "an int in 0..32 (pixels)")
        require(0 <= self.scale <= 1, "augment.scale", self.scale, "a number in [0, 1]")
        require_choice("augment.crop_padding", self.crop_padding, CROP_PADDINGS)
        allowed = self.flip or not self.alternate_flips
        require(allowed, "augment.alternate_flips", self.alternate_flips, "false where config.augment.flip is false")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How parameters move.

    Attributes:
        name: "sgd" (Nesterov momentum) or "adamw".
        schedule: "one_cycle" (linear up for ``warmup_epochs``, linear down to 0), "cosine" or "constant", after warm-up.
        learning_rate: the peak.
        momentum: of SGD; Adam's first-moment decay.
        weight_decay: decoupled, times the learning rate, on convolution and linear kernels alone.
        label_smoothing: share of the target spread over all classes.
        clip_norm: largest global gradient norm; None is no limit.
        average_decay: share of a moving average of the weights (and of BatchNorm's statistics) that is kept at each step. The
            average is what is evaluated and what the run leaves. None: the weights themselves are.
    """

    name: str
    schedule: str
    learning_rate: float
    warmup_epochs: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    clip_norm: float | None = None
    average_decay: float | None = None

    def __post_init__(self) -> None:
        require_choice("optimizer.name", self.name, OPTIMIZERS)
        require_choice("optimizer.schedule", self.schedule, SCHEDULES)
        require(self.learning_rate > 0, "optimizer.learning_rate", self.learning_rate, "a number > 0")
        for name, value in (("warmup_epochs", self.warmup_epochs), ("weight_decay", self.weight_decay)):
            require(value >= 0, f"optimizer.{name}", value, "a number >= 0")
        for name, value in (("momentum", self.momentum), ("label_smoothing", self.label_smoothing)):
            require(0 <= value < 1, f"optimizer.{name}", value, "a number in [0, 1)")
        is_norm = self.clip_norm is None or self.clip_norm > 0
        require(is_norm, "optimizer.clip_norm", self.clip_norm, "a number > 0, or None for no limit")
        is_share = self.average_decay is None or 0 < self.average_decay < 1
        require(is_share, "optimizer.average_decay", self.average_decay, "a number in (0, 1), or None for no average")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that a run depends on.

    Attributes:
        seed: of initial values, data order, augmentation and stochastic operators, one stream each.
        epochs: passes over the training images; a fraction is allowed.
        batch_size: images per step, over all devices.
        eval_batch_size: images per step when evaluating; does not change a result.
        checkpoint_epochs: epochs between checkpoints; does not change a result.
        task: "classify" finds one class for an image, "segment" one for each pixel.
    """

    model: ModelConfig
    data: DataConfig
    augment: AugmentConfig
    optimizer: OptimizerConfig
    seed: int
    epochs: float
    batch_size: int
    eval_batch_size: int
    checkpoint_epochs: int
    task: str = "classify"

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, "seed", self.seed, "an int in 0..2^32 - 1")
        require(0 < self.epochs <= 10_000, "epochs", self.epochs, "a number in (0, 10000]")
        for name in ("batch_size", "eval_batch_size", "checkpoint_epochs"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "an int >= 1")
        warmup_epochs = self.optimizer.warmup_epochs
        allowed = warmup_epochs <= self.epochs
        require(allowed, "optimizer.warmup_epochs", warmup_epochs, f"at most config.epochs ({self.epochs})")
        self._check_task()

    def _check_task(self) -> None:
        """Require images, a network and augmentation that fit the task."""
        require_choice("task", self.task, TASKS)
        segments, decoder = self.task == "segment", self.model.decoder
        if self.data.has_masks != segments:
            kind = f"one of {', '.join(DATASETS_WITH_MASKS)}" if segments else "images with one class each"
            require(False, "data.name", self.data.name, f"{kind}, as config.task is {self.task!r}")
        if segments:
            expected = f"one of {', '.join(DECODERS)} where config.task is 'segment'"
            require(decoder is not None, "model.decoder", decoder, expected)
        else:
            require(decoder is None, "model.decoder", decoder, "None where config.task is 'classify'")
            scale = self.augment.scale
            require(scale == 0, "augment.scale", scale, "0 where config.task is 'classify'")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a checked config from nested plain values, e.g. an ml_collections dict's or a ``config.json``'s.

        A field that may be None may be missing, and may hold what stood for "not set" in older files.

        Raises:
            ConfigError: a field that is missing, unknown, of the wrong type, not finite or out of its range.
        """
        return build(cls, values, "")

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values that JSON can hold."""
        return json.loads(json.dumps(dataclasses.asdict(self), allow_nan=False))

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits over all that changes the result: not the data's folder, nor how often to save."""
        values = with_not_set_as_before(_deciding(self.to_dict()))
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]

    def differences(self, other: Self) -> dict[str, tuple[Any, Any]]:
        """Return each field that changes the result and differs: its dotted name, this config's value, the other's."""
        ours, theirs = flat(_deciding(self.to_dict())), flat(_deciding(other.to_dict()))
        return {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}


def _deciding(values: dict[str, Any]) -> dict[str, Any]:
    """Return a config's nested values without those that do not change a result."""
    del values["data"]["dir"], values["eval_batch_size"], values["checkpoint_epochs"]
    return values
