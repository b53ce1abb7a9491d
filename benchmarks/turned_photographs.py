"""Judge turned photographs at their own size by judges that take no part in turning them.

Photographs are of people drawn at random, whatever their yaw: of the last 500 files of CelebA's
first 10,000, and of a tenth of the people of Labeled Faces in the Wild (`_photographs.py`). All
other people are for tuning. `--people-list` prints who is judged.

Measures: yaw by two judges, a two-sample test and KID against photographs at the same yaw, the
person, the light, sharpness, the way there and back, and rendered heads against their true renders.
All have 95 % intervals over people. Frames and what judges saw are kept in OUT by person, so an
interrupted run continues. Needs `make judge`, and a classifier as `real_faces.py` does.

Examples:
    python benchmarks/turned_photographs.py $CELEBA --labels labels.csv --classifier classifier/ \\
        --ways flow,line --people 201 --sheet --out build/turned
    python benchmarks/turned_photographs.py $CELEBA --labels labels.csv --classifier classifier/ \\
        --lfw lfw_250.zip --lfw-people 100 --ways flow --flicker 6 --json --out build/turned
    python benchmarks/turned_photographs.py $CELEBA --lfw lfw_250.zip --people-list
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import _project  # noqa: F401
import numpy as np
from _face_judge import FaceJudge, mesh_yaw
from _light_reader import NO_FACE, light_classes
from _photographs import (
    Box,
    Photograph,
    PhotographSet,
    boxes_at_eyes,
    celeba,
    cut,
    lfw,
    standard_box,
    standard_crops,
)
from _picture_measures import (
    INSIDE,
    best_shift,
    face_mask,
    flicker,
    gradient_energy,
    head_mask,
    masked_psnr,
    rendered_source,
    rendered_truth,
    shifted,
)
from _turning_ways import WAYS, YAWS, Setting, Way
from _two_sample import detector_features, kernel_distance, level, match_yaws, tell
from _yaw_judges import SIDE, YawJudges, calibrate, read_points
from numpy.typing import NDArray
from PIL import Image

from labeler.light_classifier.storage import load_model as load_classifier
from rotation.data.crop import Pixels
from rotation.data.labels import LABELS
from rotation.data.labels_csv import read_labels
from rotation.imaging.metrics import bootstrap, structural_similarity
from rotation.poses.estimation import estimate_poses
from rotation.synthetic_heads.renderer import render
from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, sample_heads

Arrays = dict[str, NDArray]
FRONTAL_DEG, FAR_DEG, BACK_DEG = 10.0, (20.0, 30.0), 20.0
FARTHEST_BACK_DEG = 35.0
NEARLY_FRONTAL_DEG = 15.0
OTHERS = 200
FEWEST_PAIRS = 20
TRUTH_HEADS = 300
JUDGES = ("68 points", "MTCNN")
HEADINGS = {
    "yaw_68": ("yaw error, 68 points", 1),
    "yaw_mtcnn": ("yaw error, MTCNN", 1),
    "yaw_both": ("yaw error, mean of both readings", 1),
    "monotone": ("monotone strips", 2),
    "person_30": ("distance to the photograph at ±30°", 3),
    "own": ("nearer to its photograph than to 200 others", 3),
    "light_kept": ("light class kept", 2),
    "face_spread": ("light spread of the face", 3),
    "sharpness": ("sharpness of the face", 2),
    "back": ("there and back, PSNR of the head, dB", 1),
    "flicker": ("flicker, grey levels", 2),
}
RENDERED = {
    "head": ("rendered: PSNR of the head, dB", 1),
    "head_still": ("rendered: the same, not shifted", 1),
    "new": ("rendered: PSNR of what is newly visible, dB", 1),
    "ssim": ("rendered: SSIM at 178x218", 3),
    "ssim_64": ("rendered: SSIM of 64x64 crops", 3),
}


def main() -> None:
    options = _options()
    sets = [(celeba(options.images), options.people)]
    if options.lfw:
        sets.append((lfw(options.lfw), options.lfw_people))
    judged = {one.title: one.judged(count, options.seed) for one, count in sets}
    if options.people_list:
        for one, _ in sets:
            for name in judged[one.title]:
                print(one.title, one.people[name], name, sep="\t")
        return
    if not options.labels or not options.classifier:
        raise SystemExit("--labels and --classifier are needed to turn and to judge.")
    options.out.mkdir(parents=True, exist_ok=True)
    people = {sets[0][0].people[name] for name in sets[0][0].candidates}
    setting = Setting(
        images=options.images,
        labels=options.labels,
        pool=options.pool,
        excluded=frozenset(n for n, person in sets[0][0].people.items() if person in people),
        largest=options.largest,
        cache=options.cache,
        model=options.model,
    )
    ways = {name: WAYS[name](setting) for name in options.ways}
    bench = Bench(options)
    report: dict = {"seed": options.seed, "ways": list(ways), "controls": {}, "sets": {}}
    for one, _ in sets:
        bench.prepare(one)
        if one.title == "celeba":
            report["judges"] = bench.noise()
        report["controls"][one.title] = bench.control(one)
        report["sets"][one.title] = {
            name: bench.judge(one, judged[one.title], name, way) for name, way in ways.items()
        }
    if options.heads:
        report["rendered"] = {name: bench.rendered(name, way) for name, way in ways.items()}
    (options.out / "turned_photographs.json").write_text(
        json.dumps(report, indent=1) + "\n", "utf-8"
    )
    print(json.dumps(report, indent=1) if options.json else table(report))


class Bench:
    """Turns, looks and keeps; each person's part is a file in OUT."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.classifier = load_classifier(options.classifier)[0]
        self.labels = read_labels(options.labels)
        self.faces = FaceJudge()
        self.judges: YawJudges | None = None
        self.references: dict[str, Arrays] = {}

    def prepare(self, one: PhotographSet) -> None:
        """Look at photographs of other people: five points, and the judges' calibration."""
        names = one.others()[: self.options.photographs]
        spot = self.options.out / "references" / one.title
        parts = []
        for start in range(0, len(names), 50):
            block = names[start : start + 50]
            path = spot / f"points-{start}-{len(block)}.npz"
            parts.append(kept(path, lambda block=block: self._reference_points(one, block)))
            say(f"{one.title}: {start + len(block)} of {len(names)} photographs of others")
        points = np.concatenate([part["points"] for part in parts])
        if self.judges is None:
            path = self.options.out / "references" / "judges.json"
            if not path.exists():
                self._calibrate(one, names, points).save(path)
            self.judges = YawJudges.load(path)
        yaw = self.judges.calibrations["MTCNN"].yaw_deg(points)
        others = kept(
            spot / "others.npz",
            lambda: {"descriptors": self._describe(one, names[:OTHERS])},
        )
        self.references[one.title] = {
            "names": np.array(names),
            "points": points,
            "yaw": yaw,
        } | others

    def noise(self) -> dict:
        """How far the judges are off on rendered heads, whose yaw is known."""
        path = self.options.out / "references" / "rendered.npz"
        heads = sample_heads(self.options.truth_heads, seed=7, first_identity=BENCHMARK_IDENTITY)
        truth = np.array([head.yaw_deg for head in heads])
        found = kept(path, lambda: read_points(render(heads, SIDE)))
        assert self.judges is not None
        readings = {n: fit.yaw_deg(found[n]) for n, fit in self.judges.calibrations.items()}
        readings["mean of both"] = np.mean(list(readings.values()), axis=0)
        usual = np.abs(truth) <= 30
        return {
            name: {
                "error": float(np.abs(read - truth)[usual].mean()),
                "median": float(np.median(np.abs(read - truth)[usual])),
                "largest": float(np.abs(read - truth)[usual].max()),
                "slope": float(np.polyfit(truth[usual], read[usual], 1)[0]),
            }
            for name, read in readings.items()
        }

    def judge(self, one: PhotographSet, judged: Sequence[str], name: str, way: Way) -> dict:
        """All measures of one way on one set."""
        strips, looks, photographs = [], [], []
        for number, source in enumerate(judged):
            photograph = self._read(one, source)
            stem = f"{one.title}/{source.replace('/', '-')}.npz"
            path = self.options.out / "frames" / name / stem
            strip = kept(path, lambda p=photograph: turn_all(way, p))
            path = self.options.out / "looks" / name / stem
            look = kept(path, lambda p=photograph, s=strip: self._look(p, s))
            if number < self.options.flicker:
                path = self.options.out / "flicker" / name / stem
                look |= kept(path, lambda p=photograph, k=look: every_degree(way, p, k))
            strips.append(strip)
            looks.append(look)
            photographs.append(photograph)
            say(f"{one.title}, {name}: {number + 1} of {len(judged)} people")
        values = measure(looks, self.references[one.title]["descriptors"])
        result = {"people": len(judged), "all": summarise(values)}
        frontal = np.abs([look["source_yaw"].mean() for look in looks]) <= FRONTAL_DEG
        result["frontal_people"] = int(frontal.sum())
        if frontal.sum() > 1:
            result["frontal"] = summarise({key: v[frontal] for key, v in values.items()})
        errors = np.abs(np.array([look["yaws"] for look in looks]) - np.array(YAWS))  # (n, 2, K)
        both = np.abs(np.array([look["yaws"].mean(axis=0) for look in looks]) - np.array(YAWS))
        result["largest_error"] = dict(zip(JUDGES, errors.max(axis=(0, 2)).tolist(), strict=True))
        result["largest_error"]["mean of both"] = float(both.max())
        result["median_error"] = float(np.median(both))
        result["beyond_10"] = float((both > 10).mean())
        result["reached_deg"] = np.median([k["yaws"].mean(axis=0) for k in looks], axis=0).tolist()
        result |= self._compare(one, photographs, strips, looks)
        if self.options.sheet:
            draw_sheet(photographs, strips, values, self.options.out / f"{one.title}-{name}.png")
            draw_first(strips, looks, self.options.out / f"{one.title}-{name}-first.png")
        return result

    def rendered(self, name: str, way: Way) -> dict:
        """Rendered heads against their true renders; a mean over the yaws for each head."""
        heads = sample_heads(self.options.heads, seed=11, first_identity=BENCHMARK_IDENTITY + 500)
        rows = []
        for number, head in enumerate(heads):
            path = self.options.out / "rendered" / name / f"{number}.npz"
            rng = np.random.default_rng(number)
            shown = replace(head, yaw_deg=float(rng.uniform(-20, 20)), pitch_deg=0.0, roll_deg=0.0)
            rows.append(kept(path, lambda shown=shown: self._against_truth(way, shown)))
            say(f"rendered, {name}: {number + 1} of {len(heads)} heads")
        return summarise({key: np.array([row[key].mean() for row in rows]) for key in RENDERED})

    def _against_truth(self, way: Way, head: object) -> Arrays:
        source = rendered_source(head)
        window = (0, 0, source.shape[1], source.shape[0])
        photograph = Photograph("", "", source, window, self._light(source))
        found = {key: [] for key in RENDERED}
        for frame, yaw in zip(way.turn(photograph, YAWS), YAWS, strict=True):
            truth, shown, new = rendered_truth(head, yaw)
            moved = shifted(frame, best_shift(frame, truth, shown))
            found["head"].append(masked_psnr(moved, truth, shown))
            found["head_still"].append(masked_psnr(frame, truth, shown))
            if new.sum() >= 30:
                found["new"].append(masked_psnr(moved, truth, new))
            found["ssim"].append(float(structural_similarity(moved[None], truth[None])[0]))
            small = [standard_crops(photograph, one[None], 64) for one in (moved, truth)]
            found["ssim_64"].append(float(structural_similarity(*small)[0]))
        return {key: np.array(values or [np.nan]) for key, values in found.items()}

    def _compare(
        self,
        one: PhotographSet,
        photographs: Sequence[Photograph],
        strips: Sequence[Arrays],
        looks: Sequence[Arrays],
    ) -> dict:
        """Two-sample test and KID at ±20 to ±30 degrees against other people's photographs."""
        far = [k for k, yaw in enumerate(YAWS) if abs(yaw) in FAR_DEG]
        places = [(n, k) for n in range(len(looks)) for k in far]
        reference = self.references[one.title]
        yaws = np.array([looks[n]["yaws"][1, k] for n, k in places])
        pairs = match_yaws(yaws, reference["yaw"])
        rng = np.random.default_rng(0)
        turned, others = [], []
        for row, column in pairs:
            n, k = places[row]
            turned.append(level(strips[n]["frames"][k], looks[n]["points"][k], rng))
            others.append(self._level_reference(one, column, rng))
        who = [photographs[places[row][0]].person for row, _ in pairs]
        strangers = [one.people[str(reference["names"][column])] for _, column in pairs]
        found = {"matched": len(pairs), "of": len(places)}
        return found | self._tell_apart(one.title, turned, who, others, strangers)

    def control(self, one: PhotographSet) -> dict:
        """The same between photographs of two groups of other people: what no way can better."""
        reference = self.references[one.title]
        low, high = FAR_DEG[0] - 5, FAR_DEG[1] + 5
        rows = np.flatnonzero(
            (np.abs(reference["yaw"]) >= low) & (np.abs(reference["yaw"]) <= high)
        )
        people = np.array([one.people[str(reference["names"][row])] for row in rows])
        half = np.isin(people, np.random.default_rng(0).permutation(np.unique(people))[::2])
        groups = rows[half], rows[~half]
        pairs = match_yaws(*(reference["yaw"][group] for group in groups))
        rng = np.random.default_rng(0)
        sides, who = [], []
        for k, group in enumerate(groups):
            chosen = [group[pair[k]] for pair in pairs]
            sides.append([self._level_reference(one, row, rng) for row in chosen])
            who.append([one.people[str(reference["names"][row])] for row in chosen])
        found = self._tell_apart(one.title, sides[0], who[0], sides[1], who[1])
        return {"matched": len(pairs)} | found

    def _level_reference(self, one: PhotographSet, row: int, rng: np.random.Generator) -> Pixels:
        reference = self.references[one.title]
        photograph = self._read(one, str(reference["names"][row]))
        return level(
            photograph.pixels,
            to_photograph(reference["points"][row], standard_box(photograph)),
            rng,
        )

    def _tell_apart(
        self,
        title: str,
        first: Sequence[Pixels],
        first_people: Sequence[str],
        second: Sequence[Pixels],
        second_people: Sequence[str],
    ) -> dict:
        if len(first) < FEWEST_PAIRS:
            return {}
        one, two = np.stack(first), np.stack(second)
        often = {key: getattr(self.options, key) for key in ("folds", "seeds", "steps")}
        given = hashlib.sha256(repr((often, list(first_people), list(second_people))).encode())
        given.update(one.tobytes() + two.tobytes())

        def find() -> Arrays:
            say(f"{title}: the two-sample test on {len(first)} pairs")
            told = tell(one, first_people, two, second_people, **often)
            features = [detector_features(side) for side in (one, two)]
            kid = kernel_distance(features[0], first_people, features[1], second_people)
            return {
                "told": np.array([told.accuracy, told.low, told.high]),
                "told_each": np.array(told.each),
                "kid": np.array([kid.value, kid.low, kid.high]),
            }

        path = self.options.out / "told" / f"{title}-{given.hexdigest()[:16]}.npz"
        return {key: found.tolist() for key, found in kept(path, find).items()}

    def _read(self, one: PhotographSet, name: str) -> Photograph:
        """A photograph with its light: the label, or else what the classifier calls it."""
        photograph = one.read(name)
        label = self.labels.get(name) if one.title == "celeba" else None
        if label not in LABELS:
            label = self._light(photograph.pixels)
        return replace(photograph, light=label)

    def _light(self, pixels: Pixels) -> str:
        found = int(light_classes(self.classifier, [pixels])[0])
        return "center" if found == NO_FACE else LABELS[found]

    def _reference_points(self, one: PhotographSet, names: Sequence[str]) -> Arrays:
        photographs = [one.read(name) for name in names]
        crops = [standard_crops(p, p.pixels[None], SIDE)[0] for p in photographs]
        return {"points": read_points(np.stack(crops), judges=("MTCNN",))["MTCNN"]}

    def _describe(self, one: PhotographSet, names: Sequence[str]) -> NDArray:
        crops = [standard_crops(p, p.pixels[None], SIDE)[0] for p in map(one.read, names)]
        return np.stack([self.faces.describe(crop) for crop in crops])

    def _calibrate(self, one: PhotographSet, names: Sequence[str], points: NDArray) -> YawJudges:
        """On photographs of others, as evenly over the yaws as there are any."""
        yaw = estimate_poses(points).yaw_deg
        rng, chosen = np.random.default_rng(0), []
        bands = [np.flatnonzero(np.round(yaw / 5) == band) for band in range(-8, 9)]
        share = -(-self.options.calibration // len(bands))
        for band in bands:
            chosen += rng.permutation(band)[:share].tolist()
        crops = []
        for k in chosen:
            photograph = one.read(names[k])
            crops.append(standard_crops(photograph, photograph.pixels[None], SIDE)[0])
        say(f"calibrating the judges on {len(chosen)} photographs")
        return calibrate(np.stack(crops), np.array([mesh_yaw(self.faces, crop) for crop in crops]))

    def _look(self, photograph: Photograph, strip: Arrays) -> Arrays:
        """What the judges see in a source and its frames."""
        assert self.judges is not None
        frames = np.concatenate([photograph.pixels[None], strip["frames"]])
        boxes = boxes_at_eyes(photograph, frames)
        crops = np.stack([cut(one, box, SIDE) for one, box in zip(frames, boxes, strict=True)])
        points = read_points(crops)
        yaws = np.stack([self.judges.calibrations[j].yaw_deg(points[j]) for j in JUDGES])
        seen = self.faces.look(crops)
        meshes = [
            to_photograph(self.faces.mesh(crop)[:, :2], box)
            for crop, box in zip(crops, boxes, strict=True)
        ]
        shape = photograph.pixels.shape[:2]
        energy = [
            gradient_energy(frame, face_mask(mesh, shape, INSIDE))
            for frame, mesh in zip(frames, meshes, strict=True)
        ]
        head = head_mask(meshes[0], shape)
        back = [masked_psnr(photograph.pixels, one, head) for one in strip["back"]]
        return {
            "source_yaw": yaws[:, 0],
            "yaws": yaws[:, 1:],
            "source_descriptor": seen.descriptors[0],
            "descriptors": seen.descriptors[1:],
            "contrast": seen.contrast[1:],
            "light": light_classes(self.classifier, frames),
            "sharpness": np.array(energy[1:]) / energy[0],
            "points": np.stack(
                [
                    to_photograph(found, box)
                    for found, box in zip(points["MTCNN"], boxes, strict=True)
                ][1:]
            ),
            "back": np.array(back or [np.nan]),
            "head": head,
        }


def measure(looks: Sequence[Arrays], strangers: NDArray) -> dict[str, NDArray]:
    """One number a person for each of `HEADINGS`, from what the judges saw.

    Parameters:
        looks: of each person; see `Bench`.
        strangers: descriptors (n, 128) of other people.
    """
    asked = np.array(YAWS)
    yaws = np.array([look["yaws"] for look in looks])  # (n, 2, K)
    error = np.abs(yaws - asked)
    both = yaws.mean(axis=1)
    frames = np.stack([look["descriptors"] for look in looks])  # (n, K, 128)
    sources = np.stack([look["source_descriptor"] for look in looks])
    own = np.linalg.norm(frames - sources[:, None], axis=-1)
    apart = np.linalg.norm(frames[:, :, None] - strangers[None, None], axis=-1).min(axis=2)
    classes = np.array([look["light"] for look in looks])
    values = {
        "yaw_68": error[:, 0].mean(axis=1),
        "yaw_mtcnn": error[:, 1].mean(axis=1),
        "yaw_both": np.abs(both - asked).mean(axis=1),
        "monotone": (np.diff(both, axis=1) > 0).all(axis=1).astype(float),
        "person_30": own[:, np.abs(asked) == 30].mean(axis=1),
        "own": (own < apart).mean(axis=1),
        "light_kept": (classes[:, 1:] == classes[:, :1]).mean(axis=1),
        "face_spread": np.ptp([look["contrast"] for look in looks], axis=1),
        "sharpness": np.array([look["sharpness"].mean() for look in looks]),
        "back": np.array([look["back"].mean() for look in looks]),
    }
    if all("flicker" in look for look in looks[:1]):
        shown = [float(look["flicker"]) if "flicker" in look else np.nan for look in looks]
        values["flicker"] = np.array(shown)
    return values


def turn_all(way: Way, photograph: Photograph) -> Arrays:
    """Frames at `YAWS`; and turned by 20 degrees to either side and back, where it goes."""
    start = way.yaw(photograph)
    there = [start + step for step in (-BACK_DEG, BACK_DEG)]
    there = [yaw for yaw in there if abs(yaw) <= FARTHEST_BACK_DEG]
    frames = way.turn(photograph, (*YAWS, *there))
    back = [way.turn(photograph.with_pixels(one), (start,))[0] for one in frames[len(YAWS) :]]
    shape = (0, *photograph.pixels.shape)
    return {
        "frames": frames[: len(YAWS)],
        "back": np.stack(back) if back else np.zeros(shape, dtype=np.uint8),
        "way_yaw": np.array(start),
    }


def every_degree(way: Way, photograph: Photograph, look: Arrays) -> Arrays:
    """The flicker of the frames at every degree over ±30."""
    frames = way.turn(photograph, tuple(float(yaw) for yaw in range(-30, 31)))
    return {"flicker": np.array(flicker(frames, look["head"]))}


def to_photograph(points: NDArray, box: Box) -> NDArray:
    """Points (n, 2) of a crop of 256 pixels, in pixels of the photograph; `box` is the crop's."""
    left, top, right, bottom = box
    return points * ((right - left) / SIDE, (bottom - top) / SIDE) + (left, top)


def kept(path: Path, make: Callable[[], Arrays]) -> Arrays:
    """The arrays in a file, which is made where it is missing; never left half written."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(f".{os.getpid()}.part.npz")  # two runs may share a folder
        np.savez_compressed(half, **make())
        half.replace(path)
    with np.load(path) as stored:
        return dict(stored)


def summarise(values: Mapping[str, NDArray]) -> dict[str, list[float]]:
    """Mean, low and high end of the 95 % interval over people, of those who have the value."""
    rng = np.random.default_rng(0)
    found = {}
    for key, column in values.items():
        known = column[np.isfinite(column)]
        if len(known):
            one = bootstrap(known, rng)
            found[key] = [one.mean, one.low, one.high]
    return found


def draw_sheet(
    photographs: Sequence[Photograph],
    strips: Sequence[Arrays],
    values: Mapping[str, NDArray],
    path: Path,
) -> None:
    """The best, middle and worst four by the sum of two ranks: yaw error and distance at ±30°.

    The frames alone are drawn; the photographs are not. The names stand in a text file beside.
    """
    ranks = sum(np.argsort(np.argsort(values[key])) for key in ("yaw_both", "person_30"))
    order = np.argsort(ranks, kind="stable").tolist()
    middle = max(0, len(order) // 2 - 2)
    chosen = list(dict.fromkeys([*order[:4], *order[middle : middle + 4], *order[-4:]]))
    rows = [np.concatenate(list(strips[n]["frames"]), axis=1) for n in chosen]
    Image.fromarray(np.concatenate(rows)).save(path)
    names = "\n".join(photographs[n].name for n in chosen)
    path.with_suffix(".txt").write_text(names + "\n", "utf-8")


def draw_first(strips: Sequence[Arrays], looks: Sequence[Arrays], path: Path) -> None:
    """The first four people of the draw who are seen within 15 degrees of the front."""
    pairs = zip(strips, looks, strict=True)
    near = [strip for strip, look in pairs if abs(look["source_yaw"].mean()) <= NEARLY_FRONTAL_DEG]
    if near:
        rows = [np.concatenate(list(strip["frames"]), axis=1) for strip in near[:4]]
        sheet = Image.fromarray(np.concatenate(rows))
        sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.LANCZOS).save(path)


def table(report: Mapping) -> str:
    """Markdown: a table of each set, one column a way; then rendered heads and the judges."""
    lines = []
    for title, ways in report["sets"].items():
        lines += [f"**{title}**", "", _row("", ways), "|---" * (len(ways) + 1) + "|"]
        people = [f"{one['people']}, {one['frontal_people']}" for one in ways.values()]
        lines.append(_row("people, of them frontal", people))
        for part in ("all", "frontal"):
            for key, (heading, digits) in HEADINGS.items():
                cells = [_cell(one.get(part, {}).get(key), digits) for one in ways.values()]
                if any(cells):
                    lines.append(_row(heading + (", frontal" if part == "frontal" else ""), cells))
        cells = [f"{one['median_error']:.1f}" for one in ways.values()]
        lines.append(_row("median yaw error of frames", cells))
        cells = [
            ", ".join(f"{v:.0f}" for v in one["largest_error"].values()) for one in ways.values()
        ]
        lines.append(_row("largest, 68 points, MTCNN, both", cells))
        lines.append(
            _row("frames beyond 10°", [f"{one['beyond_10']:.3f}" for one in ways.values()])
        )
        cells = [", ".join(f"{yaw:.0f}" for yaw in one["reached_deg"]) for one in ways.values()]
        lines.append(_row("yaws reached, medians", cells))
        told = [_cell(one.get("told"), 2) for one in ways.values()]
        lines.append(_row("two-sample test, balanced accuracy", told))
        lines.append(_row("KID", [_cell(one.get("kid"), 3) for one in ways.values()]))
        cells = [f"{one['matched']} of {one.get('of', '?')}" for one in ways.values()]
        control = report["controls"][title]
        lines += [
            _row("frames matched by yaw", cells),
            "",
            f"Photographs against photographs of others, {control['matched']} pairs: balanced "
            f"accuracy {_cell(control.get('told'), 2)}, KID {_cell(control.get('kid'), 3)}.",
            "",
        ]
    if "rendered" in report:
        ways = report["rendered"]
        lines += [_row("", ways), "|---" * (len(ways) + 1) + "|"]
        for key, (heading, digits) in RENDERED.items():
            lines.append(_row(heading, [_cell(one.get(key), digits) for one in ways.values()]))
        lines.append("")
    lines += ["| judge on rendered heads | mean | median | largest | slope |", "|---" * 5 + "|"]
    for name, one in report["judges"].items():
        numbers = (f"{one[key]:.1f}" for key in ("error", "median", "largest"))
        lines.append(_row(name, [*numbers, f"{one['slope']:.2f}"]))
    return "\n".join(lines)


def _row(heading: str, cells: object) -> str:
    return "| " + " | ".join([heading, *cells]) + " |"


def _cell(found: Sequence[float] | None, digits: int) -> str:
    if found is None:
        return ""
    return "{:.{d}f} [{:.{d}f}, {:.{d}f}]".format(*found, d=digits)


def say(text: str) -> None:
    """Progress, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _ways(text: str) -> list[str]:
    unknown = [name for name in text.split(",") if name not in WAYS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no way {', '.join(unknown)}; choose among {', '.join(WAYS)}"
        )
    return text.split(",")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("images", type=Path, help="CelebA's folder")
    add("--lfw", type=Path, help="zip of Labeled Faces in the Wild, deep-funneled, 250 pixels")
    add("--labels", type=Path, help="labels.csv of the labeler")
    add("--classifier", type=Path, help="of `classifier fit`")
    add("--ways", type=_ways, default=["flow"], help=f"{', '.join(WAYS)} [flow]")
    add("--people", type=int, default=201, help="judged people of CelebA [201]")
    add("--lfw-people", type=int, default=100, help="judged people of --lfw [100]")
    add("--heads", type=int, default=24, help="rendered heads; 0: none [24]")
    add("--flicker", type=int, default=0, help="people turned at every degree [0]")
    add("--seed", type=int, default=0, help="of the draw of people [0]")
    add("--photographs", type=int, default=4000, help="of other people to compare with [4000]")
    add("--calibration", type=int, default=300, help="of them, for the judges of yaw [300]")
    add(
        "--truth-heads", type=int, default=TRUTH_HEADS, help="rendered, for the judges' noise [300]"
    )
    add("--folds", type=int, default=5, help="of the two-sample test [5]")
    add("--seeds", type=int, default=2, help="of the two-sample test [2]")
    add("--steps", type=int, default=300, help="of learning in each of its networks [300]")
    add("--model", default="celeba-64", help="model folder or bundled name [celeba-64]")
    add("--pool", type=int, default=9500, help="clusters come from the first images [9500]")
    add("--largest", type=int, default=300, help="images of a cluster at most [300]")
    add("--sheet", action="store_true", help="draw strips: best, middle and worst four")
    add("--json", action="store_true", help="print the report as JSON")
    add("--people-list", action="store_true", help="print who is judged, and do nothing else")
    add("--out", type=Path, default=Path("build/turned"), help="keeps all of it")
    add("--cache", type=Path, default=Path("build/real-cache"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
