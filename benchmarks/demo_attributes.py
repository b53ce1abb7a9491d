#!/usr/bin/env python3
"""Estimate four attributes of the demo's generated faces, with a small network trained on CelebA.

The network sees the standard crop and learns all four at once, from plain and mirrored images. The
last images of CelebA are kept out of its training: the printed shares are of these. The answers go
to `rotation/demo_faces/attributes.csv`, in the order of the faces.

Example:
    python benchmarks/demo_attributes.py $CELEBA --out build/demo_attributes
"""

from __future__ import annotations

import argparse
import csv
import json
import zipfile
from pathlib import Path

import _project  # noqa: F401
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from rotation.clusters.selection import DEFAULT_ATTRIBUTES
from rotation.data.celeba import read_tables
from rotation.data.crop import Pixels, read_crop, standard_crop
from rotation.data.decoding import decode
from rotation.data.sources import open_source
from rotation.demo_faces.dataset import ATTRIBUTES, FACES, count_faces
from rotation.training.previews import save_sheet

SIDE, BATCH, HELD_OUT, SEED = 64, 64, 500, 5
WIDTHS = (24, 48, 96, 128)
RATE = 2e-3
SHOWN = 48  # faces on each sheet


def main() -> None:
    options = _options()
    torch.manual_seed(SEED)
    with open_source(options.images) as images:
        names = images.names()
        crops = np.stack([read_crop(images, name, SIDE) for name in tqdm(names)])
    tables = read_tables(options.images)
    assert tables.attributes is not None
    columns = [tables.attributes.columns.index(name) for name in DEFAULT_ATTRIBUTES]
    rows = {name: row for row, name in enumerate(tables.attributes.filenames)}
    truth = np.stack([tables.attributes.values[rows[name]][columns] for name in names])
    network = _network()
    _train(network, crops[:-HELD_OUT], truth[:-HELD_OUT], options.epochs)
    said = _chances(network, crops[-HELD_OUT:]) > 0.5
    right = (said == truth[-HELD_OUT:].astype(bool)).mean(0)
    faces = _demo_faces()
    held = _chances(network, faces) > 0.5
    _write(held)
    _draw_sheets(options.out, faces, held)
    figures = {
        name: {"held_out_right": round(float(share), 3), "of_the_faces": round(float(part), 3)}
        for name, share, part in zip(DEFAULT_ATTRIBUTES, right, held.mean(0), strict=True)
    }
    print(json.dumps(figures, indent=1))


def _network() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, WIDTHS[0], 5, stride=2, padding=2), nn.ReLU()]
    before = WIDTHS[0]
    for width in WIDTHS[1:]:
        layers += [nn.MaxPool2d(2), nn.Conv2d(before, width, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        before = width
    side = SIDE // 2 ** len(WIDTHS)
    head = nn.Linear(before * side**2, len(DEFAULT_ATTRIBUTES))
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.5), head)


def _train(network: nn.Module, crops: Pixels, truth: NDArray[np.int_], epochs: int) -> None:
    steps = epochs * (len(crops) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    drawn = np.random.default_rng(SEED)
    network.train()
    for _ in tqdm(range(epochs), unit="epoch"):
        for chosen in drawn.permutation(len(crops))[: steps // epochs * BATCH].reshape(-1, BATCH):
            x = _tensor(crops[chosen])
            mirrored = torch.from_numpy(drawn.random(BATCH) < 0.5)
            x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
            wanted = torch.from_numpy(truth[chosen]).float()
            loss = nn.functional.binary_cross_entropy_with_logits(network(x), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
    network.eval()


@torch.inference_mode()
def _chances(network: nn.Module, crops: Pixels) -> NDArray[np.float32]:
    """The probability of each attribute (N, 4), the mean over an image and its mirror image."""
    parts = [_tensor(crops[start : start + BATCH]) for start in range(0, len(crops), BATCH)]
    both = [(network(x).sigmoid() + network(x.flip(3)).sigmoid()) / 2 for x in parts]
    return torch.cat(both).numpy()


def _tensor(crops: Pixels) -> torch.Tensor:
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1


def _demo_faces() -> Pixels:
    with zipfile.ZipFile(FACES) as faces:
        names = faces.namelist()[: count_faces()]
        return np.stack([standard_crop(decode(faces.read(name), name)) for name in names])


def _write(held: NDArray[np.bool_]) -> None:
    with ATTRIBUTES.open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(DEFAULT_ATTRIBUTES)
        writer.writerows(np.where(held, 1, -1).tolist())


def _draw_sheets(out: Path, faces: Pixels, held: NDArray[np.bool_]) -> None:
    """Draw faces with and without each attribute, to be looked at."""
    out.mkdir(parents=True, exist_ok=True)
    for column, name in enumerate(DEFAULT_ATTRIBUTES):
        for said, word in ((True, "with"), (False, "without")):
            shown = faces[held[:, column] == said][:SHOWN]
            if len(shown):
                save_sheet((_tensor(shown) + 1) / 2, out / f"{word}-{name}.png", 12)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="CelebA's folder, with its list_attr_celeba")
    parser.add_argument("--out", type=Path, default=Path("build/demo_attributes"))
    parser.add_argument("--epochs", type=int, default=10)
    return parser.parse_args()


if __name__ == "__main__":
    main()
