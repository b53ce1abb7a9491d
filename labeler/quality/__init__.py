"""The quality of the answers: annotator skills, agreement, warnings and pauses.

`labeler.statistics` has the pure methods. This area applies them to the votes of a campaign and
stores the results.
"""
