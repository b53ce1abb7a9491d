#!/usr/bin/env python
"""Convert TFLite networks to the form of `rotation/faces/layer_graph.py`, and compare the results.

The bundled networks were made by it. It needs ai-edge-litert, which `make judge` installs. Options
that TFLite hides, such as strides and padding, are read from the shapes. So only what the bundled
networks need is converted, and the comparison is the proof.

Example:
    python benchmarks/convert_networks.py face_landmark.tflite --out face-mesh/
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import _project  # noqa: F401  makes the project's packages importable
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from safetensors.numpy import save_file
from safetensors.torch import load_file

from rotation.faces.layer_graph import LayerGraph

CONVOLUTIONS = {
    # TFLite's name: (name here, order of the weights' axes)
    "CONV_2D": ("conv", (0, 3, 1, 2)),
    "DEPTHWISE_CONV_2D": ("depthwise_conv", (3, 0, 1, 2)),
    "Convolution2DTransposeBias": ("transposed_conv", (3, 0, 1, 2)),
}
WITHOUT_WEIGHTS = {
    *("ADD", "MUL", "RELU", "HARD_SWISH", "LOGISTIC", "AVERAGE_POOL_2D", "CONCATENATION"),
}


class Converter:
    """Reads a TFLite network. `config` and `weights` are what a folder holds."""

    def __init__(self, path: Path) -> None:
        self.network = Interpreter(str(path))
        self.network.allocate_tensors()
        self._shapes = {t["index"]: t["shape"] for t in self.network.get_tensor_details()}
        self._constants: dict[int, int] = {}
        self.weights: dict[str, np.ndarray] = {}
        first = self.network.get_input_details()[0]
        self._known = {int(first["index"])}
        steps = [step for step in map(self._convert, self._operations()) if step]
        self.config = {
            "input": int(first["index"]),
            "size": [int(side) for side in first["shape"][1:3]],
            "outputs": [int(o["index"]) for o in self.network.get_output_details()],
            "steps": steps,
        }

    def _operations(self) -> list[dict[str, Any]]:
        return [o for o in self.network._get_ops_details() if o["op_name"] != "DELEGATE"]

    def _constant(self, index: int) -> np.ndarray:
        value = self.network.get_tensor(self._constants.get(index, index))
        return np.asarray(value, dtype=np.float32)

    def _convert(self, operation: dict[str, Any]) -> dict[str, Any] | None:
        name = operation["op_name"]
        inputs = [int(index) for index in operation["inputs"]]
        (output,) = (int(index) for index in operation["outputs"])
        if name == "DEQUANTIZE":
            self._constants[output] = inputs[0]
            return None
        before, after = self._shapes[inputs[0]], self._shapes[output]
        used = [index for index in inputs if index in self._known]
        step: dict[str, Any] = {"op": name.lower(), "from": used, "to": output}
        self._known.add(output)
        if name in CONVOLUTIONS:
            step |= self._convolution(name, inputs, output)
        elif name == "PRELU":
            self.weights[f"{output}.slope"] = self._constant(inputs[1]).reshape(-1)
        elif name == "PAD":
            step["channels"] = int(after[3] - before[3])
        elif name == "MAX_POOL_2D":
            step["stride"] = int(before[1] // after[1])
        elif name == "RESIZE_BILINEAR":
            step["size"] = [int(side) for side in after[1:3]]
        elif name == "RESHAPE":
            step["columns"] = int(after[2])
        elif name not in WITHOUT_WEIGHTS:
            raise SystemExit(f"The operation {name} is not known here.")
        return step

    def _convolution(self, name: str, inputs: list[int], output: int) -> dict[str, Any]:
        before, after = self._shapes[inputs[0]], self._shapes[output]
        operation, order = CONVOLUTIONS[name]
        self.weights[f"{output}.weight"] = np.ascontiguousarray(
            self._constant(inputs[1]).transpose(order)
        )
        self.weights[f"{output}.bias"] = self._constant(inputs[2])
        if operation == "transposed_conv":
            return {"op": operation, "stride": int(after[1] // before[1])}
        stride = int(np.ceil(before[1] / after[1]))
        padding = "same" if -(-before[1] // stride) == after[1] else "valid"
        return {"op": operation, "stride": stride, "padding": padding}


def compare(converter: Converter, graph: LayerGraph) -> float:
    """The largest difference of outputs for noise, relative to the largest output."""
    network = converter.network
    image = np.random.default_rng(0).random((1, *graph.size, 3), dtype=np.float32)
    network.set_tensor(converter.config["input"], image)
    network.invoke()
    with torch.no_grad():
        found = graph(torch.from_numpy(image).permute(0, 3, 1, 2))
    worst = 0.0
    for index, result in zip(converter.config["outputs"], found, strict=True):
        expected = network.get_tensor(index)
        output = result.permute(0, 2, 3, 1) if result.ndim == 4 else result
        difference = np.abs(expected - output.numpy()).max()
        worst = max(worst, float(difference / np.abs(expected).max()))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", type=Path, help="a TFLite file")
    parser.add_argument("--out", type=Path, required=True, help="folder for the result")
    parser.add_argument("--json", action="store_true", help="write JSON")
    arguments = parser.parse_args()
    converter = Converter(arguments.network)
    arguments.out.mkdir(parents=True, exist_ok=True)
    half = {name: value.astype(np.float16) for name, value in converter.weights.items()}
    save_file(half, arguments.out / "model.safetensors")
    text = json.dumps(converter.config, indent=1)
    (arguments.out / "config.json").write_text(text + "\n", encoding="utf-8")
    graph = LayerGraph(converter.config, load_file(arguments.out / "model.safetensors")).eval()
    result = {
        "layers": len(converter.config["steps"]),
        "weights": sum(value.size for value in half.values()),
        "largest_relative_difference": compare(converter, graph),
    }
    print(json.dumps(result) if arguments.json else result)


if __name__ == "__main__":
    main()
