"""Every profile beside its library, on identical weights: run with the extra `libraries` and `-m libraries`."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from backlit_server.engine.engine import Engine
from backlit_server.methods import METHODS
from backlit_server.methods.profiles import PROFILES
from bare import ask, stored
from library_maps import TEXTS, by_captum, by_pytorch_grad_cam, by_torchcam, networks, torchvision_beside, weights

# What the libraries warn of is theirs.
pytestmark = [pytest.mark.libraries, pytest.mark.filterwarnings("ignore")]

ARRAYS = weights()
X = np.random.default_rng(1).normal(size=(1, 3, 32, 32)).astype(np.float32)
TOLERANCE = 1e-3  # of the map's range

LIBRARIES: dict[str, dict[str, Any]] = {
    "pytorch-grad-cam": {
        "grad-cam": by_pytorch_grad_cam("GradCAM"),
        "grad-cam++": by_pytorch_grad_cam("GradCAMPlusPlus"),
        "hires-cam": by_pytorch_grad_cam("HiResCAM"),
        "grad-cam-elementwise": by_pytorch_grad_cam("GradCAMElementWise"),
        "layer-cam": by_pytorch_grad_cam("LayerCAM"),
        "xgrad-cam": by_pytorch_grad_cam("XGradCAM"),
        "eigen-cam": by_pytorch_grad_cam("EigenCAM"),
        "eigen-grad-cam": by_pytorch_grad_cam("EigenGradCAM"),
        "kpca-cam": by_pytorch_grad_cam("KPCA_CAM"),
        "fem": by_pytorch_grad_cam("FEM"),
        "ablation-cam": by_pytorch_grad_cam("AblationCAM"),
        "score-cam": by_pytorch_grad_cam("ScoreCAM"),
        "shapley-cam": by_pytorch_grad_cam("ShapleyCAM"),
        "finer-cam": by_pytorch_grad_cam("FinerCAM"),
    },
    "torchcam": {
        "cam": by_torchcam("CAM", fc_layer="3"),
        "grad-cam": by_torchcam("GradCAM"),
        "grad-cam++": by_torchcam("GradCAMpp"),
        "layer-cam": by_torchcam("LayerCAM"),
        "xgrad-cam": by_torchcam("XGradCAM"),
        "score-cam": by_torchcam("ScoreCAM"),
        "finer-cam": by_torchcam("FinerCAM"),
    },
    "captum": {
        "grad-cam": by_captum("LayerGradCam", at_layer=True),
        "saliency": by_captum("Saliency"),
        "gradient-x-input": by_captum("InputXGradient"),
        "guided-backprop": by_captum("GuidedBackprop"),
        "deconvnet": by_captum("Deconvolution"),
        "guided-grad-cam": by_captum("GuidedGradCam", at_layer=True),
        "integrated-gradients": by_captum("IntegratedGradients"),
        "deep-lift": by_captum("DeepLift"),
        "occlusion": by_captum("Occlusion", sliding_window_shapes=(3, 8, 8), strides=(3, 4, 4)),
    },
}
PARAMETERS: dict[str, dict[str, Any]] = {"occlusion": {"patch": 8, "stride": 4}}
# Shares of a pixel, which captum tells channel by channel and we add up.
ADDED_UP = ("integrated-gradients", "deep-lift")
# All channels are hidden together, so that they tell the same.
ALIKE = ("occlusion",)
NOT_COMPARED = {
    "pytorch-grad-cam": {
        "full-grad": "scales every term before it adds them up, so that nothing adds up to the score",
        "random-cam": "other random numbers",
    },
    "torchcam": {
        "smooth-grad-cam++": "other random numbers, and noise of an absolute size",
    },
    "captum": {
        "smooth-grad": "other random numbers, and noise of an absolute size",
        "square-grad": "other random numbers, and noise of an absolute size",
        "var-grad": "other random numbers, and noise of an absolute size",
        "lrp": "other composites: captum passes every layer by epsilon",
    },
}
MISSING = "LIBRARIES MISSING: {}; pip install 'backlit[server,test,libraries]'"
CASES = [
    (name, method, head)
    for name, rows in LIBRARIES.items()
    for method in rows
    for head in TEXTS
    if method != "cam" or head == "pooling + linear"
]


def installed(name: str) -> Any:
    return pytest.importorskip(name, reason=MISSING.format(name))


@pytest.fixture(scope="module")
def torch() -> Any:
    """torch, with every library beside it."""
    found = installed("torch")
    try:
        torchvision_beside(found)
    except ModuleNotFoundError:
        pytest.skip(MISSING.format("torchvision"))
    for name in ("pytorch_grad_cam", "torchcam", "captum"):
        installed(name)
    return found


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What their destructors raise is raised, and ignored, here."""
    yield
    gc.collect()


@pytest.fixture
def modules(torch: Any) -> dict[str, Any]:
    """Made anew for each test: what a library hung on them does not always come off."""
    return networks(torch, ARRAYS)


@pytest.fixture(scope="module")
def digests(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("networks")
    return {name: stored(engine.store, saved(folder / f"{name[:4]}.onnx", text)) for name, text in TEXTS.items()}


def saved(file: Path, text: str) -> Path:
    model = parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 21]> net (float[N, 3, 32, 32] x) => (float[N, 5] y) {{ {text} }}'
    )
    used = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(numpy_helper.from_array(ARRAYS[name], name) for name in sorted(used & set(ARRAYS)))
    onnx.save(model, file)
    return file


def theirs(torch: Any, network: Any, name: str, method: str, target: int) -> np.ndarray:
    found = LIBRARIES[name][method](network, torch.tensor(X), target)
    if method in ADDED_UP:
        return found.sum(0)
    return found[0] if method in ALIKE else found


@pytest.mark.parametrize(("name", "method", "head"), CASES)
def test_a_profile_gives_the_maps_of_its_library(torch, modules, engine: Engine, digests, name, method, head):
    for target in range(5):
        wanted = theirs(torch, modules[head], name, method, target)
        ((_, found),) = ask(engine, digests[head], X, method, [target], profile=name, **PARAMETERS.get(method, {}))
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= TOLERANCE * max(np.ptp(wanted), 1e-12)


def test_what_a_library_computes_otherwise_is_compared_or_said_why_not():
    for name, profile in PROFILES.items():
        if name in LIBRARIES:
            assert set(profile.methods) <= set(LIBRARIES[name])
            assert not set(NOT_COMPARED[name]) & set(LIBRARIES[name])
            assert {*LIBRARIES[name], *NOT_COMPARED[name]} <= set(METHODS)


@pytest.mark.parametrize("head", TEXTS)
def test_the_grad_cam_plus_plus_of_torchcam_is_not_the_papers(torch, modules, engine: Engine, digests, head):
    wanted = theirs(torch, modules[head], "torchcam", "grad-cam++", 1)
    ((_, paper),) = ask(engine, digests[head], X, "grad-cam++", [1])
    low = np.maximum(paper, 0)
    assert np.abs(low / low.max() - wanted).max() > 0.05
