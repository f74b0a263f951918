"""A user's folder of images, one folder per class, as a data set."""

from strideflax.config import DataConfig
from strideflax.data.encoded_images import EncodedImages, ImageProgress
from strideflax.data.folder_layout import read_layout
from strideflax.data.own_images import OwnImages, decode_own_images
from strideflax.errors import DataError
from strideflax.files import user_path


def read_folder(config: DataConfig, progress: ImageProgress) -> OwnImages:
    """Read the images of the folder ``config.dir``: `read_layout` says how they lie, `decode_images` how they are read.

    Raises:
        DataError: no folder, one that is arranged in another way, or files that can't be read; one line.
    """
    if not config.dir:
        raise DataError("config.data.name is 'folder', so --config.data.dir=DIR must name a folder of class folders")
    root = user_path(config.dir).absolute()
    layout = read_layout(root)
    paths = [file.path for file in layout.files]
    files = EncodedImages(
        names=[path.relative_to(root).as_posix() for path in paths],
        read=lambda i: paths[i].read_bytes(),
        place=str(root),
    )
    labels, splits = [file.label for file in layout.files], [file.split or "" for file in layout.files]
    name, place = f"{root.name} (folder)", f"folder {root}"
    return decode_own_images(files, labels, splits, config, progress, name=name, place=place, classes=layout.classes)
