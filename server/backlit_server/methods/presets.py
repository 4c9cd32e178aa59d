"""PRESETS: how a picture becomes the input of the usual models, one row a convention.

input = (pixel - mean) / std for each channel, pixels from 0 to 255.
"""

from dataclasses import dataclass

from backlit_proto.errors import BadQuestion


@dataclass(frozen=True)
class Preset:
    """Mean and std in pixel units, one value a channel or one for all; the other fields as in Preprocessing."""

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    color: str = "RGB"
    fit: str = "CROP"
    crop: float = 0.875
    interpolation: str = "BILINEAR"


# fmt: off
PRESETS: dict[str, Preset] = {
    # torchvision, timm's default: the picture scaled to 0..1, then normalised by ImageNet's mean and deviation.
    "imagenet":          Preset((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    # TensorFlow's Inception, MobileNet, NASNet: -1..1.
    "inception":         Preset((127.5,), (127.5,)),
    # EfficientNet-Lite, as trained.
    "efficientnet-lite": Preset((127.0,), (128.0,), interpolation="BICUBIC"),
    # Caffe, Keras' VGG and ResNet: BGR, the mean taken away.
    "caffe":             Preset((103.939, 116.779, 123.68), color="BGR"),
    # Caffe with the rounded mean, as in SqueezeNet and Open NSFW.
    "caffe-rounded":     Preset((104.0, 117.0, 123.0), color="BGR"),
    # CLIP and its relatives.
    "clip":              Preset((122.7709383, 116.7460125, 104.09373615), (68.5005327, 66.6321579, 70.32316305),
                                crop=1.0, interpolation="BICUBIC"),
    # Pixels scaled to 0..1.
    "unit":              Preset(std=(255.0,)),
    # Pixels as they are.
    "raw":               Preset(),
}
# fmt: on

ASSUMED = "imagenet"


def preset(name: str) -> Preset:
    """The row of a preset; BadQuestion names the valid ones."""
    if name not in PRESETS:
        raise BadQuestion(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
