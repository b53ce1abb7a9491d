"""How people answer: annotator skills, agreement, warnings and pauses."""
