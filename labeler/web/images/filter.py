"""The filter of images in an address: its fields, reading it, its errors, and its words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from werkzeug.datastructures import MultiDict

from labeler.images.filtering import NO_PROPOSAL, ImageFilter, Range
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, pgettext
from labeler.rules.validation import RuleError, read_whole
from labeler.web.campaigns.forms import PARTITION_WORDS

ATTRIBUTE = "attribute-"
WORDS = ("search", "status", "label", "proposal")
YES_NO = {"yes": True, "no": False}
RANGES = {"probability": 100, "confidence": 100, "yaw": 1}  # and the factor of what people enter
NUMBERS = ("identity", "partition", "subset")
PLAIN = (*WORDS, "differs", "gold", "flagged", *NUMBERS)
FIELDS = (*PLAIN, *(f"{name}_{end}" for name in RANGES for end in ("from", "to")))
FROM_SUBSET = "from_subset"  # the number of the subset whose images are looked at
PLACES = ("campaign", "after", "before", FROM_SUBSET)  # what an address has besides the filter
NUMBER = re.compile(r"[+-]?\d{1,9}([.,]\d{0,9})?", re.ASCII)
TITLES = {
    "search": mark("Name or number"),
    "status": mark("Status"),
    "label": "Label",  # see `title`
    "probability": mark("Probability of the label"),
    "proposal": mark("Proposal"),
    "confidence": mark("Probability of the proposal"),
    "differs": mark("Label and proposal"),
    "gold": mark("Gold question"),
    "flagged": mark("Flagged"),
    "identity": mark("Person"),
    "partition": mark("Partition"),
    "yaw": mark("Yaw"),
    "subset": mark("Subset"),
}
STATUS_WORDS = {
    "open": mark("open"),
    "agreed": mark("agreed"),
    "contested": mark("contested"),
    "selected": mark("in the campaign"),
    "undecided": mark("contested, not decided"),
    "outside": mark("not in the campaign"),
    "broken": mark("broken file"),
    "unchecked": mark("not checked yet"),
}
LABEL_WORDS = {"left": mark("left"), "center": mark("center"), "right": mark("right")}
ANSWER_WORDS = {**LABEL_WORDS, "unsure": mark("unsure"), "cannot tell": mark("cannot tell")}
YES_NO_WORDS = {"yes": mark("yes"), "no": mark("no")}
WORDS_OF: Mapping[str, Mapping[str, str]] = {
    "status": STATUS_WORDS,
    "label": LABEL_WORDS,
    "proposal": {**LABEL_WORDS, NO_PROPOSAL: mark("no proposal")},
    "differs": {"yes": mark("differ"), "no": mark("are the same")},
    "gold": YES_NO_WORDS,
    "flagged": YES_NO_WORDS,
    "partition": {str(number): word for number, word in PARTITION_WORDS.items()},
}


@dataclass(slots=True)
class FilterForm:
    """The values of the fields as texts, without empty ones.

    `attributes`: `yes` or `no` by name. `problems`: messages by field; `filter` is the key for
    what has no field, and `attributes` for all attributes. `subsets`: the names of the subsets
    that may be a condition, by number.
    """

    values: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    has_blanks: bool = False
    subsets: Mapping[int, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """The text of a field."""
        return self.values.get(name, "")

    @property
    def query(self) -> dict[str, str]:
        """The filter as values of an address."""
        named = {f"{ATTRIBUTE}{name}": said for name, said in self.attributes.items()}
        return self.values | named

    @property
    def details(self) -> bool:
        """Whether a field besides the first four is used or wrong."""
        used = {*self.values, *self.problems} - {*WORDS, "filter", "campaign"}
        return bool(used or self.attributes)

    def without(self, condition: str) -> dict[str, str]:
        """The values of an address without one condition of `ImageFilter.names`."""
        gone = {condition, f"{condition}_from", f"{condition}_to"}
        return {name: value for name, value in self.query.items() if name not in gone}

    def filter(self, attribute_names: Sequence[str]) -> ImageFilter | None:
        """The filter, None if `problems` has been given messages.

        Parameters:
            attribute_names: the attributes of the data set.
        """
        unknown = [name for name in self.attributes if name not in attribute_names]
        if unknown:
            self.problems["attributes"] = _unknown_attribute(unknown[0][:40], attribute_names)
        if not {*self.attributes.values()} <= YES_NO.keys():
            self.problems.setdefault("attributes", _("Allowed are yes, no."))
        self._check_subset()
        values = {**self._plain(), **{name: self._range(name) for name in RANGES}}
        chosen = {name: YES_NO.get(said, True) for name, said in self.attributes.items()}
        try:
            wanted = ImageFilter(**values, attributes=chosen)
        except RuleError as error:
            for one in error.problems:
                scale = RANGES.get(one.field.rpartition("_")[0], 1)
                self.problems[one.field] = one.sentence(scale)
        return None if self.problems else wanted

    def _check_subset(self) -> None:
        given = self.get("subset")
        if given and read_whole(given) not in self.subsets:
            self.problems["subset"] = (
                _(
                    "The data set has no frozen subset %(given)s. Choose one of the list.",
                    given=given[:20],
                )
                if self.subsets
                else _(
                    "The data set has no frozen subset %(given)s. Freeze a subset first.",
                    given=given[:20],
                )
            )

    def _plain(self) -> dict[str, Any]:
        values: dict[str, Any] = {name: self.values[name] for name in WORDS if name in self.values}
        for name in ("differs", "gold", "flagged"):
            if name in self.values:
                values[name] = YES_NO.get(self.values[name])
                if values[name] is None:
                    self.problems[name] = _("Allowed are yes, no.")
        for name in NUMBERS:
            if name in self.values:
                values[name] = read_whole(self.values[name])
                if values[name] is None:
                    self.problems[name] = _("Enter a whole number.")
        return values

    def _range(self, name: str) -> Range:
        ends = [self._number(f"{name}_{end}", RANGES[name]) for end in ("from", "to")]
        return Range(*ends)

    def _number(self, name: str, scale: float) -> float | None:
        text = self.values.get(name, "").replace("−", "-").removesuffix("%").strip()
        if not text:
            return None
        if not NUMBER.fullmatch(text):
            self.problems[name] = _("Enter a number.")
            return None
        return float(text.replace(",", ".")) / scale


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of the filter in words. `name`: as in `ImageFilter.names`."""

    name: str
    title: str
    value: str


