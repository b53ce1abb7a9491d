"""Annotators practise on gold questions before they work."""
