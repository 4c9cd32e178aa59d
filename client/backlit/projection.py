"""Vectors brought down to two numbers each. Needs the extra: pip install 'backlit[projection]'.

from backlit.projection import project

vectors = np.stack([e.heatmap.ravel() for e in model.explain(pictures, "embedding")])
places = project(vectors, "pca").places
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backlit.words import choice
from backlit_proto.errors import BadQuestion

try:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
except ImportError as missing:
    raise ImportError(
        f"projecting needs {missing.name}: pip install 'backlit[projection]'", name=missing.name
    ) from missing

PERPLEXITY = 30.0  # scikit-learn's default; of few pictures, as large as it may be
NEIGHBOURS = 15  # umap-learn's default, likewise
SPECTRAL = 4  # points up to which UMAP cannot start from the spectrum of their graph
FEWEST = 3  # two points are on a line whatever the method


Project = Callable[[np.ndarray, int], "Projection"]
"""From vectors (n, length) and a seed."""


@dataclass(frozen=True, eq=False)
class Projection:
    """`places` (n, 2), and what each of the two axes is."""

    places: np.ndarray
    axes: tuple[str, str]


def project(vectors: np.ndarray, method: str = "pca", *, seed: int = 0) -> Projection:
    """Vectors (n, length) as (n, 2) by "pca", "tsne" or "umap"; the same seed gives the same places.

    Pearson, 1901, by singular values; van der Maaten and Hinton, 2008; McInnes et al., 2018.
    """
    return projector(method)(vectors, seed)


def projector(method: str) -> Project:
    """What `project` does by this method; what is not installed is told at once."""
    way = choice(PROJECTIONS, method, "the projection")()

    def projected(vectors: np.ndarray, seed: int) -> Projection:
        if vectors.ndim != 2 or len(vectors) < FEWEST:
            raise BadQuestion(f"a projection takes at least {FEWEST} vectors, (n, length); these are {vectors.shape}")
        if not np.isfinite(vectors).all():
            raise BadQuestion("the vectors hold infinity or NaN: the model overflows on some picture")
        return way(np.asarray(vectors, np.float64), seed)

    return projected


def _pca(vectors: np.ndarray, seed: int) -> Projection:
    found = PCA(2, svd_solver="full").fit(vectors)
    first, second = found.explained_variance_ratio_
    axes = (f"first component, {first:.1%} of the variance", f"second component, {second:.1%}")
    return Projection(found.transform(vectors), axes)


def _tsne(vectors: np.ndarray, seed: int) -> Projection:
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    places = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(vectors)
    return Projection(places, (f"t-SNE, perplexity {perplexity:.3g}", ""))


def _umap() -> Project:
    try:
        from umap import UMAP  # type: ignore[import-not-found]  # in no extra: it brings a compiler along
    except ImportError as missing:
        raise ImportError(f"umap needs {missing.name}: pip install umap-learn", name=missing.name) from missing

    def projected(vectors: np.ndarray, seed: int) -> Projection:
        neighbours = min(NEIGHBOURS, len(vectors) - 1)
        start = "spectral" if len(vectors) > SPECTRAL else "random"
        made = UMAP(n_components=2, n_neighbors=neighbours, init=start, random_state=seed, n_jobs=1)
        return Projection(np.asarray(made.fit_transform(vectors)), (f"UMAP, {neighbours} neighbours", ""))

    return projected


PROJECTIONS: dict[str, Callable[[], Project]] = {"pca": lambda: _pca, "tsne": lambda: _tsne, "umap": _umap}
