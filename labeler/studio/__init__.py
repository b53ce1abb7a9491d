"""The studio: heads turned in the browser."""
