"""Cases of the rows about windows, places between pixels and transforms; see vjp_cases.py."""

from itertools import product
from typing import Any

import numpy as np

from vjp_cases import IMAGE, Case, case, ints

CROP = {"coordinate_transformation_mode": "tf_crop_and_resize", "axes": [2, 3]}
REGION = np.array([0.1, -0.2, 0.8, 0.7], np.float32)

CORNERS: dict[str, Any] = {"coordinate_transformation_mode": "align_corners"}
KEPT: dict[str, Any] = {"keep_aspect_ratio_policy": "not_smaller"}
GRID = (2, 4, 3, 2)
BOXES = np.array([[0, 0.3, 5.1, 6.2], [-4, -3, 3, 4.5], [2.2, 2.1, 2.4, 2.3], [1, 2, 12, 9]], np.float32)
NUMBERED = np.concatenate([np.array([[0], [1], [0], [1]], np.float32), BOXES], axis=1)
APART = np.random.default_rng(0).permutation(180).reshape(2, 3, 6, 5).astype(np.float32)
BINS = {"output_height": 3, "output_width": 2, "spatial_scale": 0.7}
FRAMES = (ints(3), np.array([0.1, 0.9, 1, 0.9, 0.3, 0.2], np.float32))

IMAGES: dict[str, list[Case]] = {
    "AveragePool": [
        case(IMAGE, kernel_shape=[2, 2], strides=[2, 2]),
        case(IMAGE, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]),
        case(IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
        case(IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 1, 0], ceil_mode=1),
        case(IMAGE, kernel_shape=[3, 3], strides=[2, 3], auto_pad="SAME_UPPER"),
        case(IMAGE, kernel_shape=[2, 2], dilations=[2, 3]),
        case(IMAGE, kernel_shape=[7, 6]),
    ],
    "Col2Im": [
        case((2, 12, 9), ints(4, 5), ints(2, 3), opset=18),
        case((1, 8, 8), ints(5, 5), ints(2, 2), pads=[0, 1, 0, 1], strides=[2, 1], dilations=[1, 3]),
    ],
    "Conv": [
        case(IMAGE, (4, 3, 3, 3), (4,)),
        case(IMAGE, (4, 3, 3, 2), pads=[1, 0, 2, 1], strides=[2, 3]),
        case(IMAGE, (6, 1, 3, 3), (6,), group=3, pads=[1, 1, 1, 1]),
        case(IMAGE, (3, 1, 3, 3), group=3, pads=[1, 1, 1, 1]),
        case(IMAGE, (3, 1, 3, 3), group=3, auto_pad="SAME_UPPER"),
        case(IMAGE, (4, 3, 3, 3), auto_pad="SAME_LOWER", strides=[2, 2]),
        case(IMAGE, (4, 3, 2, 2), dilations=[2, 3]),
        case(IMAGE, (4, 3, 1, 1), strides=[2, 2]),
        case(IMAGE, (4, 3, 3, 2), constant=(1,), pads=[1, 0, 2, 1], dilations=[1, 2]),
        case(IMAGE, (3, 1, 3, 3), constant=(1,), group=3, auto_pad="SAME_UPPER"),
        case(IMAGE, (3, 1, 3, 3), constant=(1,), group=3, auto_pad="SAME_UPPER", strides=[2, 2]),
        case(IMAGE, (3, 1, 3, 2), constant=(1,), group=3, pads=[2, 0, 1, 1], strides=[3, 1], dilations=[1, 2]),
        case((2, 3, 9), (4, 3, 4), strides=[3]),
        case((1, 2, 5, 4, 6), (2, 2, 2, 3, 2), strides=[1, 2, 2], pads=[1, 0, 0, 0, 1, 1]),
    ],
    "ConvTranspose": [
        case((2, 3, 4, 5), (3, 2, 3, 3), (2,)),
        case((2, 3, 4, 5), (3, 2, 3, 2), strides=[2, 3], pads=[1, 0, 1, 1], output_padding=[1, 2]),
        case((2, 4, 4, 5), (4, 1, 3, 3), group=2, dilations=[2, 1], pads=[1, 1, 0, 0]),
        case((2, 3, 4, 5), (3, 2, 3, 3), strides=[2, 2], output_shape=[8, 11]),
        case((2, 3, 4, 5), (3, 2, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER"),
    ],
    "DFT": [
        *(case((2, 5, c), ints(n), inverse=i) for c, n, i in product((1, 2), (4, 5, 7), (0, 1))),
        case((2, 5, 3, 1), None, ints(1)),
        case((2, 3, 6, 1), onesided=1),
        case((2, 5, 1), ints(7), onesided=1),
        case((2, 4, 2), onesided=1, inverse=1),
        case((3, 2, 2), ints(5), ints(0), onesided=1, inverse=1),
    ],
    "DeformConv": [
        case((2, 4, 5, 4), (4, 4, 2, 3), (2, 12, 4, 2), free=(0, 2)),
        case((1, 4, 5, 4), (6, 2, 2, 2), (1, 8, 3, 5), (6,), (1, 4, 3, 5), group=2, strides=[2, 1], pads=[0, 1, 1, 1]),
        case((2, 4, 5, 4), (2, 4, 2, 2), (2, 16, 3, 3), None, (2, 8, 3, 3), offset_group=2, dilations=[2, 1]),
    ],
    "GridSample": [
        *(
            case((2, 3, 4, 5), GRID, mode=mode, padding_mode=padding, align_corners=corners)
            for mode, padding, corners in product(("linear", "cubic"), ("zeros", "border", "reflection"), (0, 1))
        ),
        case((2, 3, 4, 5), GRID, mode="nearest"),
        case((2, 2, 3, 4, 3), (2, 2, 1, 3, 3), padding_mode="reflection"),
        case((1, 1, 1, 4), (1, 3, 2, 2), padding_mode="reflection", align_corners=1),
    ],
    "MaxPool": [
        case(IMAGE, kernel_shape=[2, 2], strides=[2, 2]),
        case(IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 1]),
        case(IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, outputs=2),
        case(IMAGE, kernel_shape=[2, 2], auto_pad="SAME_UPPER"),
    ],
    "MaxUnpool": [case((1, 1, 2, 2), ints([[[[1, 3], [9, 14]]]]), kernel_shape=[2, 2], strides=[2, 2], free=())],
    "Resize": [
        case((1, 2, 3, 4), None, np.array([1, 1, 2, 1.5], np.float32), mode="linear", constant=(2,)),
        case((1, 2, 3, 4), None, None, ints(1, 2, 5, 3), mode="linear", coordinate_transformation_mode="align_corners"),
        case((1, 2, 4, 4), None, np.array([1, 1, 0.6, 2], np.float32), mode="cubic", constant=(2,), free=()),
        case((1, 2, 3, 4), None, np.array([2, 3], np.float32), mode="nearest", axes=[2, 3], constant=(2,)),
        case((2, 2, 6, 2), None, np.array([1, 1, 2.7, 0.6], np.float32), **CORNERS, mode="linear", constant=(2,)),
        case((2, 2, 2, 3, 2), None, None, ints(3, 3, 9), **KEPT, mode="linear", axes=[2, 3, 4], free=()),
        case((2, 2, 2, 6), None, None, ints(2, 3), **KEPT, mode="nearest", axes=[2, 3], free=()),
        *(case((1, 2, 4, 4), REGION, None, ints(5, 3), **CROP, mode=mode) for mode in ("linear", "cubic")),
        case((1, 2, 4, 4), REGION, None, ints(5, 3), **CROP, mode="cubic", exclude_outside=1),
        case((1, 2, 4, 4), REGION, None, ints(5, 1), **CROP, mode="nearest", extrapolation_value=3.0),
    ],
    "MaxRoiPool": [case(APART, NUMBERED, constant=(1,), pooled_shape=[3, 2], spatial_scale=0.7)],
    "RoiAlign": [
        case((2, 3, 6, 5), BOXES, ints(0, 1, 0, 1), **BINS),
        case((2, 3, 6, 5), BOXES, ints(0, 1, 0, 1), **BINS, coordinate_transformation_mode="output_half_pixel"),
        case((2, 3, 6, 5), BOXES, ints(0, 1, 0, 1), **BINS, sampling_ratio=2),
        case((2, 3, 6, 5), BOXES, ints(0, 1, 0, 1), **BINS, mode="max", sampling_ratio=1),
    ],
    "STFT": [
        case((2, 23, 1), *FRAMES),
        case((2, 23, 2), ints(2), None, ints(5), onesided=0),
    ],
}
