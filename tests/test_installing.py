"""What is not installed is told with the one line that installs it, in the way that this llmcli was installed."""

import json
import shlex
import subprocess
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

from llmcli.installing import PACKAGES, Installation, installation, line, package
from llmcli.plugins import PROVIDERS
from tests.program import Program

ROOT = Path(__file__).parent.parent


def installed_by(folder: Path, *, name: str = "llmcli", **files: str) -> Installation:
    """An environment with what its installer has left in it: `pipx_metadata_json="{}"`."""
    prefix = folder / name
    prefix.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        stem, _, kind = file.rpartition("_")
        (prefix / f"{stem}.{kind}").write_text(text)
    return installation(str(prefix), "/usr", f"{prefix}/bin/python")


def by_uv(folder: Path, receipt: str, name: str = "llmcli") -> str:
    """The line for `llmcli-cohere` where uv has left this receipt."""
    prefix = folder / name
    prefix.mkdir()
    (prefix / "uv-receipt.toml").write_text(receipt)
    return line("llmcli-cohere", installation(str(prefix), "/usr", f"{prefix}/bin/python", has_pip=False))


# --- whose ids they are ---------------------------------------------------------------------------


def test_the_ids_that_can_be_installed_are_the_entry_points_of_our_packages() -> None:
    projects = [tomllib.loads(path.read_text())["project"] for path in ROOT.glob("plugins/*/pyproject.toml")]
    provided = {
        provider_id: project["name"] for project in projects for provider_id in project["entry-points"][PROVIDERS]
    }

    assert provided == PACKAGES


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("cohere", "llmcli-cohere"),
        ("graphql-ws", "llmcli-graphql"),
        ("llmcli-cohere:cohere", "llmcli-cohere"),
        ("somebody-elses:cohere", None),
        ("openai", None),
        ("", None),
    ],
)
def test_an_id_may_name_its_distribution_too(name: str, distribution: str | None) -> None:
    assert package(name) == distribution


# --- how it was installed -------------------------------------------------------------------------


def test_pipx_injects_into_the_environment_whatever_it_is_called(tmp_path: Path) -> None:
    """`pipx install --suffix=@1 llmcli` calls it otherwise."""
    for name, said in (("llmcli", "llmcli"), ("llmcli@1", "llmcli@1"), ("my llm", "'my llm'")):
        found = installed_by(tmp_path, name=name, pipx_metadata_json=json.dumps({"main_package": {}}))

        assert (found.how, line("llmcli-cohere", found)) == ("pipx", f"pipx inject {said} llmcli-cohere")


def test_a_tool_of_uv_is_installed_anew_with_all_that_was_asked_for(tmp_path: Path) -> None:
    receipt = """
        [tool]
        requirements = [
            { name = "llmcli", extras = ["keyring"], specifier = ">=0.1" },
            { name = "rich", specifier = ">=13,<15" },
            { name = "llmcli-gemini", editable = "/src/my gemini" },
            { name = "jmespath", marker = "python_full_version < '3.14'" },
        ]
        python = "3.12"
        entrypoints = [{ name = "llmcli", install-path = "/bin/llmcli", from = "llmcli" }]
        """

    words = shlex.split(by_uv(tmp_path, receipt))

    assert words == [
        "uv", "tool", "install", "llmcli[keyring]>=0.1", "--with", "rich>=13,<15",
        "--with-editable", "/src/my gemini", "--with", "jmespath ; python_full_version < '3.14'",
        "--with", "llmcli-cohere", "--python", "3.12",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("requirement", "word"),
    [
        ('{ name = "llmcli", path = "/my wheels/llmcli-1.whl" }', "llmcli @ file:///my%20wheels/llmcli-1.whl"),
        ('{ name = "llmcli", directory = "/src/llmcli", extras = ["a", "b"] }', "llmcli[a,b] @ file:///src/llmcli"),
        ('{ name = "llmcli", url = "https://me:pw@a.example/l.whl" }', "llmcli @ https://a.example/l.whl"),
        ('{ name = "llmcli", git = "https://a.example/l?rev=main" }', "llmcli @ git+https://a.example/l@main"),
        ('{ name = "llmcli", git = "https://a.example/l" }', "llmcli @ git+https://a.example/l"),
        (
            '{ name = "llmcli", git = "ssh://git@a.example/l?tag=v1&subdirectory=p" }',
            "llmcli @ git+ssh://git@a.example/l@v1#subdirectory=p",
        ),
        ('"llmcli[x]>=1"', "llmcli[x]>=1"),
    ],
)
def test_wherever_llmcli_came_from_it_comes_from_there_again(tmp_path: Path, requirement: str, word: str) -> None:
    said = by_uv(tmp_path, f"[tool]\nrequirements = [{requirement}]\n")

    assert shlex.split(said) == ["uv", "tool", "install", word, "--with", "llmcli-cohere"]


def test_an_editable_tool_stays_editable(tmp_path: Path) -> None:
    said = by_uv(tmp_path, '[tool]\nrequirements = [{ name = "llmcli", editable = "/src" }]\n')

    assert said == "uv tool install --editable /src --with llmcli-cohere"


def test_llmcli_may_be_an_addition_to_another_tool(tmp_path: Path) -> None:
    receipt = '[tool]\nrequirements = [{ name = "llmcli" }, { name = "My_tool" }]\n'

    assert by_uv(tmp_path, receipt, "my-tool") == "uv tool install My_tool --with llmcli --with llmcli-cohere"


