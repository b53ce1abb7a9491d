#!/usr/bin/env python3
"""Make what the light classifier knows from rendered heads, before the first label.

The heads show people that no benchmark uses, at yaw up to 60 degrees, before random backgrounds.
A lamp lights them from a known azimuth, some from behind. Images are darkened or too bright, have
another contrast, a colour cast, and noise. Two files are written:

    face_prior.safetensors       a linear model of the side and of `center`: light within 14
                                 degrees of the front is `center`, beyond 28 degrees a side
    face_direction.safetensors   a small network that gives the azimuth (`light_direction`)

--judge measures the files of the program on other people. 6,000 heads take some
five minutes on two processors.

Examples:
    python benchmarks/classifier_rendered.py --out build/rendered
    python benchmarks/classifier_rendered.py --judge --json
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import _project  # noqa: F401
import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from labeler.light_classifier.face_features import N_ODD, N_PLAIN, plain_features
from labeler.light_classifier.light_direction import YAW_SCALE, light_directions
from labeler.light_classifier.rendered_prior import FACE_PRIOR, rendered_scores
from rotation.faces.face_pairs import find_pairs, read_pair
from rotation.synthetic_heads.camera import CROP_SCALE, View
from rotation.synthetic_heads.parameters import Scene
from rotation.synthetic_heads.renderer import render_view
from rotation.synthetic_heads.sampling import (
    BENCHMARK_IDENTITY,
    pose_head,
    sample_identity,
    sample_scene,
)

FIRST_IDENTITY = 20_000
VIEW = View(111, 136, 54.9, 74.8, CROP_SCALE * 1.247)  # CelebA's view, smaller
BATCH = 16
CENTER_WITHIN, SIDE_BEYOND = 14, 28  # degrees of azimuth
PENALTY = 7.2  # over the number of heads: C of scikit-learn; chosen on Yale B
HIDDEN, EPOCHS, WEIGHT_DECAY, NOISE = 64, 250, 0.1, 0.15
LEAVE_OUT, SPREAD_BINS = 8, 6


def sample(number: int) -> tuple[np.ndarray, Scene]:
    """A picture and its scene; light_azimuth_deg > 0 is light from the viewer's left."""
    rng = np.random.default_rng((9, number))
    yaw = rng.uniform(-60, 60) if rng.random() < 0.65 else rng.uniform(-8, 8)
    scene = replace(
        sample_scene(number),
        yaw_deg=float(yaw),
        pitch_deg=float(np.clip(rng.normal(0, 9), -20, 20)),
        roll_deg=float(rng.normal(0, 5)),
    )
    if rng.random() < 0.6:
        lowest = np.sin(np.deg2rad(-40))
        elevation = np.rad2deg(np.arcsin(rng.uniform(lowest, 1)))
        scene = replace(
            scene,
            light_azimuth_deg=float(rng.uniform(-130, 130)),
            light_elevation_deg=float(elevation),
            light_strength=float(rng.uniform(0.6, 1)),
        )
    left, right = _wall(rng), _wall(rng)
    scene = replace(
        scene, background_left=left, background_right=right if rng.random() < 0.6 else left
    )
    picture = render_view([pose_head(sample_identity(number), scene)], VIEW)[0]
    return _expose(picture, rng), scene


def _wall(rng: np.random.Generator) -> tuple[float, float, float]:
    red, green, blue = np.clip(rng.uniform(0.02, 0.98) + rng.normal(0, 0.05, 3), 0.02, 0.98)
    return float(red), float(green), float(blue)


