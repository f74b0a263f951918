"""Along which axes the training speed is measured."""

AXES = {
    "width": "channels of the first stage",
    "image": "height and width of the image in pixels",
    "batch": "images in a batch",
    "devices": "devices that share the batch",
    "dispatch": "training steps in one call of the device",
    "seeds": "seeds trained at once in one program",
}
