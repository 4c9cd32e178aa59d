"""Measures of heatmaps on arrays: small ones worked by hand, naive loops, and the limits of perfect and idle maps."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse, stats

from backlit_proto.errors import BadQuestion
from backlit_server.methods.asking import drive
from backlit_server.methods.measures import MEASURES, bind_measure
from backlit_server.methods.measures.imputation import imputed
from backlit_server.methods.measures.masking import mask_of, strongest
from backlit_server.methods.measures.measuring import Measured
from backlit_server.methods.scaling import resize
from linear_model import SHARES, SIZE, X, gradient_maps, linear, measured, rng, softmax, subject

FILLED = {
    "zero": np.zeros(3),
    "black": np.array([-1.0, -2.0, -3.0]),
    "mean": X.mean((0, 2, 3)),
}


@pytest.mark.parametrize("fill", FILLED)
@pytest.mark.parametrize("keep", [1.0, 0.5, 0.15])
def test_drop_increase_and_gain_are_those_of_a_naive_loop(fill: str, keep: float):
    """As L-CAM masks: min-max at low resolution, bilinear enlargement, the weakest pixels dropped."""
    heatmap = rng.normal(size=(3, 4))
    mask = resize((heatmap - heatmap.min()) / np.ptp(heatmap), SIZE)
    for pixel in sorted(range(mask.size), key=lambda p: (mask.flat[p], p))[: int(mask.size * (1 - keep))]:
        mask.flat[pixel] = 0
    hidden = np.empty_like(X)
    for c in range(3):
        for i in range(SIZE[0]):
            for j in range(SIZE[1]):
                hidden[0, c, i, j] = mask[i, j] * X[0, c, i, j] + (1 - mask[i, j]) * FILLED[fill][c]
    before, after = softmax(linear(X))[0, 1], softmax(linear(hidden))[0, 1]
    options = {"fill": fill, "keep": keep, "normalisation": "min-max"}
    assert np.isclose(measured("average-drop", heatmap, **options).value, max(0, before - after) / before)
    absolute = measured("average-drop", heatmap, definition="absolute", **options)
    assert np.isclose(absolute.value, max(0, before - after))
    assert np.isclose(absolute.facts["behind the heatmap"], after)
    assert measured("increase-in-confidence", heatmap, **options).value == (after > before)
    assert np.isclose(measured("average-gain", heatmap, **options).value, max(0, after - before) / (1 - before))


@pytest.mark.parametrize(
    ("normalisation", "mask"),
    [("relu", [[0, 0], [0.5, 1]]), ("min-max", [[0, 0.5], [0.75, 1]]), ("absolute", [[1, 0], [0.5, 1]])],
)
def test_a_map_becomes_a_mask_as_named(normalisation, mask):
    assert mask_of(np.array([[-2.0, 0.0], [1.0, 2.0]]), (2, 2), normalisation).tolist() == mask


def test_of_scores_the_drop_is_that_of_scores():
    one = measured("average-drop", np.eye(3), score="score", definition="absolute")
    assert np.isclose(one.facts["whole image"], linear(X)[0, 1])


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (1.0, [[0.5, 0.5], [0.5, 1.0]]),
        (0.75, [[0.0, 0.5], [0.5, 1.0]]),  # of equal pixels the first go first
        (0.5, [[0.0, 0.0], [0.5, 1.0]]),
        (0.25, [[0.0, 0.0], [0.0, 1.0]]),
        (0.0, [[0.0, 0.0], [0.0, 0.0]]),
    ],
)
def test_the_strongest_share_of_a_mask_is_kept(keep: float, left: list):
    assert strongest(np.array([[0.5, 0.5], [0.5, 1.0]]), keep).tolist() == left


def test_a_map_of_zeros_hides_everything_and_one_of_ones_too():
    """A constant map says nothing: its mask is 0 all over, and the score is that of what is filled in."""
    empty = softmax(linear(np.zeros_like(X)))[0, 1]
    for constant in (np.zeros((3, 4)), np.ones((3, 4))):
        assert np.isclose(measured("average-drop", constant).facts["behind the heatmap"], empty)


def naive_course(heatmap: np.ndarray, start: np.ndarray, end: np.ndarray, steps: int) -> list[float]:
    order = sorted(range(heatmap.size), key=lambda p: -heatmap.ravel()[p])
    found = []
    for step in range(steps + 1):
        image = start.copy()
        for pixel in order[: int(np.ceil(step * heatmap.size / steps))]:
            image[..., pixel // SIZE[1], pixel % SIZE[1]] = end[..., pixel // SIZE[1], pixel % SIZE[1]]
        found.append(softmax(linear(image))[0, 1])
    return found


@pytest.mark.parametrize("steps", [1, 7, 20])
def test_insertion_and_deletion_are_the_areas_under_naive_courses(steps: int):
    zeros = np.zeros_like(X)
    for name, start, end in (("insertion", zeros, X), ("deletion", X, zeros)):
        curve = naive_course(SHARES, start, end, steps)
        found = measured(name, SHARES, steps=steps, fill="zero")
        assert np.allclose(found.curve, curve)
        assert np.isclose(found.value, np.trapezoid(curve, dx=1 / steps))


def test_no_map_beats_the_perfect_one_of_a_linear_model():
    for others in rng.normal(size=(5, *SIZE)):
        assert measured("insertion", SHARES, fill="zero").value > measured("insertion", others, fill="zero").value
        assert measured("deletion", SHARES).value < measured("deletion", others).value
        assert measured("road", SHARES).value > measured("road", others).value


def test_insertion_begins_with_the_blurred_image():
    curve = measured("insertion", SHARES, steps=1).curve
    taps = [np.exp(-((d / (5 * 12 / 224)) ** 2) / 2) for d in (-1, 0, 1)]  # of 12 pixels no tap is farther than one

    def along(image: np.ndarray, axis: int) -> np.ndarray:
        n = image.shape[axis]
        found = [
            sum(t * image.take(i + d, axis) for d, t in zip((-1, 0, 1), taps, strict=True) if 0 <= i + d < n)
            / sum(t for d, t in zip((-1, 0, 1), taps, strict=True) if 0 <= i + d < n)
            for i in range(n)
        ]
        return np.stack(found, axis)

    assert np.isclose(curve[0], softmax(linear(along(along(X, 2), 3)))[0, 1])
    assert np.isclose(curve[1], softmax(linear(X))[0, 1])


def exactly_imputed(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The sparse system of ROAD's equations, solved directly."""
    channels, height, width = image.shape
    system, given = sparse.lil_matrix((known.size, known.size)), np.zeros((known.size, channels))
    for i in range(height):
        for j in range(width):
            here = i * width + j
            if known[i, j]:
                system[here, here], given[here] = 1, image[:, i, j]
                continue
            for di, dj in np.ndindex(3, 3):
                y, x, weight = i + di - 1, j + dj - 1, (1 / 6 if 1 in (di, dj) else 1 / 12)
                if (di, dj) != (1, 1) and 0 <= y < height and 0 <= x < width:
                    system[here, here] += weight
                    system[here, y * width + x] -= weight
    return sparse.linalg.spsolve(system.tocsc(), given).T.reshape(image.shape)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("size", [(33, 40), (17, 5), (2, 9)])
