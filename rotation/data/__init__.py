"""Reading image sets, CelebA's text files and labels.csv. No torch: the labeler uses it too."""
