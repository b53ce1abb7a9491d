"""The qualification: annotators answer gold questions before they work."""
