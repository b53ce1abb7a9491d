"""What a run leaves behind: frames, strip, JSON and HTML report."""
