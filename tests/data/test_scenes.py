import numpy as np

from strideflax.config import DataConfig
from strideflax.data import load_dataset
from strideflax.data.scenes import CLASSES, draw_scenes


def test_an_image_depends_on_the_seed_and_its_number_alone():
    images, masks = draw_scenes(12, 7)
    first_images, first_masks = draw_scenes(5, 7)
    np.testing.assert_array_equal(images[:5], first_images)
    np.testing.assert_array_equal(masks[:5], first_masks)
    assert not np.array_equal(images, draw_scenes(12, 8)[0])


def test_masks_are_exact_and_hold_every_class():
    images, masks = draw_scenes(60, 0)
    assert images.shape == (60, 64, 64, 3)
    assert set(np.unique(masks)) == set(range(len(CLASSES)))
    # Rows are alike along a row, but for noise of 12 at most per pixel; a wrong boundary would show the ground beside them.
    rows = masks == CLASSES.index("rows")
    pair = rows[:, :, 1:] & rows[:, :, :-1]
    difference = abs(images[:, :, 1:].astype(int) - images[:, :, :-1])[pair]
    assert (difference <= 25).all(-1).mean() > 0.98, (
        "only where one object covers another of its kind may colours change"
    )


def test_the_splits_are_those_that_are_asked_for():
    dataset = load_dataset(DataConfig(name="scenes", train_count=10, val_count=4, test_count=6))
    assert [len(split) for split in (dataset.train, dataset.val, dataset.test)] == [10, 4, 6]
    assert dataset.model_arguments == {"classes": 5, "in_features": 3}
    fewer = load_dataset(DataConfig(name="scenes", train_count=3, val_count=4, test_count=6))
    np.testing.assert_array_equal(fewer.val.images, dataset.val.images)