def test_imputation_solves_the_equations_of_road(share: float, size: tuple[int, int]):
    image = resize(rng.normal(size=(3, 6, 6)), size)
    for heatmap in (rng.normal(size=size), resize(rng.normal(size=(3, 3)), size)):
        known = heatmap <= np.quantile(heatmap, 1 - share)
        found = imputed(image[None], known[None, None].astype(float))[0]
        assert np.array_equal(found[:, known], image[:, known])
        assert np.abs(found - exactly_imputed(image, known)).max() < 0.03 * image.std()


def test_road_is_half_the_difference_of_removing_the_least_and_the_most_relevant():
    ranks = stats.rankdata(-SHARES).reshape(SIZE) - 1
    removed = ranks < 0.3 * SHARES.size, SHARES.size - 1 - ranks < 0.3 * SHARES.size
    made = [softmax(linear(exactly_imputed(X[0], ~where)[None]))[0, 1] for where in removed]
    found = measured("road", SHARES, shares=[0.3], noise=0)
    assert np.isclose(found.facts["most relevant removed"], made[0], atol=1e-3)
    assert np.isclose(found.facts["least relevant removed"], made[1], atol=1e-3)
    assert np.isclose(found.value, (made[1] - made[0]) / 2, atol=1e-3)
    assert np.isclose(measured("road", -SHARES, shares=[0.3], noise=0).value, -found.value, atol=1e-3)


