"""Small networks of other people, as a list of layers and a file of weights.

A network is a folder with `config.json` and `model.safetensors`. The configuration names the input,
the outputs and the layers in order; each layer reads earlier results by number. Its folder's README
says where the network comes from and under which licence.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name
from safetensors.torch import load_file

from rotation.errors import ModelError

NETWORKS = Path(__file__).parent / "networks"

Layer = dict[str, Any]


class LayerGraph(torch.nn.Module):
    """A network that runs its layers one after the other.

    Attributes:
        size: height and width of the images that it takes.
    """

    def __init__(self, config: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.size: tuple[int, int] = tuple(config["size"])
        self._input: int = config["input"]
        self._outputs: list[int] = config["outputs"]
        self._layers: list[Layer] = config["steps"]
        self._last_use = {
            number: k for k, step in enumerate(self._layers) for number in step["from"]
        }
        for name, value in weights.items():
            self.register_buffer(_buffer(name), value.float())

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The outputs for images (N, 3, H, W), in the range of values that the network expects.

        Each output is (N, C, h, w), or (N, rows, columns) where the network makes a table.
        """
        values = {self._input: images}
        for k, step in enumerate(self._layers):
            inputs = [values[number] for number in step["from"]]
            for number in step["from"]:
                if self._last_use[number] == k and number not in self._outputs:
                    del values[number]
            values[step["to"]] = _OPERATIONS[step["op"]](self, step, inputs)
        return [values[number] for number in self._outputs]

    def weight(self, step: Layer, name: str) -> torch.Tensor:
        """A weight of a layer."""
        return self.get_buffer(_buffer(f"{step['to']}.{name}"))


@cache
def load_network(name: str, device: str = "cpu") -> LayerGraph:
    """The bundled network `name`, ready to run on `device`. It is read once.

    Raises:
        ModelError: its files are missing.
    """
    folder = NETWORKS / name
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "model.safetensors")
    except FileNotFoundError as error:
        raise ModelError(
            f"The bundled network {name} is missing in {folder}. Install Sidelight anew."
        ) from error
    return LayerGraph(config, weights).eval().to(device)


def use_one_thread() -> None:
    """Let this process compute on one processor, if others compute beside it."""
    torch.set_num_threads(1)


@torch.inference_mode()
def run_network(name: str, images: torch.Tensor, batch: int = 8) -> list[torch.Tensor]:
    """The outputs of a bundled network for images (N, 3, H, W), on their device.

    Images are passed in batches of one size, and the last batch is filled up. So the result of an
    image does not depend on the images beside it: kernels may differ between sizes of batches.
    """
    network = load_network(name, str(images.device))
    parts: list[list[torch.Tensor]] = []
    for part in images.split(batch):
        filled = F.pad(part, (0, 0, 0, 0, 0, 0, 0, batch - len(part)))
        found = network(filled.contiguous(memory_format=torch.channels_last))
        parts.append([output[: len(part)] for output in found])
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def _buffer(name: str) -> str:
    return "layer_" + name.replace(".", "_")


def _convolve(graph: LayerGraph, step: Layer, inputs: list[torch.Tensor]) -> torch.Tensor:
    weight = graph.weight(step, "weight")
    images = inputs[0]
    if step["padding"] == "same":
        images = _pad_same(images, weight.shape[2], step["stride"])
    groups = len(weight) if step["op"] == "depthwise_conv" else 1
    return F.conv2d(images, weight, graph.weight(step, "bias"), step["stride"], groups=groups)


def _pad_same(images: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """Zeros around images, as TensorFlow's `SAME` places them: the odd one right and below."""
    sides: list[int] = []
    for length in (images.shape[3], images.shape[2]):
        missing = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        sides += [missing // 2, missing - missing // 2]
    return F.pad(images, sides)


_OPERATIONS: dict[str, Callable[[LayerGraph, Layer, list[torch.Tensor]], torch.Tensor]] = {
    "conv": _convolve,
    "depthwise_conv": _convolve,
    "transposed_conv": lambda graph, step, x: F.conv_transpose2d(
        x[0], graph.weight(step, "weight"), graph.weight(step, "bias"), step["stride"]
    ),
    "prelu": lambda graph, step, x: F.prelu(x[0], graph.weight(step, "slope")),
    "relu": lambda _, __, x: F.relu(x[0]),
    "hard_swish": lambda _, __, x: F.hardswish(x[0]),
    "logistic": lambda _, __, x: torch.sigmoid(x[0]),
    "add": lambda _, __, x: x[0] + x[1],
    "mul": lambda _, __, x: x[0] * x[1],
    "pad": lambda _, step, x: F.pad(x[0], (0, 0, 0, 0, 0, step["channels"])),
    "max_pool_2d": lambda _, step, x: F.max_pool2d(x[0], step["stride"]),
    "average_pool_2d": lambda _, __, x: x[0].mean((2, 3), keepdim=True),
    "reshape": lambda _, step, x: x[0].permute(0, 2, 3, 1).reshape(len(x[0]), -1, step["columns"]),
    "concatenation": lambda _, __, x: torch.cat(x, dim=1),
    "resize_bilinear": lambda _, step, x: F.interpolate(
        x[0], size=step["size"], mode="bilinear", align_corners=False
    ),
}
