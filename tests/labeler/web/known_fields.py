"""The names that a view reads from a request, found in the code of its module."""

from __future__ import annotations

import inspect
import re
import sys

from flask import Flask
from werkzeug.routing import Rule

from labeler.rules.campaign_rules import Rules
from labeler.web import (
    campaign_forms,
    campaign_presets,
    current_campaign,
    studio_form,
    subset_choice,
    subset_pages,
    voting,
)

_READ = re.compile(
    r"(?:args|values|form|given|body)\.get(?:list)?\(\s*\"([\w-]+)\""
    r"|(?:text|whole|row_numbers|uploaded_text|optional_row|address_id|address_whole)\(\s*\"([\w-]+)\""
    r"|json_\w+\(\s*[\w.]+(?:\(\))?,\s*\"([\w-]+)\""
    r"|\"([\w-]+)\" in (?:request\.form|body)"
)
# Other modules that read fields for the views of an area.
_READERS = {
    "campaigns": (campaign_forms, campaign_presets),
    "qualification": (voting,),
    "gold": (subset_choice,),
    "mean_faces": (subset_choice,),
    "studio_new": (studio_form,),
    "subsets": (subset_pages,),
}
# Names that are put together in the code: one of each is enough.
_COMPOSED = {
    "verification": ("answer-1",),
    "studio_new": (*studio_form.TEXTS, *studio_form.TICKS, "image", "turn", "campaign"),
    "campaigns": ("attribute-0", "confirmed", *Rules().as_dict()),
    "campaign_states": ("confirmed",),
    "groups": ("confirmed",),
    "gold": ("confirmed",),
    "subsets": ("confirmed", "label", "probability_from", "subset"),
    "image_imports": ("confirmed", "name", "fingerprint", "size"),
    "privacy": ("confirmed",),
    "studio_results": ("confirmed",),
    "studio_shares": ("confirmed",),
    "people": ("confirmed", "note", "role", "group", "max_uses", "days"),
}


def fields_of(app: Flask, rule: Rule) -> list[str]:
    """The names of form fields, JSON keys and query values in the module of a route's view."""
    module = app.view_functions[rule.endpoint].__module__
    area = module.rpartition(".")[2]
    sources = [sys.modules[module], current_campaign, *_READERS.get(area, ())]
    found = {
        name
        for source in sources
        for groups in _READ.findall(inspect.getsource(source))
        for name in groups
        if name
    }
    return sorted(found | set(_COMPOSED.get(area, ())))
