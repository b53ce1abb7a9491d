"""The engine starts without what it does not need, and leaves diffusers whole for others."""

import subprocess
import sys

import pytest

HEAVY = ("torch._dynamo", "transformers", "sympy", "sklearn", "scipy", "matplotlib", "torchvision")
PROGRAM = f"""
import sys
import rotation.run
print(*[name for name in {HEAVY} if name in sys.modules])
import diffusers.models.transformers
print(*(name in vars(diffusers.models.transformers) for name in ("__file__", "Transformer2DModel")))
"""


@pytest.mark.slow
def test_a_rotation_imports_no_compiler_and_diffusers_stays_whole():
    lines = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True
    ).stdout.split("\n")
    assert lines[:2] == ["", "True True"]
