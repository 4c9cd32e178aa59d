"""The libraries whose conventions the profiles follow, on networks of torch with the weights of files of ours.

Imported only where torch and the libraries are installed.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

FEATURES = """
    a = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, w1, b1)
    r = Relu(a)
    c = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(r, w2, b2)
    f = Relu(c)
"""
TEXTS = {
    "pooling + linear": f"""{FEATURES}
        p = GlobalAveragePool(f)
        v = Flatten(p)
        y = Gemm<transB = 1>(v, w3, b3)
    """,
    "dense": f"""{FEATURES}
        v = Flatten(f)
        h = Gemm<transB = 1>(v, w4, b4)
        g = Relu(h)
        y = Gemm<transB = 1>(g, w5, b5)
    """,
}
SHAPES = {"1": (8, 3, 3, 3), "2": (6, 8, 3, 3), "3": (5, 6), "4": (10, 384), "5": (5, 10)}


def weights() -> dict[str, np.ndarray]:
    """w1, b1 and so on, float32."""
    draw, made = np.random.default_rng(0), {}
    for name, shape in SHAPES.items():
        made[f"w{name}"] = draw.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        made[f"b{name}"] = draw.normal(size=shape[0]) / 10
    return {name: values.astype(np.float32) for name, values in made.items()}


def torchvision_beside(torch: Any) -> Any:
    """torchvision; made for another build of torch it lacks operators, whose names its import asks for."""
    try:
        import torchvision  # pyright: ignore[reportMissingImports]
    except RuntimeError:
        names = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            names.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # pyright: ignore[reportMissingImports]
    return torchvision


def networks(torch: Any, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The same networks as modules; `[0]` makes the features, `[-1]` is the last dense layer."""

    def made(layer: Any, number: str) -> Any:
        layer.weight.data = torch.tensor(arrays[f"w{number}"])
        layer.bias.data = torch.tensor(arrays[f"b{number}"])
        return layer

    def features() -> Any:
        first, second = torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.Conv2d(8, 6, 3, 2, 1)
        return torch.nn.Sequential(made(first, "1"), torch.nn.ReLU(), made(second, "2"), torch.nn.ReLU())

    pooled = (torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), made(torch.nn.Linear(6, 5), "3"))
    hidden = (torch.nn.Flatten(), made(torch.nn.Linear(384, 10), "4"), torch.nn.ReLU())
    dense = (*hidden, made(torch.nn.Linear(10, 5), "5"))
    heads = {"pooling + linear": pooled, "dense": dense}
    return {name: torch.nn.Sequential(features(), *head).eval() for name, head in heads.items()}


def by_pytorch_grad_cam(name: str, **how: Any) -> Callable[[Any, Any, int], np.ndarray]:
    """A map of a network and an image (a tensor) for a class."""

    def heatmap(network: Any, image: Any, target: int) -> np.ndarray:
        import pytorch_grad_cam  # pyright: ignore[reportMissingImports]  # installed with the extra `libraries` alone
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # pyright: ignore[reportMissingImports]

        asked = {"target_idx": target} if name == "FinerCAM" else {"targets": [ClassifierOutputTarget(target)]}
        return getattr(pytorch_grad_cam, name)(network, [network[0]], **how)(image, **asked)[0]

    return heatmap


def by_torchcam(name: str, **how: Any) -> Callable[[Any, Any, int], np.ndarray]:
    def heatmap(network: Any, image: Any, target: int) -> np.ndarray:
        from torchcam import methods  # pyright: ignore[reportMissingImports]

        with getattr(methods, name)(network, target_layer="0", **how) as cam:
            return cam(target, network(image))[0][0].detach().numpy()

    return heatmap


def by_captum(name: str, *, at_layer: bool = False, **how: Any) -> Callable[[Any, Any, int], np.ndarray]:
    def heatmap(network: Any, image: Any, target: int) -> np.ndarray:
        from captum import attr  # pyright: ignore[reportMissingImports]

        method = getattr(attr, name)(network, network[0]) if at_layer else getattr(attr, name)(network)
        found = method.attribute(image.clone().requires_grad_(), target=target, **how)[0].detach().numpy()
        return found[0] if len(found) == 1 else found

    return heatmap
