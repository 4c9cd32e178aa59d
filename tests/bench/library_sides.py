"""What other libraries do, each in a process of its own: `library_sides.py NAME MODEL BATCH [--save FILE]`.

torch's networks are built here, with the same random weights each time; MODEL is the file exported from the same
network, by which the other libraries and backlit explain it. Imports what NAME needs, and backlit never.
"""

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from library_maps import torchvision_beside
from pairs import serve

LAYERS = {"resnet50": lambda network: network.layer4[-1], "efficientnet_b0": lambda network: network.features[-1]}
MASKS = 64
OF_TORCH = ("torchvision", "pytorch_grad_cam", "captum")

Action = Callable[[], np.ndarray]


def images(batch: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(batch, 3, 224, 224)).astype(np.float32)


def imported(module: str) -> None:
    """Fails where a library is missing, and says why."""
    if module in OF_TORCH:
        torchvision_beside(importlib.import_module("torch"))
    importlib.import_module(module)


def network(name: str) -> Any:
    """One of torchvision's, with weights drawn by a fixed seed."""
    import torch  # pyright: ignore[reportMissingImports]

    torch.manual_seed(0)
    return getattr(torchvision_beside(torch).models, name)().eval()


def export(model: Path) -> None:
    """Writes the network that the file is named after: input "input" [N,3,224,224], output "logits" [N,1000]."""
    import torch  # pyright: ignore[reportMissingImports]

    axes = {"input": {0: "N"}, "logits": {0: "N"}}
    told = {"input_names": ["input"], "output_names": ["logits"], "dynamic_axes": axes, "opset_version": 17}
    torch.onnx.export(network(model.stem), (torch.from_numpy(images(2)),), str(model), dynamo=False, **told)


def forward(model: Path, batch: int) -> Action:
    """torch's own forward pass, without gradients."""
    import torch  # pyright: ignore[reportMissingImports]

    made, x = network(model.stem), torch.from_numpy(images(batch))

    def action() -> np.ndarray:
        with torch.inference_mode():
            return made(x).numpy()

    return action


def pytorch_grad_cam(model: Path, batch: int) -> Action:
    """Grad-CAM of the best class; hooks are in place, and stay."""
    import torch  # pyright: ignore[reportMissingImports]

    made, x = network(model.stem), torch.from_numpy(images(batch))
    from pytorch_grad_cam import GradCAM  # pyright: ignore[reportMissingImports]  # after torchvision, which it asks for

    cam = GradCAM(made, [LAYERS[model.stem](made)])
    return lambda: cam(x, targets=None)


def captum(model: Path, batch: int) -> Action:
    """Grad-CAM of the best class, which captum wants to be told: finding it is not counted."""
    import torch  # pyright: ignore[reportMissingImports]
    from captum.attr import LayerGradCam  # pyright: ignore[reportMissingImports]

    made, x = network(model.stem), torch.from_numpy(images(batch))
    best = made(x).argmax(1).tolist()
    method = LayerGradCam(made, LAYERS[model.stem](made))
    return lambda: method.attribute(x, target=best).detach().numpy()[:, 0]


def openvino_xai(model: Path, batch: int) -> Action:
    """Recipro-CAM in the model's graph: of all classes, which it cannot do without, and of one image at a time."""
    import openvino_xai as xai  # pyright: ignore[reportMissingImports]
    from openvino_xai.explainer import ExplainMode  # pyright: ignore[reportMissingImports]

    how = {"explain_mode": ExplainMode.WHITEBOX, "explain_method": xai.Method.RECIPROCAM}
    explainer, x = xai.Explainer(str(model), xai.Task.CLASSIFICATION, **how), images(batch)
    return lambda: explainer.method.generate_saliency_map(x)[:, 0]


def dianna(model: Path, batch: int) -> Action:
    """RISE of one class by MASKS masks."""
    import dianna as library  # pyright: ignore[reportMissingImports]

    (image,) = images(batch)
    told = {"method": "RISE", "labels": [0], "n_masks": MASKS, "p_keep": 0.5, "axis_labels": {0: "channels"}}
    return lambda: np.asarray(library.explain_image(str(model), image, **told))


SIDES: dict[str, Callable[[Path, int], Action]] = {
    "forward": forward,
    "pytorch-grad-cam": pytorch_grad_cam,
    "captum": captum,
    "openvino-xai": openvino_xai,
    "dianna": dianna,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*SIDES, "export"])
    parser.add_argument("model", type=Path)
    parser.add_argument("batch", type=int)
    parser.add_argument("--save", type=Path, help="write what it answers here, once, and end")
    arguments = parser.parse_args()
    if arguments.name == "export":
        return export(arguments.model)
    action = SIDES[arguments.name](arguments.model, arguments.batch)
    return np.save(arguments.save, action()) if arguments.save else serve(action)


if __name__ == "__main__":
    main()
