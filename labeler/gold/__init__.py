"""Gold questions: images whose answer is known."""
