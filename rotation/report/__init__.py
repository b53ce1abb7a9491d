"""What a run writes: frames, strip, JSON report and HTML report."""
