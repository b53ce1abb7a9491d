"""Compare straight, bent and curved paths by how well they predict a left-out angle.

It works on pixels of rendered heads, and within their leading principal components, without a
model. A better shape of paths through latents must show in the images too. For each cluster (every
10 degrees, images and mirror images), the path is fitted to the centroids of the others. Reported
is its distance from the left-out centroid, with and without the centroid's own sampling error.

Example:
    python benchmarks/path_shapes.py --heads 1200
"""

from __future__ import annotations

import csv
from pathlib import Path

import _project  # noqa: F401
import click
import numpy as np

from rotation.cli.common import default_cache
from rotation.data.crop import read_crop
from rotation.data.sources import open_source
from rotation.directions.principal_components import principal_components
from rotation.synthetic_heads.dataset import write_dataset

ANGLES = np.arange(-30.0, 31.0, 10.0)
SHAPES = {
    "no turn": lambda y: np.stack([np.ones_like(y)], axis=1),
    "one line": lambda y: np.stack([np.ones_like(y), y], axis=1),
    "a line per side": lambda y: np.stack(
        [np.ones_like(y), np.minimum(y, 0), np.maximum(y, 0)], axis=1
    ),
    "quadratic": lambda y: np.stack([np.ones_like(y), y, y**2], axis=1),
    "cubic": lambda y: np.stack([np.ones_like(y), y, y**2, y**3], axis=1),
}


@click.command(epilog="Example: python benchmarks/path_shapes.py --heads 1200")
@click.option("--heads", type=click.IntRange(100), default=1200, show_default=True)
@click.option("--components", type=click.IntRange(2), default=50, show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), default=default_cache)
def main(heads: int, components: int, cache: Path) -> None:
    """Compare shapes of paths by the angle left out."""
    crops, yaws = read(write_dataset(cache / f"heads-{heads}", heads))
    basis = principal_components(crops, components)
    rows = crops.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    both = np.concatenate([rows, rows[..., ::-1]]).reshape(2 * len(rows), -1) @ basis.T
    signed = np.concatenate([yaws, -yaws])
    image = np.tile(np.arange(len(rows)), 2)
    print("| path | distance of the centroid left out, rms | its chance error |")
    print("|---|---|---|")
    for name, shape in SHAPES.items():
        errors, noises = np.array([left_out(both, signed, image, a, shape) for a in ANGLES]).T
        rms = [np.sqrt(np.mean(np.square(part))) for part in (errors, noises)]
        print(f"| {name} | {rms[0]:.2f} | {rms[1]:.2f} |")


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Crops (n, 64, 64, 3) and true yaws (n,) of a rendered data set."""
    with (folder / "truth.csv").open(encoding="ascii", newline="") as file:
        yaws = {row["filename"]: float(row["yaw_deg"]) for row in csv.DictReader(file)}
    with open_source(folder) as images:
        names = images.names()
        crops = np.stack([read_crop(images, name, 64) for name in names])
    return crops, np.array([yaws[name] for name in names])


def left_out(points, yaws, image, angle, shape) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """The distance of one cluster's centroid from the others' path, and its chance error."""
    inside = np.abs(yaws - angle) <= 5
    others = ~np.isin(image, image[inside])
    means, places = [], []
    for other in ANGLES[angle != ANGLES]:
        kept = others & (np.abs(yaws - other) <= 5)
        if kept.any():
            means.append(points[kept].mean(axis=0))
            places.append(yaws[kept].mean())
    fitted = np.linalg.lstsq(shape(np.array(places)), np.stack(means), rcond=None)[0]
    own = points[inside]
    told = shape(yaws[inside].mean()[None])[0] @ fitted
    noise = np.sqrt(own.var(axis=0, ddof=1).sum() / len(own))
    return float(np.linalg.norm(own.mean(axis=0) - told)), float(noise)


if __name__ == "__main__":
    main()
