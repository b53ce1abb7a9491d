"""The languages of the site: texts in a catalogue for each, and numbers and dates by language."""
