"""The images of a data set that a campaign selects: values and their limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from labeler.languages.texts import mark
from labeler.rules.validation import Problem, check_whole, known_fields, refuse_problems


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSelection:
    """Which images of a data set a campaign selects. The default is all of them.

    Attributes:
        partitions: of CelebA: 0 train, 1 valid, 2 test. Empty: all images, also without one.
        attributes: required values by name. An image must have all of them.
        sample: number of images, drawn at random from those that fit; None: all.
        seed: of the sample.
        filenames: select only these; None: all.
        subset: the number of a frozen subset; None: all.

    Raises:
        RuleError: parts are wrong. It contains all of them.
    """

    partitions: tuple[int, ...] = ()
    attributes: dict[str, bool] = field(default_factory=dict)
    sample: int | None = None
    seed: int = 0
    filenames: tuple[str, ...] | None = None
    subset: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "partitions", tuple(sorted(set(self.partitions))))
        if self.filenames is not None:
            object.__setattr__(self, "filenames", tuple(dict.fromkeys(self.filenames)))
        refuse_problems(self._problems())

    def _problems(self) -> Iterator[Problem | None]:
        for partition in self.partitions:
            yield check_whole("partitions", partition, 0, 9)
        if self.sample is not None:
            yield check_whole("sample", self.sample, 1, 10**9)
        if self.subset is not None:
            yield check_whole("subset", self.subset, 1, 2**31 - 1)
        yield check_whole("seed", self.seed, 0, 2**31 - 1)
        if self.filenames == ():
            yield Problem(field="filenames", given=[], needed=mark("at least one name"))

    @property
    def is_everything(self) -> bool:
        """Whether all images are selected, also those imported later."""
        return self == ImageSelection(seed=self.seed)

    def as_dict(self) -> dict[str, Any]:
        """Return the selection as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ImageSelection:
        """Return a selection from JSON values.

        Raises:
            RuleError: a name is unknown, or a value is not allowed.
        """
        known = known_fields(cls, "part of a selection", values)
        known["partitions"] = tuple(known.get("partitions", ()))
        if known.get("filenames") is not None:
            known["filenames"] = tuple(known["filenames"])
        return cls(**known)