def _expose(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another contrast, colour and exposure, and the grain of a sensor: the light stays."""
    gamma = np.exp(rng.uniform(np.log(0.7), np.log(5))) if rng.random() < 0.7 else 1.0
    cast = np.exp(rng.normal(0, 0.12, 3)) if rng.random() < 0.5 else 1.0
    exposed = (picture / 255) ** gamma * cast * 255 * np.exp(rng.uniform(-1.6, 0.35))
    grain = rng.normal(0, rng.uniform(0, 2.5), picture.shape[:2])[..., None]
    return np.clip(np.rint(exposed + grain), 0, 255).astype(np.uint8)


def measure(numbers: range) -> np.ndarray:
    """A row for each head: azimuth, yaw, the face's yaw (NaN: not found), odd, even."""
    torch.set_num_threads(1)
    pictures, scenes = zip(*[sample(number) for number in numbers], strict=True)
    pairs = find_pairs([Image.fromarray(picture) for picture in pictures])
    odd, even = plain_features([read_pair(pair) for pair in pairs])
    known = [(s.light_azimuth_deg, s.yaw_deg) for s in scenes]
    yaws = [[pair.yaw_deg] for pair in pairs]
    return np.concatenate([known, yaws, odd, even], axis=1)


def measure_all(first: int, count: int) -> np.ndarray:
    starts = range(first, first + count, BATCH)
    parts = [range(start, min(start + BATCH, first + count)) for start in starts]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        rows = list(tqdm(pool.map(measure, parts), total=len(parts), unit=" x16", disable=None))
    return np.concatenate(rows)


def split(table: np.ndarray) -> tuple[np.ndarray, ...]:
    """Azimuth, yaw, the face's yaw, odd and even features of heads whose face was found."""
    found = table[np.isfinite(table[:, 2])]
    return (*found[:, :3].T, found[:, 3 : 3 + N_PLAIN], found[:, 3 + N_PLAIN :])


def fit_prior(azimuth: np.ndarray, odd: np.ndarray, even: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of `labeler.light_classifier.rendered_prior.RenderedModel`."""
    known = (np.abs(azimuth) <= CENTER_WITHIN) | (np.abs(azimuth) >= SIDE_BEYOND)
    azimuth, odd, even = azimuth[known], odd[known], even[known]
    labels = np.where(np.abs(azimuth) <= CENTER_WITHIN, 1, np.where(azimuth > 0, 0, 2))
    rows = np.concatenate([np.concatenate([o, even, np.abs(odd)], axis=1) for o in (odd, -odd)])
    solver = LogisticRegression(C=PENALTY / len(labels), max_iter=3000, tol=1e-6)
    solver.fit(rows, np.concatenate([labels, 2 - labels]))
    left, center, right = solver.coef_
    margin = center - (left + right) / 2
    bias = solver.intercept_[1] - (solver.intercept_[0] + solver.intercept_[2]) / 2
    side, sided = (left - right)[:N_PLAIN] / 2, labels != 1
    even_weights, size_weights = margin[N_PLAIN : 2 * N_PLAIN], margin[2 * N_PLAIN :]
    side_spread = (odd @ side).std()
    center_spread = (even @ even_weights + np.abs(odd) @ size_weights).std()
    leftwards = np.where(azimuth > 0, 1, -1)[sided, None]
    return {
        "side": side / side_spread,
        "center_even": even_weights / center_spread,
        "center_size": size_weights / center_spread,
        "center_bias": np.array([bias / center_spread]),
        "mean_left_odd": (odd[sided] * leftwards).mean(axis=0),
        "mean_left_even": even[sided].mean(axis=0),
        "mean_center_even": even[~sided].mean(axis=0),
    }


class Direction(torch.nn.Module):
    """The network of `light_direction`: sine and cosine of the azimuth, by symmetry."""

    def __init__(self) -> None:
        super().__init__()
        width = 2 * N_PLAIN + 1
        self.layers = torch.nn.Sequential(
            *(torch.nn.Linear(width, HIDDEN), torch.nn.SiLU(), torch.nn.Dropout(0.2)),
            *(torch.nn.Linear(HIDDEN, HIDDEN), torch.nn.SiLU(), torch.nn.Linear(HIDDEN, 2)),
        )

    def forward(self, odd: torch.Tensor, even: torch.Tensor, yaw: torch.Tensor) -> torch.Tensor:
        plain = self.layers(torch.cat([odd, even, yaw], dim=1))
        mirrored = self.layers(torch.cat([-odd, even, -yaw], dim=1))
        return torch.stack([plain[:, 0] - mirrored[:, 0], plain[:, 1] + mirrored[:, 1]], dim=1)


def fit_direction(
    azimuth: np.ndarray, yaw: np.ndarray, odd: np.ndarray, even: np.ndarray
) -> dict[str, np.ndarray]:
    """The arrays of the network. Every eighth head is left out to measure its spread."""
    torch.manual_seed(0)
    shuffle = np.random.default_rng(0)
    taught = np.flatnonzero(np.arange(len(azimuth)) % LEAVE_OUT)
    kept = np.flatnonzero(np.arange(len(azimuth)) % LEAVE_OUT == 0)
    scales = {
        "odd_scale": np.sqrt((odd**2).mean(axis=0)),
        "even_mean": even.mean(axis=0),
        "even_scale": even.std(axis=0),
    }
    inputs = [
        torch.tensor(each, dtype=torch.float32)
        for each in (
            odd / scales["odd_scale"],
            (even - scales["even_mean"]) / scales["even_scale"],
            (np.sin(np.deg2rad(yaw)) / YAW_SCALE)[:, None],
        )
    ]
    radians = torch.tensor(np.deg2rad(azimuth), dtype=torch.float32)
    target = torch.stack([radians.sin(), radians.cos()], dim=1)
    network = Direction()
    steps = EPOCHS * -(-len(taught) // 128)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in tqdm(range(EPOCHS), unit=" epochs", disable=None):
        for chosen in torch.from_numpy(shuffle.permutation(taught)).split(128):
            odd_part, even_part, yaw_part = (each[chosen] for each in inputs)
            found = network(
                odd_part + NOISE * torch.randn_like(odd_part),
                even_part + NOISE * torch.randn_like(even_part),
                yaw_part,
            )
            loss = torch.nn.functional.mse_loss(found, target[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    linear = [layer for layer in network.layers if isinstance(layer, torch.nn.Linear)]
    for number, layer in enumerate(linear):
        scales[f"weight_{number}"] = layer.weight.detach().numpy()
        scales[f"bias_{number}"] = layer.bias.detach().numpy()
    with torch.no_grad():
        network.eval()
        found = network(*(each[kept] for each in inputs)).numpy()
    return scales | spread(found, azimuth[kept])


def spread(found: np.ndarray, azimuth: np.ndarray) -> dict[str, np.ndarray]:
    """The root mean square error in degrees by how sure the network is."""
    error = np.rad2deg(np.arctan2(found[:, 0], found[:, 1])) - azimuth
    error = (error + 180) % 360 - 180
    order = np.argsort(np.hypot(*found.T))
    bins = np.array_split(order, SPREAD_BINS)
    sureness = np.array([np.hypot(*found[each].T).mean() for each in bins])
    errors = np.array([np.sqrt((error[each] ** 2).mean()) for each in bins])
    return {"sureness": sureness, "spread_deg": np.minimum.accumulate(errors)}


def judge(table: np.ndarray) -> dict[str, float]:
    """Figures of people that were left out; the program's own files are used."""
    azimuth, yaw, face_yaw, odd, even = split(table)
    side, _ = rendered_scores(FACE_PRIOR, odd, even)
    features = np.zeros((len(odd), 2 * N_ODD), np.float32)
    features[:, :N_PLAIN], features[:, N_ODD : N_ODD + N_PLAIN] = odd, even
    found = light_directions(features, face_yaw)
    error = np.abs((found.azimuth_deg + azimuth + 180) % 360 - 180)
    usual = (np.abs(azimuth) <= 90) & (np.abs(yaw) <= 45)
    clear = usual & (np.abs(azimuth) >= SIDE_BEYOND)
    front = np.abs(azimuth) <= 10
    labels = np.where(np.abs(azimuth) >= 35, np.where(azimuth > 0, 0, 2), 1)
    called = np.where(np.abs(found.azimuth_deg) > 21, np.where(found.azimuth_deg < 0, 0, 2), 1)
    sure = usual & ((np.abs(azimuth) >= 35) | (np.abs(azimuth) <= 10))
    return {
        "heads": len(table),
        "found": len(azimuth) / len(table),
        "azimuth_mean_error_deg": float(error[usual].mean()),
        "azimuth_median_error_deg": float(np.median(error[usual])),
        "within_spread": float((error <= found.spread_deg)[usual].mean()),
        "class_right": float((called == labels)[sure].mean()),
        "side_right_by_prior": float(((side > 0) == (azimuth > 0))[clear].mean()),
        "correlation_with_yaw_under_frontal_light": float(
            np.corrcoef(found.azimuth_deg[front], yaw[front])[0, 1]
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="folder for the two files")
    parser.add_argument("--heads", type=int, default=6_000)
    parser.add_argument("--judge", action="store_true", help="judge the program's files instead")
    parser.add_argument("--test-first", type=int, default=BENCHMARK_IDENTITY)
    parser.add_argument("--test-heads", type=int, default=640)
    parser.add_argument("--json", action="store_true", help="write JSON")
    arguments = parser.parse_args()
    if arguments.judge:
        figures = judge(measure_all(arguments.test_first, arguments.test_heads))
        print(json.dumps(figures, indent=2) if arguments.json else figures)
        return
    if arguments.out is None:
        parser.error("give --out, or --judge")
    table = measure_all(FIRST_IDENTITY, arguments.heads)
    azimuth, _, yaw, odd, even = split(table)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, arrays in (
        ("face_prior", fit_prior(azimuth, odd, even)),
        ("face_direction", fit_direction(azimuth, yaw, odd, even)),
    ):
        whole = {key: np.array(value, np.float32, order="C") for key, value in arrays.items()}
        save_file(whole, arguments.out / f"{name}.safetensors")
    print(f"{arguments.out}: learned from {len(azimuth):,} faces of {arguments.heads:,} heads")


if __name__ == "__main__":
    main()
