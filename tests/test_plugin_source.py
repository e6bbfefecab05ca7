"""
What the source of a plugin shows is in the list of providers, and no plugin is imported for it. Whatever reading cannot
tell is left to the import: nothing that works is ever called broken.
"""

import py_compile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.program import Done, Program

IMPORTED = "import sys; print('imported', __name__, file=sys.stderr)\n"
CLASS = """
from llmcli.provider import NativeProvider
class It(NativeProvider):
    id, name, default_model = "{id}", "It", "m"
    def stream(self, request, call):
        raise NotImplementedError
"""


class Case(NamedTuple):
    """A plugin: the value of its entry point, its files, and what is seen to be wrong with it."""

    id: str
    files: Mapping[str, str | bytes]
    problem: str | None = None
    value: str = ""


def module(provider_id: str, code: str | bytes, problem: str | None = None) -> Case:
    """One of a single module, that is called like the id."""
    return Case(provider_id, {f"{provider_id}.py": code}, problem, f"{provider_id}:It")


def good(provider_id: str, before: str = "", after: str = "") -> str:
    return IMPORTED + before + CLASS.format(id=provider_id) + after


def hidden(provider_id: str, code: str) -> Case:
    """One whose class is called `Its`, and becomes `It` in another way."""
    return module(provider_id, good(provider_id).replace("class It", "class Its") + code)


BROKEN = [
    module("b_syntax", "x = 1\ndef (:\n", "its module b_syntax cannot be compiled: invalid syntax (line 2)"),
    module("b_bytes", b"x = '\xff'\n", "its module b_bytes cannot be compiled: "),
    module("b_name", good("b_name").replace("class It", "class Its"), "its module b_name has no It"),
    module("b_inner", "def f():\n    class It: pass\nclass C:\n    It = 5\n", "its module b_inner has no It"),
    module("b_needs", "import os, nosuch_one", "it needs nosuch_one, which is not installed"),
    module("b_from", "from nosuch_one.inner import f", "it needs nosuch_one, which is not installed"),
    module("b_sub", "import json.nosuch", "it needs json.nosuch, which is not installed"),
    module("b_newer", "import llmcli.not_yet", "it needs llmcli.not_yet, which this llmcli does not have"),
    Case("b_top", {}, "its module b_top is not there; install plugin-b_top again, or uninstall it", "b_top:It"),
    Case("b_deep", {"b_deep/__init__.py": ""},
         "its module b_deep.inner is not there; install plugin-b_deep again, or uninstall it", "b_deep.inner:It"),
    Case("b_above", {"b_above/__init__.py": "(", "b_above/inner.py": good("b_above")},
         "its module b_above cannot be compiled: '(' was never closed (line 1)", "b_above.inner:It"),
    Case("b_part", {"b_part/__init__.py": "from .gone import It"},
         "its module b_part.gone is not there; install plugin-b_part again, or uninstall it", "b_part:It"),
    Case("b_up", {"b_up/__init__.py": "", "b_up/a/__init__.py": "from ..gone import It"},
         "its module b_up.gone is not there; ", "b_up.a:It"),
    Case("b_value", {"b_value.py": good("b_value")}, "its entry point 'b_value' names no class of a module", "b_value"),
    Case("b_digit", {"b_digit.py": good("b_digit")}, "its entry point 'b_digit:5' names no class", "b_digit:5"),
]  # fmt: skip

WELL = [
    module("w_plain", good("w_plain")),
    hidden("w_later", "It = Its\n"),
    module("w_tried", good("w_tried", "try:\n    import nosuch_one\nexcept ImportError:\n    pass\n")),
    module("w_typed", good("w_typed", "import typing\nif typing.TYPE_CHECKING:\n    import nosuch_one\n")),
    module("w_perhaps", good("w_perhaps").replace("\nclass", "\nif True:\n  class").replace("\n    ", "\n      ")),
    hidden("w_walrus", "print((It := Its), file=sys.stderr)\n"),
    hidden("w_loop", "for It in [Its]: pass\n"),
    hidden("w_given", "def __getattr__(name): return Its\n"),
    hidden("w_set", "globals()['I' + 't'] = Its\n"),
    hidden("w_global", "def f():\n    global It\n    It = Its\nf()\n"),
    module("w_stdlib", good("w_stdlib", "import os.path, xml.etree.ElementTree\nfrom os import path\n")),
    module("w_escape", good("w_escape", after="pattern = '\\d'\n")),
    module("w_latin", b"# coding: latin-1\n# \xe9\n" + good("w_latin").encode()),
    Case("w_star", {"w_star/__init__.py": "from w_star.inner import *\n", "w_star/inner.py": good("w_star")},
         None, "w_star:It"),
    Case("w_again", {"w_again/__init__.py": "from .inner import It\n", "w_again/inner.py": good("w_again")},
         None, "w_again:It"),
    Case("w_space", {"w_space/inner.py": good("w_space")}, None, "w_space.inner:It"),
    Case("w_nested", {"w_nested/__init__.py": "", "w_nested/a/__init__.py": "from .. import a\n",
                      "w_nested/a/b.py": good("w_nested")}, None, "w_nested.a.b:It [extra]"),
    Case("w_inside", {"w_inside/__init__.py": "import w_inside.inner\n", "w_inside/inner.py": good("w_inside")},
         None, "w_inside:inner.It"),
    Case("w_vendor", {"w_vendor/__init__.py": good("w_vendor", "sys.path.append(__path__[0])\nimport w_carried\n"),
                      "w_vendor/w_carried.py": ""}, None, "w_vendor:It"),
    Case("w_moved", {"w_moved/__init__.py": "__path__.append(__path__[0] + '/elsewhere')\n",
                     "w_moved/elsewhere/inner.py": good("w_moved")}, None, "w_moved.inner:It"),
    Case("w_moved2", {"w_moved2/__init__.py": "__path__.append(__path__[0] + '/elsewhere')\n",
                      "w_moved2/elsewhere/inner.py": good("w_moved2")}, None, "w_moved2.inner:It"),
    module("w_binary", good("w_binary")),
]  # fmt: skip

