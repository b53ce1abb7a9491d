"""Reading images and CelebA's text files, in place. No torch: the labeler uses it too."""
