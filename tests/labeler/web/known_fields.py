"""The names that a view reads from a request, found in the code of its module."""

from __future__ import annotations

import inspect
import re
import sys

from flask import Flask
from werkzeug.routing import Rule

from labeler.rules.campaign_rules import Rules
from labeler.web import current_campaign, voting
from labeler.web.campaigns import forms as campaign_forms
from labeler.web.campaigns import presets as campaign_presets
from labeler.web.studio import form as studio_form
from labeler.web.subsets import choice as subset_choice
from labeler.web.subsets import pages as subset_pages

_READ = re.compile(
    r"(?:args|values|form|given|body)\.get(?:list)?\(\s*\"([\w-]+)\""
    r"|(?:text|whole|row_numbers|uploaded_text|optional_row|address_id|address_whole)\(\s*\"([\w-]+)\""
    r"|json_\w+\(\s*[\w.]+(?:\(\))?,\s*\"([\w-]+)\""
    r"|\"([\w-]+)\" in (?:request\.form|body)"
)
# Other modules that read fields for the views of an area.
_READERS = {
    "campaigns.views": (campaign_forms, campaign_presets),
    "qualification": (voting,),
    "gold": (subset_choice,),
    "mean_faces": (subset_choice,),
    "studio.new": (studio_form,),
    "subsets.views": (subset_pages,),
}
# Names that are put together in the code: one of each is enough.
_COMPOSED = {
    "verification": ("answer-1",),
    "studio.new": (*studio_form.TEXTS, *studio_form.TICKS, "image", "turn", "campaign"),
    "studio.clusters": ("source",),
    "campaigns.views": ("attribute-0", "confirmed", *Rules().as_dict()),
    "campaigns.states": ("confirmed",),
    "people.groups": ("confirmed",),
    "gold": ("confirmed",),
    "subsets.views": ("confirmed", "label", "probability_from", "subset"),
    "images.imports": ("confirmed", "name", "fingerprint", "size"),
    "privacy": ("confirmed",),
    "studio.results": ("confirmed",),
    "studio.shares": ("confirmed",),
    "people.overview": ("confirmed", "note", "role", "group", "max_uses", "days"),
}


def fields_of(app: Flask, rule: Rule) -> list[str]:
    """The names of form fields, JSON keys and query values in the module of a route's view."""
    module = app.view_functions[rule.endpoint].__module__
    area = module.removeprefix("labeler.web.")
    sources = [sys.modules[module], current_campaign, *_READERS.get(area, ())]
    found = {
        name
        for source in sources
        for groups in _READ.findall(inspect.getsource(source))
        for name in groups
        if name
    }
    return sorted(found | set(_COMPOSED.get(area, ())))