def test_what_was_asked_for_already_is_said_once(tmp_path: Path) -> None:
    """As when it is there and broken."""
    receipt = '[tool]\nrequirements = [{ name = "llmcli" }, { name = "llmcli_cohere" }]\n'

    assert by_uv(tmp_path, receipt) == "uv tool install llmcli --with llmcli-cohere"


@pytest.mark.parametrize("receipt", ["", "not toml", "tool = 5\n", "[tool]\n"])
def test_a_receipt_that_says_nothing_costs_only_what_it_would_have_said(tmp_path: Path, receipt: str) -> None:
    assert by_uv(tmp_path, receipt) == "uv tool install llmcli --with llmcli-cohere"


def test_elsewhere_it_is_pip_of_that_python(tmp_path: Path) -> None:
    found = installed_by(tmp_path / "a folder")

    assert found.how == "virtual environment"
    assert shlex.split(line("llmcli-cohere", found)) == [
        f"{tmp_path}/a folder/llmcli/bin/python", "-m", "pip", "install", "llmcli-cohere"
    ]  # fmt: skip


def test_an_environment_without_pip_has_uv(tmp_path: Path) -> None:
    found = installation(str(tmp_path), "/usr", "/v/bin/python", has_pip=False)

    assert line("llmcli-cohere", found) == "uv pip install --python /v/bin/python llmcli-cohere"


def test_the_systems_own_python_is_told_what_it_had_to_be_told_before(tmp_path: Path) -> None:
    system = installation(str(tmp_path), str(tmp_path), "/usr/bin/python3", managed=True)
    own = installation(str(tmp_path), "/usr", "/v/bin/python3", managed=True)

    assert system.how == "system"
    assert line("llmcli-grpc", system) == "/usr/bin/python3 -m pip install --break-system-packages llmcli-grpc"
    assert line("llmcli-grpc", own) == "/v/bin/python3 -m pip install llmcli-grpc"


# --- the program says so --------------------------------------------------------------------------


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that has all that ours has, but no plugin."""
    folder = tmp_path_factory.mktemp("bare") / "llmcli"
    venv.create(folder, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("llmcli_", "_llmcli_")) and not (site / entry.name).exists():
            (site / entry.name).symlink_to(entry)
    return folder


@pytest.fixture
def without_plugins(bare: Path, tmp_path: Path) -> Program:
    """The program where no plugin is installed."""
    home = tmp_path / "plain"
    home.mkdir()
    return Program(home, command=(str(bare / "bin" / "python"), "-m", "llmcli"))


@pytest.mark.parametrize(
    "args",
    [
        ("chat", "-m", "cohere/command-a", "-n", "hi"),
        ("chat", "-m", "cohere", "-n", "hi"),
        ("chat", "-p", "cohere", "-n", "hi"),
        ("chat", "-m", "mine/x", "-n", "hi"),
        ("chat", "-m", "short", "-n", "hi"),
        ("providers", "show", "cohere"),
        ("models", "list", "cohere"),
        ("health", "mine"),
    ],
)
def test_whoever_asks_for_a_plugin_that_is_not_there_gets_the_line(without_plugins: Program, args: tuple[str]) -> None:
    without_plugins.configure('[aliases]\nshort = "cohere/x"\n[providers.mine]\nadapter = "cohere"\n')

    done = without_plugins(*args, env={"LLMCLI_MODEL": "echo"})

    assert done.status == 3
    assert "cohere is a provider of the plugin llmcli-cohere, which is not installed" in done.text + done.err


def test_the_line_is_the_hint_and_runs_in_a_shell(without_plugins: Program, tmp_path: Path) -> None:
    """A pip of the test's own stands where the real one would be, and says what it was called with."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").write_text("")
    (tmp_path / "pip" / "__main__.py").write_text("import sys; print(sys.argv[1:], sys.prefix)")
    env = {"PYTHONPATH": f"{tmp_path}:{without_plugins.env['PYTHONPATH']}"}
    documented = without_plugins("chat", "-m", "grpc/m", "-n", "--json", "hi", env=env).error
    message, hint = without_plugins("chat", "-m", "grpc/m", "-n", "hi", env=env).err.splitlines()

    ran = subprocess.run(
        hint.removeprefix("hint: "), shell=True, env={**without_plugins.env, **env}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip

    assert message == "llmcli: grpc is a provider of the plugin llmcli-grpc, which is not installed"
    assert documented["message"] == message.removeprefix("llmcli: ")
    assert ran.stdout == f"['install', 'llmcli-grpc'] {Path(without_plugins.command[0]).parent.parent}\n"


def test_in_an_environment_of_pipx_the_line_is_one_of_pipx(without_plugins: Program, bare: Path) -> None:
    (bare / "pipx_metadata.json").write_text("{}")
    try:
        done = without_plugins("chat", "-m", "cohere/command-a", "-n", "hi")
    finally:
        (bare / "pipx_metadata.json").unlink()

    assert done.err.splitlines()[1] == "hint: pipx inject llmcli llmcli-cohere"


def test_a_typing_mistake_in_an_id_that_could_be_installed_is_told(without_plugins: Program) -> None:
    done = without_plugins("chat", "-m", "coheer/command-a", "-n", "hi")

    assert (done.status, done.err.splitlines()[1]) == (3, "hint: did you mean cohere/command-a?")