POINTS = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 4.0], [-3.0, 1.0, 0.0]])
IN_LOWER_RIGHT = [8, 5, 16, 12]


@pytest.mark.parametrize(
    ("box", "tolerance", "hit", "away"),
    [
        (IN_LOWER_RIGHT, 0, 1, 0),
        ([0, 0, 10, 12], 4, 0, 4.5),  # the hottest pixel is that of column 14
        ([0, 0, 10, 12], 5, 1, 4.5),
        ([0, 0, 11.5, 2.5], 4, 0, np.hypot(3, 3)),
    ],
)
def test_pointing_game_asks_how_far_the_hottest_pixel_is_from_the_box(box, tolerance, hit, away):
    heatmap = np.zeros(SIZE)
    heatmap[5, 14] = 2
    found = measured("pointing-game", heatmap, box=box, tolerance=tolerance)
    assert found.value == hit
    assert np.isclose(found.facts["pixels from the box"], away)


def test_energy_in_the_box_is_the_share_of_what_is_positive():
    heatmap = np.zeros(SIZE)
    heatmap[6:9, 10:12] = 3
    heatmap[0, 0] = 6
    heatmap[1, 1] = -50
    assert np.isclose(measured("energy-in-box", heatmap, box=IN_LOWER_RIGHT).value, 18 / 24)
    assert measured("energy-in-box", -np.ones(SIZE), box=IN_LOWER_RIGHT).value == 0


@pytest.mark.parametrize("box", [[], [1, 2, 3], [5, 0, 5, 9]])
def test_a_box_that_is_none_is_refused(box):
    with pytest.raises(BadQuestion, match="say where the target is"):
        measured("pointing-game", POINTS, box=box)


@pytest.mark.parametrize("batch", [1, 3, 100])
@pytest.mark.parametrize("name", ["insertion", "deletion", "infidelity", "max-sensitivity"])
def test_how_many_go_at_once_changes_nothing(name: str, batch: int):
    of = replace(subject(SHARES), batch=batch)
    *_, last = drive(MEASURES[name].measure(of), gradient_maps)
    assert isinstance(last, Measured)
    assert np.isclose(last.value, measured(name, SHARES).value)


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_is_documented_and_has_defaults(name: str):
    row = MEASURES[name]
    assert row.summary.endswith(".")
    assert all(p.documentation.endswith(".") for p in row.parameters)
    assert bind_measure(name, {}) == {p.name: p.default for p in row.parameters}


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("average-rise", {}, "no measure 'average-rise'; there are average-drop"),
        ("average-drop", {"fil": "zero"}, "average-drop has no parameter 'fil'; it takes keep"),
        ("average-drop", {"fill": "pink"}, "fill must be one of zero, black, mean, blur, not 'pink'"),
        ("average-drop", {"keep": 1.5}, "keep must be"),
        ("insertion", {"steps": 0}, "steps must be"),
        ("road", {"shares": "most"}, "shares must be .* numbers from 0 to 1, at least one, not 'most'"),
        ("road", {"shares": [0.1, 2]}, "shares must be"),
        ("randomisation", {"layers": [0]}, "layers must be"),
        ("randomisation", {"layers": []}, "layers must be"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_way_out(name: str, given: dict, said: str):
    with pytest.raises(BadQuestion, match=said):
        bind_measure(name, given)
