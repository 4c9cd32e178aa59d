"""What parameters are, in the words that several methods share."""

SALIENCY = (
    "What is told of a pixel's channels: the largest (max), their mean, or their sum.",
    "Whether the sign is kept: whether more or less of a pixel helps the target.",
)

NOISE = (
    "How many noisy copies of the image.",
    "Standard deviation of the noise, as a share of the image's span (largest less smallest value).",
    "What the noise is drawn from: the same seed, the same map.",
)
NOISY = (*NOISE[:2], SALIENCY[0], NOISE[2])

FILL = "What stands where the image is hidden, as the model takes it: a number, or an array of the input's shape."
TOLERANCE = "Enough when the standard error is at most this share of the map's span; 0: all are made."

MASKS = (
    "How many masks.",
    "Cells along each side of the coarse grids that masks are made of.",
    "How likely a cell is kept.",
    FILL,
    TOLERANCE,
    "What the masks are drawn from: the same seed, the same masks.",
)

SUPERPIXELS = (
    "About how many superpixels.",
    "How square superpixels are, against how even in colour (SLIC).",
    "How many images of which some superpixels are hidden.",
)

WEIGHTS = "The method whose weights the maps are given."

SCORE_CAM = (
    "How many maps, those that vary most (Faster Score-CAM); 0: all of them.",
    "How many noisy copies of each map (SS-CAM).",
    "Standard deviation of the noise, as a share of each map's span.",
    "How many steps each mask fades in by (IS-CAM).",
    "What the noise is drawn from: the same seed, the same map.",
)
