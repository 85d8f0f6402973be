"""`uplink=`, `downlink=`, `reduction=`, `attack=`: what composes, and a sentence for each mistake that Hydra takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from omegaconf import OmegaConf

from fedlit.errors import InputError
from fedlit.messages.stages.base import Place
from fedlit.run_folder import write_format
from fedlit.settings import folders, stage_parts
from fedlit.settings.check import Checked, check
from fedlit.settings.compose import Composer, composer
from fedlit.settings.resume import resume
from fedlit.settings.saved import saved_files
from fedlit.settings.table import keys_of
from fedlit.sweeps.same_run import Identity
from tests.settings.conftest import write_options
from tests.settings.message_options import message_conf
from tests.slow import some_slow

__all__ = ["message_conf"]
MINE = "uplink.mine._target_=mine.Stage"
TABLE = "as a sweep of its own; python -m fedlit.report <folder> <folder> makes one table of both."


@pytest.fixture(scope="module")
def made(message_conf: Path) -> Iterator[Composer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "conf_folder", lambda: message_conf)
        with composer() as opened:
            yield opened


def checked(line: str, made: Composer) -> Checked:
    """What a command line composes to; words are split at spaces outside of brackets."""
    words = re.findall(r"(?:\{.*\}|\S)+", line)
    sweeps = words[:1] == ["-m"]
    return check(words[sweeps:], made, sweeps=sweeps)


def config(line: str, made: Composer) -> Any:
    return OmegaConf.to_container(checked(line, made).composed.config)


@pytest.mark.parametrize(
    ("line", "stages"),
    [
        ("", []),
        ("uplink=[]", []),
        ("uplink=[topk,clip]", ["topk", "clip"]),
        ("uplink=[clip,topk]", ["clip", "topk"]),
        ("uplink=[topk] uplink.topk.share=0.05", ["topk"]),
        (MINE, ["mine"]),
        (f"uplink=[topk] {MINE} uplink.mine.k=3", ["topk", "mine"]),
        (f"uplink=[topk] +{MINE}", ["topk", "mine"]),
        ("uplink={mine:{_target_:mine.A},topk:{_target_:mine.T}}", ["mine", "topk"]),
        ("uplink=[topk] uplink={topk:{share:0.3},mine:{_target_:mine.A}}", ["topk", "mine"]),
        ("uplink={}", []),
        ("experiment=robust", ["topk", "clip"]),
        ("experiment=robust uplink=[clip]", ["clip"]),
        ("experiment=robust uplink=[]", []),
    ],
)
def test_stages_stand_in_the_order_of_the_list(line: str, stages: list[str], made: Composer) -> None:
    assert list(config(line, made)["uplink"]) == stages


def test_values_reach_the_stage_that_they_name(made: Composer) -> None:
    composed = config("uplink=[topk,clip] uplink.topk.share=0.05 downlink=[half] uplink.clip.bound=3", made)
    assert composed["uplink"]["topk"]["share"] == 0.05 and composed["uplink"]["clip"]["bound"] == 3
    assert list(composed["downlink"]) == ["half"]


def test_a_sweep_has_a_list_for_each_run(made: Composer) -> None:
    line = "-m uplink=[],[topk],[topk,clip] reduction=mean,krum attack=none,alie"
    assert checked(line, made).overrides == line.split()[1:]


@pytest.mark.parametrize(
    ("line", "reduction"),
    [
        ("", None),
        ("reduction=null", None),
        ("experiment=robust reduction=null", None),
        ("experiment=robust ~reduction", None),
        ("reduction=krum reduction.f=2", {"f": 2}),
        ("experiment=robust", {"inner": {"f": 3}, "s": 2}),
        ("experiment=robust reduction=krum", {"f": 1}),
        ("reduction=bucketing reduction@reduction.inner=krum reduction.inner.f=2", {"inner": {"f": 2}, "s": 2}),
        ("reduction=bucketing reduction@reduction.inner=median", {"inner": {}, "s": 2}),
        ("reduction._target_=mine.R reduction.k=1", {"k": 1}),
        ("reduction={_target_:mine.R,k:1}", {"k": 1}),
    ],
)
def test_a_reduction_has_its_own_keys_and_those_of_the_inner_one(line: str, reduction: Any, made: Composer) -> None:
    def without_classes(node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        return {name: without_classes(inner) for name, inner in node.items() if name != "_target_"}

    assert (without_classes(config(line, made).get("reduction")) or None) == reduction


def test_attacks_are_chosen_one_at_a_time(made: Composer) -> None:
    assert not config("attack=none", made).get("attack")
    assert config("attack=alie attack.share=0.3", made)["attack"]["share"] == 0.3
    assert config("attack._target_=mine.A attack.k=1", made)["attack"] == {"_target_": "mine.A", "k": 1}


MISTAKES = {
    # lists
    "uplink=[topk,topk]": "topk is in the list twice; write 'uplink=[topk]'.",
    "uplink=null": "null is no option; write 'uplink=[]'.",
    "uplink=[null]": "null is no option; write 'uplink=[]'.",
    "uplink=true": "there is no uplink named true; the options are",
    "uplink@uplink=topk": "uplink is a list; write 'uplink=[topk]'.",
    "uplink=none": "no stage is an empty list; write 'uplink=[]'.",
    "uplink=": "there is no option in it; write 'uplink=[]'.",
    "uplink=topk": "uplink is a list; write 'uplink=[topk]'.",
    "uplink=top_k": "uplink is a list; write 'uplink=[topk]'.",
    "uplink=[clip,top_k]": "there is no uplink named top_k; did you mean 'uplink=[clip,topk]'?",
    "uplink=[cli,topk]": "did you mean 'uplink=[clip,topk]'?",
    "uplink=[foo]": "there is no uplink named foo; the options are clip, half, randk or topk; a class of your own is "
    "uplink.mine._target_=mine.Name.",
    "uplink=[topk,mine.A]": "a class is named by 'uplink=[topk]' uplink.mine._target_=mine.A.",
    "uplink=[mine.A,mine.B]": "a class is named by uplink.a._target_=mine.A uplink.b._target_=mine.B.",
    "uplink=[topk:0.1]": "write 'uplink=[topk]', and keys as words of their own, uplink.topk.<key>=<value>.",
    "uplink=[{topk:{share:0.1}}]": "write 'uplink=[topk]', and keys as words of their own, uplink.topk.<key>=<value>.",
    "uplink=[topk,]": "a list is written 'uplink=[topk]'.",
    "uplink=topk,clip": "add --multirun to run each, or write 'uplink=[topk,clip]' for a list.",
    "-m uplink=topk,clip": "write 'uplink=[topk],[clip]' for a run each, or 'uplink=[topk,clip]' for one run.",
    "-m uplink=none,[topk]": "write 'uplink=[],[topk]'.",
    "+uplink=[topk]": "write 'uplink=[topk]', without the +.",
    "++uplink=[topk]": "write 'uplink=[topk]'.",
    "~uplink": "the list is emptied, not left out; write 'uplink=[]'.",
    "uplink=[topk,clip] ~uplink.topk": "a stage is left out of the list; write 'uplink=[clip]'.",
    "~uplink.topk": "uplink has no topk; leave it out.",
    "uplink@x=[topk]": "no option of uplink is chosen there",
    "downlink=[topk]": "there is no downlink named topk; did you mean 'uplink=[topk]'?",
    "uplink=[topk,krum]": "did you mean 'uplink=[topk]' reduction=krum?",
    "uplink=[attack]": "did you mean attack=sign_flip?",
    "topk": "an option is written with its group; did you mean 'uplink=[topk]'?",
    "compression=topk": "did you mean 'uplink=[topk]'?",
    # keys of stages
    "uplink.topk.share=0.1": "topk is not chosen; write 'uplink=[topk]' uplink.topk.share=0.1.",
    "uplink.tpok.share=0.1": "uplink has no tpok; write 'uplink=[topk]' uplink.topk.share=0.1.",
    "uplink.foo.x=1": "uplink has no foo; the options are clip, half, randk or topk; a class of your own is",
    "uplink=[clip] uplink.topk.share=0.1": "topk is not chosen; add topk to the list, 'uplink=[topk,clip]'.",
    "uplink=[topk] uplink.topk.shar=0.1": "did you mean uplink.topk.share=0.1?",
    "uplink=[topk] uplink.topk.ratio=0.1": "did you mean uplink.topk.share=0.1?",
    "uplink=[topk] uplink.topk.share=7": "uplink.topk.share (part of the entries that is sent) has to be a number",
    "uplink=[topk] uplink={topk:{share:7}}": "uplink.topk.share (part of the entries that is sent) has to be a number",
    "uplink.topk=0.1": "topk is a stage; write for example 'uplink=[topk]' uplink.topk.share=0.1.",
    "uplink=[topk] uplink.share=0.1": "a key stands under the name of its stage; write uplink.topk.share=0.1.",
    "uplink.share=0.1": "a key stands under the name of its stage, and randk or topk have share; write uplink.<stage>",
    "bound=0.1": "uplink=[clip] has it, 'uplink=[clip]' uplink.clip.bound=0.1.",
    "uplink._target_=mine.TopK": "a stage has a name; write for example uplink.topk._target_=mine.TopK.",
    "uplink.mine=3": "write uplink.mine._target_=mine.Mine for a class of your own.",
    "uplink={topk:{share:0.3}}": "uplink.topk names no class; write 'uplink=[topk]' for the option",
    "uplink={topk:{}}": "uplink.topk names no class; write 'uplink=[topk]' for the option",
    "uplink.topk={}": "topk is a stage; write 'uplink=[topk]'.",
    "uplink=[topk] uplink.topk.keys=delta": "each element text; write for example 'uplink.topk.keys=[delta]'.",
    "topk.share=0.1": "there is no key topk.share; did you mean 'uplink=[topk]' uplink.topk.share=0.1?",
    "uplink={mine:{}}": "uplink.mine names no class; write uplink.mine._target_=mine.Mine for a class of your own.",
    "uplink=[topk] uplink={}": "a mapping takes no stage away; write 'uplink=[]'.",
    "uplink=[topk] uplink={mine:{_target_:m.A},topk:{share:0.3}}": "so that the order would be topk, mine; write",
    "-m uplink=[],[topk] uplink.topk.share=0.1,0.2": "the runs with 'uplink=[]' have no topk; write 'uplink=[topk]' "
    f"uplink.topk.share=0.1,0.2 {TABLE}",
    "-m uplink=[topk] uplink.topk.share=0.1,7": "uplink.topk.share=7: ",
    "-m experiment=robust uplink=[],[topk]": "experiment/robust: it sets keys of uplink.topk, and uplink=[] does not",
    # reductions and attacks
    "-m reduction=null,krum": "null is no option; write reduction=mean,krum, or leave it out for the default of the",
    "reduction=none": "none is no option; write reduction=mean, or leave it out for the default of the algorithm.",
    "reduction=[krum]": "one option is chosen; write reduction=krum.",
    "reduction=[krum,bucketing]": "write reduction=bucketing reduction@reduction.inner=krum for the second one within",
    "reduction={}": "an empty mapping sets nothing; leave it out.",
    "reduction=topk": "did you mean 'uplink=[topk]'?",
    "aggregator=krum": "did you mean reduction=krum?",
    "defense=krum": "did you mean reduction=krum?",
    "+reduction=krum": "write reduction=krum, without the +.",
    "~reduction": "no reduction is chosen; leave it out.",
    "-m reduction=mean,null": "null is no option; write reduction=mean, or leave it out for the default of the",
    "reduction.f=2": "no reduction is chosen; reduction=krum has f; write reduction=krum reduction.f=2.",
    "reduction=median reduction.f=2": "median has no f; reduction=krum has it; write reduction=krum reduction.f=2.",
    "-m reduction=mean,krum reduction.f=1,2": "the runs with reduction=mean have no f; write reduction=krum "
    f"reduction.f=1,2 {TABLE}",
    "krum.f=2": "there is no key krum.f; did you mean reduction=krum reduction.f=2?",
    "reduction=krum krum.f=2": "there is no key krum.f; did you mean reduction.f=2?",
    "reduction=krum reduction.g=2": "there is no key reduction.g; reduction has f.",
    "reduction=krum reduction.f=-1": "has to be an integer of at least 0; write for example reduction.f=1.",
    "reduction=bucketing reduction.f=2": "did you mean reduction.inner.f=2?",
    "reduction=bucketing reduction.inner=median": "write reduction@reduction.inner=median to choose another.",
    "reduction@reduction.inner=krum": "write for example reduction=bucketing reduction@reduction.inner=krum.",
    "reduction=mean reduction@reduction.inner=krum": "reduction=mean takes no inner; reduction=bucketing takes one.",
    "reduction=bucketing reduction@inner=median": "did you mean reduction@reduction.inner=median?",
    "attack=null": "null is no option; write attack=none.",
    "attack=[alie]": "one option is chosen; write attack=alie.",
    "attack=signflip": "did you mean attack=sign_flip?",
    "attack.share=0.2": "attack=alie or attack=sign_flip have it; write for example attack=alie attack.share=0.2.",
    "-m attack=none,alie,sign_flip attack.share=0.1": "the runs with attack=none have no share; write "
    f"attack=alie,sign_flip attack.share=0.1 {TABLE}",
    "alie.z=1": "there is no key alie.z; did you mean attack=alie attack.z=1?",
    "attackers=[1]": "how many clients are malicious is a key of each attack, `attack=sign_flip attack.clients=0.2`.",
    "byzantine=2": "how many clients are malicious is a key of each attack, `attack=sign_flip attack.clients=0.2`.",
    "byzantine=alie": "did you mean attack=alie?",
    "attack=alie attack.share=2": "has to be a number above 0 and below 1; write for example attack.share=0.2.",
}


QUICK = [
    *("uplink=[topk,topk]", "uplink=null", "uplink=topk", "uplink=[clip,top_k]", "uplink.topk.share=0.1"),
    *("-m uplink=[],[topk] uplink.topk.share=0.1,0.2", "uplink=[topk] uplink={mine:{_target_:m.A},topk:{share:0.3}}"),
    *(
        "uplink=[null]",
        "uplink={topk:{}}",
        "krum.f=2",
        "attackers=[1]",
        "-m attack=none,alie,sign_flip attack.share=0.1",
    ),
    *("reduction=[krum]", "reduction={}", "reduction.f=2", "reduction@reduction.inner=krum", "attack=[alie]"),
]


@pytest.mark.parametrize("line", some_slow(MISTAKES, QUICK))
def test_a_mistake_is_answered_by_what_to_write(line: str, made: Composer) -> None:
    with pytest.raises(InputError) as caught:
        checked(line, made)
    assert MISTAKES[line] in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("# Mine.\n_target_: mine.Stage\n", "write `# @package uplink.mine` as the first line of the file."),
        ("# @package uplink.mine\n# Mine.\n_target_: mine.Stage\n", ""),
    ],
)
def test_an_option_of_a_list_needs_a_package(file: str, sentence: str, message_conf: Path, tmp_path: Path) -> None:
    write_options(tmp_path, {"uplink/mine.yaml": file})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "conf_folder", lambda: message_conf)
        with composer(config_dir=tmp_path) as opened:
            if not sentence:
                assert list(config("uplink=[mine,topk]", opened)["uplink"]) == ["mine", "topk"]
                return
            with pytest.raises(InputError, match=re.escape(sentence)):
                checked("uplink=[mine,topk]", opened)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("uplink: [topk]", "options are chosen in its defaults list, such as `override /uplink: [<option>]`."),
        (
            "uplink:\n  topk:\n    share: 0.5",
            "uplink=[] does not choose topk; write `override /uplink: [topk]` into its",
        ),
        ("reduction: krum", "`reduction: krum` sets a value; write `override /reduction: krum` into its defaults list"),
        ("attack: alie", "`attack: alie` sets a value; write `override /attack: alie` into its defaults list"),
        ("uplink:\n  clip:\n    _target_: mine.Clip\nattack:\n  _target_: mine.A", ""),
        ("defaults:\n  - override /uplink: [topk]\n  - override /attack: alie", ""),
    ],
)
def test_a_preset_chooses_options_in_its_defaults_list(
    text: str, sentence: str, message_conf: Path, tmp_path: Path
) -> None:
    write_options(tmp_path, {"experiment/mine.yaml": f"# @package _global_\n# Mine.\n{text}\n"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "conf_folder", lambda: message_conf)
        with composer(config_dir=tmp_path) as opened:
            if not sentence:
                composed = config("experiment=mine", opened)
                assert len(composed["uplink"]) == 1 and composed["attack"]["_target_"]
                return
            with pytest.raises(InputError, match=re.escape(sentence)):
                checked("experiment=mine", opened)


def test_the_places_of_stages_are_those_of_the_contract() -> None:
    assert get_args(Place) == stage_parts.PLACES


def test_the_order_of_stages_is_part_of_a_configuration(made: Composer) -> None:
    one, other = (keys_of(checked(f"uplink=[{stages}]", made).composed.config) for stages in ("topk,clip", "clip,topk"))
    assert one["uplink"] == other["uplink"] and one != other


def test_runs_with_another_order_of_stages_are_other_runs(made: Composer) -> None:
    configs = [checked(f"uplink=[{stages}]", made).composed.config for stages in ("topk,clip", "clip,topk")]
    identity = Identity(configs)
    assert identity.key(configs[0]) != identity.key(configs[1])
    assert identity.differences(*configs) == ["uplink (order): [topk,clip] -> [clip,topk]"]


def test_a_resumed_run_keeps_the_order_of_its_stages(made: Composer, tmp_path: Path) -> None:
    saved = checked("uplink=[topk,clip] uplink.topk.share=0.3", made)
    files = saved_files(saved.composed.config, saved.overrides)
    write_options(tmp_path / "checkpoints" / "round_0012", files)
    write_format(tmp_path)
    assert list(resume(tmp_path, ["uplink=[topk,clip]"], made).config.uplink) == ["topk", "clip"]
    for word in ("uplink=[clip,topk]", "uplink=[topk]", "uplink.topk.share=0.1", "reduction=krum"):
        with pytest.raises(InputError, match="a run that goes on may change"):
            resume(tmp_path, [word], made)
