"""From face crops to label probabilities: arrays in, arrays out.

Labels are column numbers: 0 left, 1 center, 2 right (`labeler.labels.LABELS`), so that the
label of the mirrored picture is `2 - label` and its probabilities are the row read backwards.
"""
