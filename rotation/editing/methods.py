"""The editing methods there are. A new one is a module of its own and one line here.

Imports nothing heavy: a method's module is imported when it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from rotation.errors import SelectionError

if TYPE_CHECKING:
    from rotation.editing.method import EditingMethod


@dataclass(frozen=True)
class Entry:
    """Where an editing method is defined (`module:class`), and what it does, for `--help`."""

    place: str
    description: str


EDITING_METHODS = {
    "line": Entry(
        "rotation.editing.linear_path:LinearEditing", "move the latent along the linear direction"
    ),
    "flow": Entry(
        "rotation.editing.flow_editing:FlowEditing",
        "warp the image along the flow between the clusters' means; the line does the rest",
    ),
    "closed-loop": Entry(
        "rotation.editing.closed_loop:ClosedLoopEditing",
        "measure each frame's yaw and correct it by the head's gradient",
    ),
}


def editing_method(name: str) -> EditingMethod:
    """The editing method of a name; `SelectionError` where there is none."""
    if name not in EDITING_METHODS:
        known = ", ".join(EDITING_METHODS)
        raise SelectionError(f"There is no editing method {name!r}; {known} are allowed.")
    module, _, attribute = EDITING_METHODS[name].place.partition(":")
    method: EditingMethod = getattr(import_module(module), attribute)()
    return method
