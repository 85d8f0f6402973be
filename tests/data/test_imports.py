"""The data room imports no heavy library that it does not need."""

from __future__ import annotations

import subprocess
import sys


def imported(code: str) -> str:
    code += "; import sys; print([n for n in ('lightning', 'torchvision', 'sklearn', 'pandas') if n in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_data_room_imports_no_heavy_library() -> None:
    assert imported("import fedlit.data, fedlit.data.torchvision_sets, fedlit.data.digits") == "[]"


def test_the_embedded_digits_need_neither_lightning_nor_torchvision() -> None:
    libraries = imported("from fedlit.data.digits import digits; digits()")  # scikit-learn imports an installed pandas
    assert "lightning" not in libraries and "torchvision" not in libraries
