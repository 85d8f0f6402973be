"""Options of what travels, beside those of the small folder: stages, reductions and attacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlit.settings import folders
from tests.settings.conftest import FILES, hydra_section, write_options

GROUPS = "  - uplink: []\n  - downlink: []\n  - reduction: null\n  - attack: none\n  - experiment: null\n"
KEYS = """\
uplink: {}    # stages on the way to the server [mapping]
downlink: {}  # stages on the way to the clients [mapping]
"""

MESSAGE_FILES = {
    "uplink/topk.yaml": """
# @package uplink.topk
# The largest entries alone.
# Place: compress.
_target_: fedlit.messages.stages.TopK  # class [class]
share: 0.1   # part of the entries that is sent [0 < float <= 1]
keys: null   # keys of the message; null is every model [list of text or null]
""",
    "uplink/randk.yaml": """
# @package uplink.randk
# Random entries alone.
_target_: fedlit.messages.stages.RandK  # class [class]
share: 0.1  # part of the entries that is sent [0 < float <= 1]
""",
    "uplink/clip.yaml": """
# @package uplink.clip
# Bounded norms.
# Place: limit.
_target_: fedlit.messages.stages.Clip  # class [class]
bound: 1.0  # largest norm [float > 0]
""",
    "uplink/half.yaml": """
# @package uplink.half
# Half precision.
_target_: fedlit.messages.stages.Half  # class [class]
""",
    "downlink/half.yaml": """
# @package downlink.half
# Half precision.
_target_: fedlit.messages.stages.Half  # class [class]
""",
    "reduction/mean.yaml": "# Weighted means.\n_target_: fedlit.messages.reductions.Mean  # class [class]\n",
    "reduction/median.yaml": "# Medians of coordinates.\n_target_: fedlit.messages.Median  # class [class]\n",
    "reduction/krum.yaml": """
# The message nearest to the others.
_target_: fedlit.messages.reductions.Krum  # class [class]
f: 1  # malicious clients of a round, at most [int >= 0]
""",
    "reduction/bucketing.yaml": """
# Means of a few, then another rule.
defaults:
  - /reduction@inner: krum
  - _self_
_target_: fedlit.messages.reductions.Bucketing  # class [class]
s: 2  # messages in a bucket [int >= 1]
""",
    "attack/none.yaml": "# No attack.\n",
    "attack/sign_flip.yaml": """
# Messages turned round.
_target_: fedlit.messages.attacks.SignFlip  # class [class]
share: 0.2  # part of the clients that is malicious [0 < float < 1]
""",
    "attack/alie.yaml": """
# A little is enough.
_target_: fedlit.messages.attacks.Alie  # class [class]
share: 0.2  # part of the clients that is malicious [0 < float < 1]
z: null     # deviations from the mean; null is the paper's [float > 0 or null]
""",
    "experiment/robust.yaml": """
# @package _global_
# A preset with stages.
defaults:
  - override /uplink: [topk, clip]
  - override /reduction: bucketing
uplink:
  topk:
    share: 0.3
reduction:
  inner:
    f: 3
""",
}


@pytest.fixture(scope="session")
def message_conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of FILES and MESSAGE_FILES."""
    config = (
        FILES["config.yaml"].replace("  - experiment: null\n", GROUPS).replace("checkpoint:\n", f"{KEYS}checkpoint:\n")
    )
    files = {**FILES, **MESSAGE_FILES, "config.yaml": config + hydra_section()}
    return write_options(tmp_path_factory.mktemp("conf"), files)


@pytest.fixture
def use_message_conf(message_conf: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """fedlit's options are those of FILES and MESSAGE_FILES."""
    monkeypatch.setattr(folders, "conf_folder", lambda: message_conf)
    return message_conf
