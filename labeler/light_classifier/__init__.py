"""The light classifier: from face crops to label probabilities. Functions take and return arrays.

Labels are numbers: 0 left, 1 center, 2 right. So the label of the mirrored image is `2 - label`,
and its probabilities are in reverse order.
"""