def read_form(args: MultiDict[str, str]) -> FilterForm:
    """Read the fields of an address. What has no field is a problem."""
    form = FilterForm()
    for name in args:
        given = {value.strip() for value in args.getlist(name)} - {""}
        form.has_blanks |= not given
        is_attribute = name.startswith(ATTRIBUTE)
        if not is_attribute and name not in (*FIELDS, *PLACES):
            form.problems["filter"] = _(
                "There is no filter “%(name)s”. Remove it from the address.", name=name[:40]
            )
        elif len(given) > 1:
            place = "attributes" if is_attribute else name
            form.problems[place] = _("The address has several values. Choose one.")
        elif given and is_attribute:
            form.attributes[name.removeprefix(ATTRIBUTE)] = given.pop()
        elif given and name not in PLACES:
            form.values[name] = given.pop()
    return form


def form_of(wanted: ImageFilter) -> FilterForm:
    """The form of a stored filter: what somebody would have to enter."""
    form = FilterForm(attributes={name: _yes_no(one) for name, one in wanted.attributes.items()})
    for name in wanted.names:
        if name in RANGES:
            limits = getattr(wanted, name)
            for end, value in (("from", limits.low), ("to", limits.high)):
                if value is not None:
                    form.values[f"{name}_{end}"] = f"{value * RANGES[name]:.9g}"
        elif not name.startswith(ATTRIBUTE):
            value = getattr(wanted, name)
            form.values[name] = _yes_no(value) if isinstance(value, bool) else str(value)
    return form


def _yes_no(value: bool) -> str:
    return next(word for word, meant in YES_NO.items() if meant == value)


def describe(form: FilterForm, wanted: ImageFilter) -> list[Condition]:
    """The conditions of a filter in words."""
    return [Condition(name, *_describe(form, name)) for name in wanted.names]


def _describe(form: FilterForm, name: str) -> tuple[str, str]:
    if name.startswith(ATTRIBUTE):
        attribute = name.removeprefix(ATTRIBUTE)
        return attribute.replace("_", " "), _(YES_NO_WORDS[form.attributes[attribute]])
    if name in RANGES:
        return title(name), _describe_range(form, name, " %" if RANGES[name] == 100 else "°")
    value = form.get(name)
    if name == "subset":
        return title(name), form.subsets.get(read_whole(value) or 0, value)
    words = WORDS_OF.get(name, {})
    return title(name), _(words[value]) if value in words else value


def _describe_range(form: FilterForm, name: str, unit: str) -> str:
    low, high = (form.get(f"{name}_{end}").removesuffix("%").strip() for end in ("from", "to"))
    if low and high:
        return _("%(low)s to %(high)s", low=low, high=high + unit)
    if low:
        return _("%(limit)s or more", limit=low + unit)
    return _("%(limit)s or less", limit=high + unit)


def describe_in_words(form: FilterForm, wanted: ImageFilter) -> str:
    """A filter as one line, such as `Label: left; Yaw: 20° or more`."""
    conditions = [f"{one.title}: {one.value}" for one in describe(form, wanted)]
    return "; ".join(conditions) or _("all images of the data set")


def status_word(status: str) -> str:
    """The word of a status of `filtering.STATUSES` on pages."""
    return _(STATUS_WORDS[status])


def label_word(label: str | None) -> str:
    """The word of a label, an answer or a decision on pages; None: no label."""
    return _(ANSWER_WORDS[label]) if label else _("no label")


def title(name: str) -> str:
    """The title of a field on pages."""
    # As a word of the menu, “Label” is a verb.
    return pgettext("noun", "Label") if name == "label" else _(TITLES[name])


def _unknown_attribute(name: str, known: Sequence[str]) -> str:
    if known:
        return _("The data set has no attribute “%(name)s”. Choose among these.", name=name)
    return _("The data set has no attribute “%(name)s”. It has none.", name=name)
