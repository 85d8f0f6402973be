"""A class of the user's: located, its keys compared with its signature, called."""

from __future__ import annotations

import sys

import pytest
from omegaconf import OmegaConf

from fedlit.errors import InputError
from fedlit.settings import classes
from fedlit.settings.classes import build, check_classes, locate

MINE = """
import abc
class Net:
    def __init__(self, width, lr=0.1, *, input_shape=None, widths=()):
        if lr == 13:
            raise RuntimeError("thirteen")
        self.given = dict(width=width, lr=lr, input_shape=input_shape, widths=widths)

class Open:
    def __init__(self, **anything):
        self.given = anything

class Inner:
    class Deep:
        pass

class Checked:
    def __init__(self, mu):
        self.mu = float(mu)
        if self.mu < 0:
            raise ValueError("mu is 0 or more")

class Unfinished(abc.ABC):
    @abc.abstractmethod
    def local_update(self): ...

number = 3
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in {
        "mine": MINE,
        "broken": "1 / 0\n",
        "needs": "import not_installed_anywhere\n",
        "package/__init__": "",
        "package/inner": "class Net: pass\n",
    }.items():
        file = tmp_path / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    yield tmp_path
    for name in ("mine", "broken", "needs", "package", "package.inner"):  # torch itself cannot be imported twice
        sys.modules.pop(name, None)


def check(**node):
    check_classes(OmegaConf.create({"model": node}))


def test_nested_classes_and_modules_of_packages_are_located(mine):
    assert locate("mine.Inner.Deep", "model").__qualname__ == "Inner.Deep"
    assert locate("package.inner.Net", "model").__name__ == "Net"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("mien.Net", "there is no module mien in .* or installed; did you mean mine.Net?"),
        ("elsewhere.Net", "put elsewhere.py into this folder, or install it."),
        ("mine.Nett", "there is no Nett in mine; did you mean mine.Net?"),
        ("package.outer.Net", "there is no outer in package"),
        ("package.inner.Net.deep", "there is no deep in package.inner.Net"),
        ("mine.number", "this is no class or function"),
        ("Net", "this names no module; write model._target_=<module>.Net, such as mine.Net for a class in mine.py."),
    ],
)
def test_a_path_without_a_class_is_refused_with_advice(mine, target, expected):
    with pytest.raises(InputError, match=f"model._target_={target}: .*{expected}".replace("?", r"\?")):
        check(_target_=target)


def test_an_exception_inside_the_module_passes_through(mine):
    with pytest.raises(ZeroDivisionError):
        check(_target_="broken.Net")
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        check(_target_="needs.Net")


def test_keys_are_compared_with_the_signature(mine):
    check(_target_="mine.Net", width=1, lr=0.2)
    check(_target_="mine.Open", whatever=1)
    check(_target_="fedlit.not.looked.at", x=1)
    with pytest.raises(InputError, match=r"model\.wdith: Net has no argument wdith; did you mean model\.width\?"):
        check(_target_="mine.Net", wdith=1)
    with pytest.raises(InputError, match="it takes width, lr, input_shape or widths"):
        check(_target_="mine.Net", xyz=1)
    with pytest.raises(InputError, match=r"model\.parts\[0\]\.xyz"):
        check(_target_="mine.Open", parts=[{"_target_": "mine.Net", "xyz": 1}])


def test_offered_arguments_are_passed_if_the_class_takes_them(mine):
    config = OmegaConf.create({"n": 5, "model": {"_target_": "mine.Net", "width": "${n}", "widths": [1, 2]}}).model
    net = build(config, "model", input_shape=(1, 8, 8), lr=0.5, classes=10)
    assert net.given == {"width": 5, "lr": 0.5, "input_shape": (1, 8, 8), "widths": [1, 2]}
    assert isinstance(net.given["input_shape"], tuple)
    assert type(net.given["widths"]) is list
    assert build({"_target_": "mine.Net", "width": 1, "lr": 0.2}, "model", lr=0.5).given["lr"] == 0.2


def test_a_partial_is_called_later(mine):
    assert build({"_target_": "mine.Net", "_partial_": True, "lr": 0.2}, "model")(3).given["width"] == 3


def test_a_missing_argument_is_refused_and_an_error_inside_passes_through(mine):
    with pytest.raises(InputError, match=r"model\.width is missing: Net needs it; write model\.width=<value>"):
        build({"_target_": "mine.Net"}, "model")
    with pytest.raises(RuntimeError, match="^thirteen$"):
        build({"_target_": "mine.Net", "width": 1, "lr": 13}, "model")
    with pytest.raises(RuntimeError, match="^thirteen$"):
        build({"_target_": "mine.Open", "part": {"_target_": "mine.Net", "width": 1, "lr": 13}}, "model")


def test_a_missing_argument_of_an_inner_class_is_refused(mine):
    """A metric that needs num_classes."""
    inner = {"_target_": "mine.Open", "metrics": {"f1": {"_target_": "mine.Net", "lr": 0.2}}}
    with pytest.raises(InputError, match=r"model\.metrics\.f1\.width is missing: Net needs it"):
        build(inner, "model")
    inner["metrics"]["f1"]["_partial_"] = True  # the rest comes later
    build(inner, "model")


def test_a_class_without_the_base_class_of_its_group_is_refused(mine):
    expected = (
        r"^logger\.open\._target_=mine\.Open: it makes an object of type Open, which is not a Logger; give a class "
        r"that inherits from fedlit\.tracking\.Logger\.$"
    )
    with pytest.raises(InputError, match=expected):
        build({"_target_": "mine.Open"}, "logger.open")
    assert build({"_target_": "fedlit.partitions.Iid"}, "partition")


@pytest.mark.parametrize("key", [key.replace("*", "mine") for key in classes._CONTRACTS])
def test_a_foreign_class_is_refused_in_every_group_before_it_is_called(mine, key):
    with pytest.raises(
        InputError, match=rf"^{key}\._target_=mine\.Open: Open is not an? \w+; give a class that inherits"
    ):
        check_classes(OmegaConf.from_dotlist([f"{key}._target_=mine.Open"]))


def test_the_keys_of_an_option_beside_a_class_of_the_users_are_named(mine):
    config = OmegaConf.create({"model": {"_target_": "mine.Net", "hidden": [1]}})
    overrides = ["model=mlp", "model._target_=mine.Net"]
    with pytest.raises(InputError, match="The keys of model=mlp are passed as well; leave it out"):
        check_classes(config, overrides)
    with pytest.raises(InputError, match="it takes width, lr, input_shape or widths.$"):
        check_classes(config, overrides[1:])


@pytest.mark.parametrize("path", classes._CONTRACTS.values())
def test_the_base_class_of_each_group_exists(path):
    assert isinstance(locate(path, "x"), type)


def test_a_class_that_refuses_its_arguments_is_refused_and_an_accident_keeps_its_trace(mine):
    with pytest.raises(InputError, match=r"aggregator\._target_=mine\.Checked: .* mu is 0 or more"):
        build({"_target_": "mine.Checked", "mu": -1}, "aggregator")
    with pytest.raises(ValueError, match="could not convert") as caught:
        build({"_target_": "mine.Checked", "mu": "much"}, "aggregator")
    assert not isinstance(caught.value, InputError)


def test_a_class_without_the_methods_of_its_base_class_is_refused(mine):
    with pytest.raises(InputError, match=r"mine\.Unfinished: Unfinished does not define local_update"):
        build({"_target_": "mine.Unfinished"}, "aggregator")


def test_a_class_that_names_a_key_of_the_run_gets_every_value_but_the_default(mine):
    (mine / "mine.py").write_text(
        "class Own:\n"
        "    def __init__(self, seed=5, target='y', public=8):\n"
        "        self.train = self.test = self\n"
        "        self.given = seed, target, public\n"
    )
    own = {"_target_": "mine.Own"}
    assert build(own, "data").given == (5, "y", 8)
    assert build({**own, "seed": None, "target": None, "public": 0}, "data").given == (None, None, 8)
    assert build({**own, "seed": 0, "target": 0, "public": 3}, "data").given == (0, 0, 3)
