"""Why a file cannot be used, or a model run has failed, in the language of the reader.

These reasons are stored in English.
"""

from __future__ import annotations

from labeler.languages.stored import translate_stored
from labeler.languages.texts import mark

_OF_FILES = (
    # labeler.images.registration
    mark("no longer in the data set"),
    # rotation.data.decoding
    mark("truncated or damaged image (%(reason)s)"),
    mark("the file is empty (0 bytes)"),
    mark("not an image (starts with %(bytes)s)"),
    mark("far too many pixels; at most %(limit)s are read"),
    mark("damaged image header (%(reason)s)"),
    mark("%(width)s x %(height)s pixels are too many; at most %(limit)s are read"),
    # rotation.data.sources
    mark("larger than %(limit)s MiB"),
    mark("a link to %(place)s, which is not there; fetch its content"),
    mark("cannot be read (%(reason)s)"),
    mark("damaged in %(archive)s (%(reason)s)"),
    mark("leads out of %(folder)s"),
)
_OF_RUNS = (
    # labeler.proposals.runs
    mark("interrupted: its process has ended"),
    mark("stopped by %(name)s"),
    mark("Model run %(run)s was stopped."),
    # labeler.proposals.training and feature_extraction
    mark(
        "%(count)s of the %(images)s labelled images of %(name)s cannot be used, and the others "
        "are too few to train on. The first problem is: %(problem)s"
    ),
    mark(
        "Looking for faces needs the library %(name)s. Install the rotation engine's libraries "
        "too: pip install 'sidelight[rotation]'."
    ),
)


def file_problem(stored: str | None, filename: str) -> str:
    """Return what is wrong with a file, without its name; "" if nothing is.

    Parameters:
        stored: the problem of an image, which may begin with the name.
    """
    plain = (stored or "").removeprefix(f"{filename}: ").removeprefix(f"{filename!r}: ")
    return translate_stored(plain, _OF_FILES)


def run_problem(stored: str | None) -> str | None:
    """Return why a model run has ended without proposals; None if it has not.

    Parameters:
        stored: the problem of a run, which begins with the kind of an error if there was one.
    """
    if stored is None:
        return None
    kind, colon, message = stored.partition(": ")
    tell = {"problem": _named_problem}
    known = translate_stored(stored, _OF_RUNS, tell)
    if known != stored or not colon:
        return known
    return f"{kind}: {translate_stored(message, _OF_RUNS, tell)}"


def _named_problem(stored: str) -> str:
    """Return what is wrong with a file, after the name with which it begins."""
    name, colon, problem = stored.partition(": ")
    return f"{name}{colon}{file_problem(problem, name)}" if colon else stored
