"""Making embedded data imports nothing heavy that it does not need."""

from __future__ import annotations

import subprocess
import sys


def test_neither_lightning_nor_torchvision_is_imported() -> None:
    code = (
        "import sys, fedlit.data, fedlit.data.torchvision_sets;"
        "from fedlit.data.digits import digits; digits();"
        "print([name for name in ('lightning', 'torchvision', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
