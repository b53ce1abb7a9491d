"""Synthetic heads: rendered faces whose yaw, light and identity are known."""

from rotation.synthetic.dataset import write_dataset
from rotation.synthetic.marks import landmarks
from rotation.synthetic.parameters import Head, Identity, Scene, light_class, mirror
from rotation.synthetic.renderer import render
from rotation.synthetic.sampling import (
    BENCHMARK_IDENTITY,
    pose_head,
    sample_heads,
    sample_identity,
    sample_scene,
)

__all__ = [
    "BENCHMARK_IDENTITY",
    "Head",
    "Identity",
    "Scene",
    "landmarks",
    "light_class",
    "mirror",
    "pose_head",
    "render",
    "sample_heads",
    "sample_identity",
    "sample_scene",
    "write_dataset",
]
