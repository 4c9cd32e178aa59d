"""PRESETS: how a picture becomes the input of the usual models, one row a convention.

input = (pixel - mean) / std for each channel, pixels from 0 to 255.
"""

from dataclasses import dataclass

from backlit_proto import backlit_pb2 as pb
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
LARGEST_SIDE = 8192
FAR = 1e30  # numbers beyond it, and deviations below 1 / FAR, are lost in single precision


def preset(name: str) -> Preset:
    """The row of a preset; BadQuestion names the valid ones."""
    if name not in PRESETS:
        raise BadQuestion(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


def check_preprocessing(given: pb.Preprocessing) -> None:
    """BadQuestion for what no picture can be prepared by."""
    if given.preset:
        preset(given.preset)
    if not all(abs(number) < FAR for number in (*given.mean, *given.std, given.crop)):
        raise BadQuestion("the preprocessing holds a number that is not finite, or too large")
    if any(abs(number) < 1 / FAR for number in given.std):
        raise BadQuestion("the preprocessing divides by a std of 0")
    if not 0 <= given.crop <= 1:
        raise BadQuestion(f"the preprocessing keeps {given.crop} of the shorter side: crop lies between 0 and 1")
    if max(given.height, given.width) > LARGEST_SIDE:
        raise BadQuestion(f"the preprocessing makes pictures of {given.height} x {given.width}: {LARGEST_SIDE} at most")
    for field, value in given.ListFields():
        if field.enum_type and value not in field.enum_type.values_by_number:
            raise BadQuestion(f"the preprocessing has no {field.name} {value}: see the contract")
