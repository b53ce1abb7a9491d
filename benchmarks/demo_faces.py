"""Make the faces of the demo: sample them from the bundled model and keep the best.

1. DDIM samples faces with autoguidance (`_autoguidance.py`), from noise of reduced norm. Samples
   are kept in OUT, so an interrupted run continues. Use another OUT for another model or guide.
2. Near-duplicates of CelebA's faces are left out. These are nearer to a training face, or to its
   mirror image, than 99 % of held-out photographs are, in pixels or in MTCNN's features.
   OUT/nearest.svg shows both distances.
3. Within each 10 degrees of yaw, the best faces by three ranks are kept: distance from real faces
   in MTCNN's features (T. Kynkäänniemi et al., arXiv 1904.06991), MTCNN's probability of a face,
   and the fit of the landmarks to a head.

Example:
    python benchmarks/demo_faces.py $CELEBA --guide DIR --out build/demo_faces
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import _project  # noqa: F401
import numpy as np
import torch
from _autoguidance import autoguided
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from rotation.data.build_once import LANDMARK_NAMES
from rotation.data.crop import Pixels, read_crop
from rotation.data.sources import open_source
from rotation.demo_faces.dataset import FACES, TABLE
from rotation.diffusion import ddim
from rotation.diffusion.denoising import load_denoising
from rotation.diffusion.devices import bf16_is_faster, choose_device
from rotation.diffusion.model_folder import find_model
from rotation.diffusion.schedule import timesteps
from rotation.poses.estimation import estimate_poses
from rotation.poses.mtcnn import LandmarkDetector
from rotation.training.previews import noise, save_sheet

Floats = NDArray[np.float64]
SEED, SIDE, BATCH, STEPS = 11, 64, 32, 12
WEIGHT, BETWEEN, SIZE_OF_NOISE = 3.0, (200, 900), 0.93
HELD_OUT = 500  # the last images of the set, which the model has not seen
COMPONENTS, NEIGHBOUR = 48, 5
YAW_BIN_DEG = 10.0
WIDE_DEG, WIDE_SHARE = 20.0, 0.75  # faces turned so far are few, and clusters need them


def main() -> None:
    options = _options()
    drawn = draw(options)
    with open_source(options.images) as images:
        photographs = np.stack([read_crop(images, name, SIDE) for name in tqdm(images.names())])
    detector = Looker()
    points, score, features = detector.look(drawn)
    real = detector.look(photographs)[2]
    near, distances, nearest = near_duplicates(drawn, features, photographs, real)
    (options.out / "nearest.svg").write_text(plot(nearest), "utf-8")
    poses = estimate_poses(points)
    ranks = _rank(-distance_from(real[:-HELD_OUT], features)) + _rank(score)
    ranks += _rank(poses.confidence)
    kept = choose(ranks, poses.yaw_deg, near, options.keep)
    write(FACES, drawn, kept, points)
    save_sheet(_tensor(drawn[kept[:96]]), options.out / "kept.png", 16)
    left = np.setdiff1d(np.arange(len(drawn)), kept)
    save_sheet(_tensor(drawn[left[:96]]), options.out / "left_out.png", 16)
    yaws = np.histogram(poses.yaw_deg[kept], np.arange(-45, 46, 10))[0].tolist()
    found = {"drawn": len(drawn), "near_duplicates": int(near.sum()), "kept": len(kept)}
    print(json.dumps(found | distances | {"kept_by_yaw_-40_to_40": yaws}, indent=1))


def draw(options: argparse.Namespace) -> Pixels:
    """Faces (N, 64, 64, 3); face i depends on i alone, but for what batches do to rounding."""
    options.out.mkdir(parents=True, exist_ok=True)
    device = choose_device("auto")
    model, guide = (
        replace(load_denoising(folder, device), bf16=bf16_is_faster(device))
        for folder in (find_model("celeba-64"), options.guide)
    )
    eps = autoguided(model.eps, guide.eps, WEIGHT, BETWEEN)
    latents = SIZE_OF_NOISE * noise(options.count, SIDE, SEED)
    faces = []
    for number, z in enumerate(tqdm(latents.split(BATCH), unit="batch")):
        path = options.out / f"drawn-{number:03d}.npy"
        if not path.is_file():
            with torch.inference_mode():
                times = timesteps(len(model.schedule), STEPS)
                x = ddim.sample(eps, z.to(device), model.schedule, times).cpu()
            pixels = ((x + 1) * 127.5).round().clamp(0, 255).byte()
            np.save(path, pixels.permute(0, 2, 3, 1).numpy())
        faces.append(np.load(path))
    return np.concatenate(faces)[: options.count]


class Looker(LandmarkDetector):
    """MTCNN's last network, and what its last hidden layer makes of a face."""

    def look(self, crops: Pixels) -> tuple[Floats, Floats, Floats]:
        """Landmarks (N, 5, 2), probability of a face (N,), features (N, 256), mirror-symmetric."""
        seen: list[NDArray[np.float32]] = []
        hook = self._onet.dense5.register_forward_hook(
            lambda _module, _inputs, output: seen.append(output.cpu().numpy())
        )
        columns = []
        for rows in np.array_split(np.arange(len(crops)), -(-len(crops) // BATCH)):
            seen.clear()
            points, score = self.detect_crops(crops[rows])
            # Plain and mirrored, each read twice: the second readings are of the corrected box.
            columns.append((points, score, (seen[1] + seen[3]) / 2.0))
        hook.remove()
        points, score, features = (np.concatenate(c) for c in zip(*columns, strict=True))
        return points, score, features


def near_duplicates(
    drawn: Pixels, features: Floats, photographs: Pixels, real: Floats
) -> tuple[NDArray[np.bool_], dict[str, float], dict[str, tuple[Floats, Floats, float]]]:
    """Which faces are nearer to a photograph than photographs of others are, and the distances:
    in words, and for each space those of the faces, of the photographs, and the bound."""
    near = np.zeros(len(drawn), dtype=bool)
    told: dict[str, float] = {}
    nearest = {}
    known = _reduced(np.concatenate([photographs, photographs[:, :, ::-1]]))
    # The features are the mirror image's as well; in pixels both are searched.
    spaces = {"pixels": (_reduced(drawn), known), "features": (features, real)}
    for space, (ours, all_known) in spaces.items():
        turned = np.arange(len(all_known)) % len(photographs)
        held_out = turned >= len(photographs) - HELD_OUT
        usual = _nearest(all_known[held_out][:HELD_OUT], all_known[~held_out])
        found = _nearest(ours, all_known)
        bound = float(np.quantile(usual, 0.01))
        near |= found < bound
        nearest[space] = (found, usual, bound)
        told |= {
            f"{space}: bound": bound,
            f"{space}: photographs, median": float(np.median(usual)),
            f"{space}: drawn, median": float(np.median(found)),
            f"{space}: drawn, least": float(found.min()),
        }
    return near, {name: round(value, 3) for name, value in told.items()}, nearest


def plot(nearest: dict[str, tuple[Floats, Floats, float]]) -> str:
    """SVG: how far drawn faces and held-out photographs are from the nearest training face."""
    parts = []
    for panel, (space, (drawn, usual, bound)) in enumerate(nearest.items()):
        high = float(np.quantile(np.concatenate([drawn, usual]), 0.995))
        edges, left = np.linspace(0, high, 41), 30 + 380 * panel
        for values, colour in ((usual, "#8a8a86"), (drawn, "#c2571a")):
            shares = np.histogram(values, edges)[0] / len(values)
            heights = 190 - 1000 * np.minimum(shares, 0.17)
            corners = [
                f"{left + 340 * edge / high:.1f},{height:.1f}"
                for k, height in enumerate(heights)
                for edge in edges[k : k + 2]
            ]
            parts.append(f'<polyline points="{" ".join(corners)}" stroke="{colour}" fill="none"/>')
        x = left + 340 * bound / high
        parts.append(f'<path d="M{x:.1f} 20V190" stroke="#222" stroke-dasharray="4 3"/>')
        parts.append(f'<path d="M{left} 190h340" stroke="#222"/>')
        parts.append(f'<text x="{left + 170}" y="14" text-anchor="middle">{space}</text>')
        for tick in np.linspace(0, high, 5):
            place = left + 340 * tick / high
            parts.append(f'<text x="{place:.0f}" y="206" text-anchor="middle">{tick:.2f}</text>')
    words = "distance from the nearest training face or its mirror image: "
    legend = (
        f'<text x="400" y="228" text-anchor="middle">{words}<tspan fill="#c2571a">drawn</tspan>, '
        '<tspan fill="#6a6a66">held-out photographs</tspan>; left of the dashes: left out</text>'
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 236" font-family="sans-serif" '
        'font-size="13"><rect width="800" height="236" fill="#fff"/>'
        + "\n".join([*parts, legend])
        + "</svg>\n"
    )


def distance_from(real: Floats, features: Floats) -> Floats:
    """Distance (N,) to the fifth nearest real face among the leading, whitened features."""
    centre = real.mean(axis=0)
    _, sizes, axes = np.linalg.svd(real - centre, full_matrices=False)
    whiten = axes[:COMPONENTS].T / (sizes[:COMPONENTS] / np.sqrt(len(real)))
    return _nearest((features - centre) @ whiten, (real - centre) @ whiten, NEIGHBOUR)


def choose(
    ranks: Floats, yaw_deg: Floats, near: NDArray[np.bool_], share: float
) -> NDArray[np.int64]:
    """Indices, rising, of the best `share` of each bin of yaw that are no near-duplicates.

    From `WIDE_DEG` on it is `WIDE_SHARE`, if that is more.
    """
    bins = np.rint(yaw_deg / YAW_BIN_DEG)
    kept: list[int] = []
    for which in np.unique(bins[np.isfinite(bins)]):
        rows = np.flatnonzero((bins == which) & ~near)
        best = rows[np.argsort(-ranks[rows], kind="stable")]
        wide = abs(which) * YAW_BIN_DEG >= WIDE_DEG
        part = max(share, WIDE_SHARE) if wide else share
        kept.extend(best[: round(part * len(best))].tolist())
    return np.sort(np.array(kept))


def write(path: Path, drawn: Pixels, kept: NDArray[np.int64], points: Floats) -> None:
    """`faces.zip`, the same bytes for the same faces."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["name", "noise", *LANDMARK_NAMES.split()])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as faces:
        for number, index in enumerate(kept, start=1):
            name, picture = f"{number:04d}.png", io.BytesIO()
            Image.fromarray(drawn[index]).save(picture, "PNG", optimize=True)
            faces.writestr(zipfile.ZipInfo(name), picture.getvalue())
            writer.writerow([name, index, *(f"{value:.2f}" for value in points[index].ravel())])
        faces.writestr(zipfile.ZipInfo(TABLE), table.getvalue())


def _reduced(crops: Pixels) -> Floats:
    """(N, 3072) in [0, 1]: means of 2 x 2 pixels, scaled so that a distance is an RMS."""
    halves = crops.reshape(len(crops), 32, 2, 32, 2, 3).mean(axis=(2, 4), dtype=np.float32)
    return halves.reshape(len(crops), -1) / np.float32(255 * np.sqrt(3072))


def _nearest(ours: Floats, known: Floats, which: int = 1) -> Floats:
    """Distance of each of ours (N, F) to its `which`-th nearest of known (M, F)."""
    squares = (known**2).sum(axis=1)
    found = []
    for part in np.array_split(ours, max(1, len(ours) // 256)):
        apart = (part**2).sum(axis=1)[:, None] - 2 * part @ known.T + squares
        found.append(np.partition(apart, which - 1, axis=1)[:, which - 1])
    return np.sqrt(np.maximum(np.concatenate(found), 0))


def _rank(values: Floats) -> Floats:
    """0 for the least to 1 for the largest."""
    return np.argsort(np.argsort(values, kind="stable"), kind="stable") / len(values)


def _tensor(crops: Pixels) -> torch.Tensor:
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="CelebA's folder: what the model was trained on")
    parser.add_argument("--guide", type=Path, required=True, help="a weaker model's folder")
    parser.add_argument("--count", type=int, default=2560, help="faces to draw [2560]")
    parser.add_argument("--keep", type=float, default=0.3, help="share of the best to keep [0.3]")
    parser.add_argument("--out", type=Path, required=True, help="where what is drawn is kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
