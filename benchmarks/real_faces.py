"""Turn photographs of real people, and measure the frames by an independent judge.

Install the judge by `make judge`.

Sources are held-out images of CelebA: equally many of each light, within 10 degrees of the front by
MTCNN, each of another person. People whose images the model was trained on come last. Clusters come
from the first images of the set. The judge is a face mesh and a face descriptor (`_face_judge.py`).
The light is judged by the labeler's classifier. Both see 64x64 frames. Frames are kept in
OUT/frames, so an interrupted run continues, and only missing variants are turned.

Example:
    python manage.py classifier fit --images $CELEBA --labels labels.csv --out classifier/
    python benchmarks/real_faces.py $CELEBA --labels labels.csv --classifier classifier/ \\
        --model celeba-64 --sources 24 --variants carried,flow,line --out build/real
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import _project  # noqa: F401
import numpy as np
from _face_judge import FaceJudge, Seen
from _face_sheets import Strip, draw
from _light_reader import light_classes
from _side_contrast import side_contrast
from numpy.typing import NDArray

from labeler.light_classifier.mirror_logistic import MirrorLogistic
from labeler.light_classifier.storage import load_model as load_classifier
from rotation.data.celeba import read_tables
from rotation.data.crop import read_crop
from rotation.data.labels import LABELS
from rotation.data.labels_csv import read_labels
from rotation.data.sources import open_source
from rotation.diffusion.devices import choose_device
from rotation.editing.pipeline import Data, rotate
from rotation.editing.pose_estimators import TrainedEstimators
from rotation.errors import SelectionError
from rotation.evaluation.variants import VARIANTS as BENCHMARKED
from rotation.imaging.metrics import bootstrap, mean_square_error
from rotation.latents.encoders import DiffusionCodec
from rotation.options import ClusterOptions, EditingOptions, ModelOptions, TurnOptions
from rotation.poses.source import pose_cache_path, poses_from_images
from rotation.run import ESTIMATOR_FOLDER, open_cluster_store, open_codec, open_source_store

YAWS = tuple(float(yaw) for yaw in range(-30, 31, 10))
HELD_OUT = 500
FRONTAL_DEG = 10.0
ANYBODY = ClusterOptions(attributes=(), maximum=3000)
FEWER = replace(ANYBODY, maximum=300)
EVERY_LIGHT = replace(ANYBODY, light_filter=False)
LINE = TurnOptions(clusters=ANYBODY, editing=EditingOptions("line", gain=1.5))
CARRIED = TurnOptions(clusters=FEWER, editing=EditingOptions("flow"))
AUTO = replace(LINE, editing=EditingOptions("line"))
CLOSED = TurnOptions(clusters=ANYBODY, editing=EditingOptions("closed-loop"))
VARIANTS: dict[str, tuple[str, TurnOptions]] = {
    "paper": ("line per side through centroids, plain slope", BENCHMARKED["paper"].options),
    "line": ("line per side through all images, slope times 1.5", LINE),
    "carried": ("warped along the clusters' flow, the line for the rest", CARRIED),
    "carried-whole": (
        "the same, all of the line",
        replace(CARRIED, editing=EditingOptions("flow", gain=1.0)),
    ),
    "carried-alike": (
        "warped, clusters of the usual attributes",
        replace(CARRIED, clusters=ClusterOptions()),
    ),
    "flow": (
        "the flow alone, embedded and decoded",
        replace(CARRIED, editing=EditingOptions("flow", gain=0.0)),
    ),
    "carried-no-light": (
        "warped, clusters of every light",
        replace(CARRIED, clusters=replace(FEWER, light_filter=False)),
    ),
    "auto": ("the line, steps calibrated on trial frames by MTCNN", AUTO),
    "line-no-light": ("the line, clusters of every light", replace(LINE, clusters=EVERY_LIGHT)),
    "closed-loop": ("every frame corrected by its own gradient", CLOSED),
    "no-light": ("the same, clusters of every light", replace(CLOSED, clusters=EVERY_LIGHT)),
}
MEASURES = {
    "yaw_mae_20": ("yaw error within ±20°", 1),
    "yaw_mae_30": ("yaw error over ±30°", 1),
    "monotone": ("monotone strips", 2),
    "light_spread": ("light spread, middle of the crop", 3),
    "face_spread": ("light spread, face alone", 3),
    "light_kept": ("light class kept", 2),
    "distance": ("distance to the middle frame", 3),
    "distance_30": ("at ±30°", 3),
    "photograph": ("distance to the photograph", 3),
    "photograph_30": ("at ±30°", 3),
    "own": ("nearer to its source than to any other", 2),
    "mse": ("reconstruction MSE", 5),
}


def main() -> None:
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    with open_source(options.images) as images:
        names = images.names()
        tables = read_tables(options.images)
        device = choose_device("auto")
        poses = poses_from_images(images, pose_cache_path(options.cache, options.images), device)
        labels = read_labels(options.labels)
        sources = choose_sources(names, labels, tables, poses, options.sources)
        seen = set(names[: options.pool])
        pool = {name: label for name, label in labels.items() if name in seen}
        encoder = open_codec(
            ModelOptions(
                Path(options.model), iterations=options.iterations, embedding=options.embedding
            )
        )
        encoder = encoder.with_source_cache(open_source_store(options.cache, encoder))
        estimators = TrainedEstimators(images, poses, options.cache / ESTIMATOR_FOLDER, device)
        data = Data(images, tables, pool, poses, "", estimators=estimators, device=device)
        strips = {
            variant: turn_all(data, labels, encoder, sources, variant, options)
            for variant in options.variants
        }
        crops = np.stack([read_crop(images, name, encoder.image_size) for name in sources])
    classifier = load_classifier(options.classifier)[0]
    judge = FaceJudge()
    faces = judge.look(crops)
    results = {}
    for variant, turned in strips.items():
        rows = {n: k for k, n in enumerate(sources)}
        kept = [rows[name] for name in turned]
        looks = [judge.look(strip.frames) for strip in turned.values()]
        values = measure(list(turned.values()), looks, kept, faces, classifier)
        results[variant] = summarise(values, looks) | {"sources": list(turned)}
        draw(turned, values, labels, options.out, variant)
    report = {"model": options.model, "pool": options.pool, "iterations": options.iterations}
    text = json.dumps(report | {"variants": results}, indent=1)
    (options.out / "real_faces.json").write_text(text + "\n", "utf-8")
    print(table(results))


def choose_sources(
    names: Sequence[str], labels: Mapping[str, str], tables: object, poses: object, count: int
) -> list[str]:
    """As many frontal faces of each light, each of another person; unseen people first."""
    people = dict(zip(tables.identities.index, tables.identities.values[:, 0], strict=True))
    held_out = names[-HELD_OUT:]
    known = {people[name] for name in names[:-HELD_OUT]}
    yaws = poses.find_poses(held_out).yaw_deg
    frontal = [
        name
        for name, yaw in zip(held_out, yaws, strict=True)
        if abs(yaw) <= FRONTAL_DEG and labels.get(name) in LABELS
    ]
    frontal.sort(key=lambda name: (people[name] in known, name))
    one_each = list({people[name]: name for name in reversed(frontal)}.values())[::-1]
    lights = {light: [name for name in one_each if labels[name] == light] for light in LABELS}
    chosen = [name for light in LABELS for name in lights[light][: -(-count // len(LABELS))]]
    left = [name for name in one_each if name not in chosen]
    return (chosen + left)[: max(count, len(chosen))]


def turn_all(
    data: Data,
    labels: Mapping[str, str],
    encoder: DiffusionCodec,
    sources: Sequence[str],
    variant: str,
    options: argparse.Namespace,
) -> dict[str, Strip]:
    """Turn every source by one variant; frames already on disk are read."""
    store, strips, started = open_cluster_store(options.cache, encoder), {}, time.perf_counter()
    for number, name in enumerate(sources):
        path = options.out / "frames" / f"{Path(name).stem}.{variant}.npz"
        if not path.is_file():
            usual = VARIANTS[variant][1]
            clusters = replace(usual.clusters, light=labels[name])
            chosen = replace(usual, yaws_deg=YAWS, clusters=clusters)
            try:
                found = rotate(replace(data, source=name), encoder, store, chosen)
            except SelectionError as error:
                print(f"{name} is left out of {variant}: {error}", file=sys.stderr)
                continue
            path.parent.mkdir(exist_ok=True)
            np.savez(
                path, source=found.source.crop, again=found.reconstruction, frames=found.frames
            )
            spent = time.perf_counter() - started
            print(f"{variant}: {number + 1} of {len(sources)}, {spent:.0f} s", file=sys.stderr)
        with np.load(path) as kept:
            strips[name] = Strip(kept["source"], kept["again"], kept["frames"])
    return strips


def measure(
    strips: Sequence[Strip],
    looks: Sequence[Seen],
    rows: Sequence[int],
    faces: Seen,
    classifier: MirrorLogistic,
) -> dict[str, NDArray[np.float64]]:
    """Each of `MEASURES`, one number a source: frames of one source are not independent."""
    asked = np.array(YAWS)
    reached = np.array([look.yaw_deg for look in looks])
    error = np.abs(reached - asked)
    contrast = np.array([side_contrast(strip.frames) for strip in strips])
    frames = np.stack([look.descriptors for look in looks])  # (n, K, 128)
    moved = np.linalg.norm(frames - frames[:, [len(YAWS) // 2]], axis=-1)
    apart = np.linalg.norm(frames[:, :, None] - faces.descriptors[None, None], axis=-1)
    n = np.arange(len(strips))
    own = apart[n, :, rows]
    apart[n, :, rows] = np.inf
    classes = np.array(
        [
            light_classes(classifier, np.concatenate([strip.source[None], strip.frames]))
            for strip in strips
        ]
    )
    sources, again = (np.stack([getattr(s, key) for s in strips]) for key in ("source", "again"))
    return {
        "yaw_mae_20": error[:, np.abs(asked) <= 20].mean(axis=1),
        "yaw_mae_30": error.mean(axis=1),
        "monotone": (np.diff(reached, axis=1) > 0).all(axis=1).astype(float),
        "light_spread": np.ptp(contrast, axis=1),
        "face_spread": np.ptp([look.contrast for look in looks], axis=1),
        "light_kept": (classes[:, 1:] == classes[:, :1]).mean(axis=1),
        "distance": moved.mean(axis=1),
        "distance_30": moved[:, np.abs(asked) == 30].mean(axis=1),
        "photograph": own.mean(axis=1),
        "photograph_30": own[:, np.abs(asked) == 30].mean(axis=1),
        "own": (own < apart.min(axis=2)).mean(axis=1),
        "mse": mean_square_error(sources, again),
    }


def summarise(values: Mapping[str, NDArray[np.float64]], looks: Sequence[Seen]) -> dict:
    """Means with 95 % bootstrap intervals over sources, and the median yaws reached."""
    rng = np.random.default_rng(0)
    found = {key: bootstrap(column, rng) for key, column in values.items()}
    return {
        "measures": {key: [one.mean, one.low, one.high] for key, one in found.items()},
        "distance_by_yaw": _by_yaw(looks),
        "reached_deg": np.median([look.yaw_deg for look in looks], axis=0).round(1).tolist(),
        "each": {key: column.round(5).tolist() for key, column in values.items()},
    }


def _by_yaw(looks: Sequence[Seen]) -> list[float]:
    """The mean distance of each frame from the middle one."""
    frames = np.stack([look.descriptors for look in looks])
    middle = frames[:, [len(YAWS) // 2]]
    return np.linalg.norm(frames - middle, axis=-1).mean(axis=0).round(3).tolist()


def table(results: Mapping[str, dict]) -> str:
    """Markdown: one row per measure, one column per variant."""
    lines = ["| | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
    for key, (heading, decimals) in MEASURES.items():
        cells = [
            "{:.{d}f} [{:.{d}f}, {:.{d}f}]".format(*one["measures"][key], d=decimals)
            for one in results.values()
        ]
        lines.append(f"| {heading} | " + " | ".join(cells) + " |")
    reached = [", ".join(f"{yaw:.0f}" for yaw in one["reached_deg"]) for one in results.values()]
    lines.append("| yaws reached, medians | " + " | ".join(reached) + " |")
    apart = [", ".join(f"{d:.2f}" for d in one["distance_by_yaw"]) for one in results.values()]
    lines.append("| distances by yaw, means | " + " | ".join(apart) + " |")
    lines.append("| sources | " + " | ".join(str(len(r["sources"])) for r in results.values()))
    return "\n".join(lines) + " |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="CelebA's folder")
    parser.add_argument("--labels", type=Path, required=True, help="labels.csv of the labeler")
    parser.add_argument("--classifier", type=Path, required=True, help="of `classifier fit`")
    parser.add_argument("--model", default="celeba-64", help="model folder or bundled name")
    parser.add_argument("--sources", type=int, default=24)
    parser.add_argument("--pool", type=int, default=3000, help="clusters come from the first ones")
    parser.add_argument("--iterations", type=int, default=0, help="corrections in embedding them")
    parser.add_argument("--embedding", default="smooth", choices=("inversion", "smooth"))
    parser.add_argument(
        "--variants",
        type=lambda text: text.split(","),
        default=["closed-loop"],
        help=", ".join(VARIANTS),
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("build/real-cache"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
