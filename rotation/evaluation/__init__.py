"""The ground-truth benchmark: rendered heads of unseen people, judged by true renders."""