COMPILED = ("w_binary.py", "w_moved2/__init__.py")  # of which only that is left

# What only an import shows.
UNSEEN = [
    module("u_raises", "It = None\nraise ImportError"),
    module("u_number", "It = 5"),
    module("u_late", "It = None\nif True:\n    import nosuch_one\n"),
    Case("u_binary", {}, None, "math:It"),
]
CASES = [*BROKEN, *WELL, *UNSEEN]


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of modules and metadata, as an installation is."""
    folder = tmp_path_factory.mktemp("shelf")
    for case in CASES:
        info = folder / f"plugin_{case.id}-1.0.dist-info"
        files = {
            **case.files,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: plugin-{case.id}\nVersion: 1.0\n\n",
            f"{info}/entry_points.txt": f"[llmcli.providers]\n{case.id} = {case.value}\n",
        }
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for source in (folder / name for name in COMPILED):
        py_compile.compile(str(source), cfile=str(source.with_suffix(".pyc")))
        source.unlink()
    return folder


def program(shelf: Path, home: Path) -> Program:
    home.mkdir()
    found = Program(home)
    return Program(home, {"PYTHONPATH": f"{shelf}:{found.env['PYTHONPATH']}", "PYTHONDONTWRITEBYTECODE": "1"})


@pytest.fixture(scope="session")
def listed(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The list of providers."""
    return program(shelf, tmp_path_factory.mktemp("listed") / "home")("providers", "--json")


@pytest.fixture(scope="session")
def loaded(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The list with all of them imported."""
    return program(shelf, tmp_path_factory.mktemp("loaded") / "home")("providers", "--load", "--json")


def row(done: Done, case: Case) -> Any:
    return next(each for each in done.json if each["id"] == case.id)


@pytest.mark.fault(107)
@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.id)
def test_what_the_source_shows_to_be_broken_is_listed_with_its_reason(listed: Done, loaded: Done, case: Case) -> None:
    assert row(listed, case)["problem"].startswith(case.problem)
    assert "problem" in row(loaded, case)  # it is


@pytest.mark.parametrize("case", WELL, ids=lambda case: case.id)
def test_what_works_is_never_called_broken(listed: Done, loaded: Done, case: Case) -> None:
    assert "problem" not in row(listed, case)
    assert "problem" not in row(loaded, case)  # it is not


@pytest.mark.parametrize("case", UNSEEN, ids=lambda case: case.id)
def test_what_only_an_import_shows_is_left_to_load(listed: Done, loaded: Done, case: Case) -> None:
    assert "problem" not in row(listed, case)
    assert "problem" in row(loaded, case)


def test_nothing_is_imported_for_the_list_and_nothing_is_written(listed: Done, loaded: Done, shelf: Path) -> None:
    assert (listed.status, listed.err) == (0, "")
    assert "imported w_plain" in loaded.err
    assert list(shelf.rglob("__pycache__")) == []


@pytest.mark.fault(99)
def test_a_table_that_names_a_broken_plugin_is_listed_with_what_is_wrong_with_that(shelf: Path, tmp_path: Path) -> None:
    run = program(shelf, tmp_path / "home")
    run.configure('[providers.mine]\nadapter = "b_needs"\n')

    done = run("providers", "--json")

    assert next(row for row in done.json if row["id"] == "mine")["problem"].startswith("it needs nosuch_one")


def test_show_names_the_file_of_a_plugin_also_of_a_broken_one(shelf: Path, tmp_path: Path) -> None:
    run = program(shelf, tmp_path / "home")
    well, broken = (run("providers", "show", name, "--json") for name in ("w_nested", "b_syntax"))

    assert (well.status, well.json["plugin_file"]) == (0, f"{shelf}/w_nested/a/b.py")
    assert (broken.status, broken.json["plugin_file"]) == (3, f"{shelf}/b_syntax.py")
    assert broken.json["problem"] == broken.error["message"]
    assert broken.error["message"].startswith("the plugin plugin-b_syntax 1.0 (b_syntax = b_syntax:It) cannot be ")
