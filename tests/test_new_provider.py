"""`llmcli providers new`: what it writes installs, is checked and is tested as it is."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from llmcli.registry import BUILT_IN
from tests.packages import Environment
from tests.program import PATIENCE, Program

ROOT = Path(__file__).parent.parent
PACKAGES = ("plugin", "openai-compatible")
NAMES = ("x1", "acme-cloud-2")  # a short one, and one whose forms differ


def tree(folder: Path) -> set[str]:
    """The files under a folder, by their paths in it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def tool(*command: str, cwd: Path, python: str = sys.executable) -> "subprocess.CompletedProcess[str]":
    """Run a tool of Python's in a folder."""
    return subprocess.run(
        [python, "-m", *command], cwd=cwd, env={"PATH": os.environ["PATH"], "HOME": str(cwd)},
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


# --- packages -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Where the packages are installed, each with a name of its own."""
    return Environment(tmp_path_factory.mktemp("environment") / "venv")


@pytest.mark.parametrize("template", PACKAGES)
def test_a_package_installs_and_passes_as_it_is(llmcli: Program, environment: Environment, template: str) -> None:
    name = f"acme-{template}"
    written = llmcli("providers", "new", name, "--template", template)
    environment.pip("install", "-e", str(llmcli.home / f"llmcli-{name}"))
    installed = Program(llmcli.home, {"PYTHONPATH": ""}, (environment.python, "-m", "llmcli"))
    checked = installed("providers", "check", name)
    tested = tool("pytest", "-q", f"llmcli-{name}", cwd=llmcli.home, python=environment.python)

    assert written.status == 0
    assert f"\n{name}\t" in installed("providers").text
    assert (checked.status, ", 0 failed, " in checked.text) == (0, True), checked.text
    assert (tested.returncode, " passed" in tested.stdout) == (0, True), tested.stdout


@pytest.mark.parametrize("template", PACKAGES)
@pytest.mark.parametrize("name", NAMES)
def test_a_package_is_clean_for_ruff(llmcli: Program, template: str, name: str) -> None:
    llmcli("providers", "new", name, "--template", template)
    package = llmcli.home / f"llmcli-{name}"

    for command in (("check",), ("format", "--check")):
        done = tool("ruff", *command, "--no-cache", ".", cwd=package)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("template", PACKAGES)
def test_a_package_is_clean_for_mypy(llmcli: Program, template: str) -> None:
    llmcli("providers", "new", "acme", "--template", template)

    done = tool("mypy", cwd=llmcli.home / "llmcli-acme")
    assert done.returncode == 0, done.stdout


def test_the_name_stands_in_each_form_in_its_place(llmcli: Program) -> None:
    llmcli("providers", "new", "my-skeleton", "--directory", "a/b")
    package = llmcli.home / "a" / "b" / "llmcli-my-skeleton"
    code = (package / "llmcli_my_skeleton" / "__init__.py").read_text()

    assert tree(package) == {
        "README.md",
        "pyproject.toml",
        "llmcli_my_skeleton/__init__.py",
        "llmcli_my_skeleton/py.typed",
        "tests/test_conformance.py",
        "tests/test_requests.py",
    }
    assert 'my-skeleton = "llmcli_my_skeleton:MySkeleton"' in (package / "pyproject.toml").read_text()
    assert "class MySkeleton(HTTPProvider)" in code
    assert 'env=("MY_SKELETON_API_KEY",)' in code


def test_the_next_commands_are_printed_as_a_shell_takes_them(llmcli: Program) -> None:
    done = llmcli("providers", "new", "acme", "--directory", "my work")

    assert "wrote my work/llmcli-acme/pyproject.toml\n" in done.text
    assert "  pip install -e './my work/llmcli-acme[test]'\n  pytest 'my work/llmcli-acme'\n" in done.text


# --- a table --------------------------------------------------------------------------------------


def test_a_table_passes_every_check_as_it_is_and_where_it_is_told_to_be_put(llmcli: Program) -> None:
    written = llmcli("providers", "new", "acme", "--template", "http")
    steps = [line.strip() for line in written.text.splitlines() if line.startswith("  ")]

    assert written.text.startswith("wrote acme.toml\n")
    for step in steps:
        command = f'llmcli() {{ {sys.executable} -m llmcli "$@"; }}; {step}'
        done = subprocess.run(
            ["bash", "-c", command], cwd=llmcli.home, env={**llmcli.env, "ACME_API_KEY": "sk-acme"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (step, done.stdout, done.stderr)
    assert tree(llmcli.config) == {"providers.d/acme.toml"}


# --- the templates -------------------------------------------------------------------------------


def test_the_wheel_holds_every_template(tmp_path: Path) -> None:
    done = tool("pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation", str(ROOT), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    held = {name.removeprefix("llmcli/templates/") for name in zipfile.ZipFile(wheel).namelist()}

    assert {each for each in tree(ROOT / "llmcli" / "templates") if "cache" not in each} <= held


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Acme", "9acme", "acme_cloud", "acme-", "a--b", "../acme", "", *list(BUILT_IN)[:3]])
def test_a_name_that_is_no_id_or_is_taken_is_exit_2(llmcli: Program, name: str) -> None:
    done = llmcli("providers", "new", "--", name)

    assert (done.status, done.out) == (2, b"")
    assert tree(llmcli.home) == set()


@pytest.mark.parametrize("template", [*PACKAGES, "http"])
def test_what_is_there_is_not_overwritten(llmcli: Program, template: str) -> None:
    llmcli("providers", "new", "acme", "--template", template)
    (changed,) = llmcli.home.rglob("pyproject.toml" if template != "http" else "acme.toml")
    changed.write_text("mine")
    done = llmcli("providers", "new", "acme", "--template", template)

    assert (done.status, done.out) == (2, b"")
    assert "acme" in done.err
    assert "is there already" in done.err
    assert changed.read_text() == "mine"


def test_a_directory_that_cannot_be_written_is_exit_11(llmcli: Program) -> None:
    (llmcli.home / "file").write_text("")
    done = llmcli("providers", "new", "acme", "--directory", "file/inside")

    assert (done.status, done.out) == (11, b"")
    assert "cannot write" in done.err


@pytest.mark.parametrize("name", ["none", "reader", "usage", "chat-request", "samples", "class"])
def test_a_name_that_the_templates_own_code_uses_is_refused(llmcli: Program, name: str) -> None:
    for template in ("plugin", "openai-compatible"):
        done = llmcli("providers", "new", name, "--template", template)
        if done.status == 0:
            compile(
                (llmcli.home / f"llmcli-{name}" / f"llmcli_{name.replace('-', '_')}" / "__init__.py").read_text(),
                name,
                "exec",
            )
            continue
        assert done.status == 2
        assert "is a word that the template itself uses" in done.err
        assert f"take another: {name}-api" in done.err
