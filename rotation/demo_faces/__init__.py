"""The demo data set: faces sampled from the bundled model, without any photograph."""
