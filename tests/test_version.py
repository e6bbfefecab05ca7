"""`llmcli --version --verbose` says what a report of a bug needs, and no secret."""

import platform
import sys
from pathlib import Path

import pytest

import llmcli as package
from tests.program import Done, Program


def facts(done: Done) -> dict[str, list[str]]:
    """What is said, by its name; every line is `name: value`."""
    said: dict[str, list[str]] = {}
    for line in done.text.splitlines():
        name, colon, value = line.partition(": ")
        assert colon, line
        said.setdefault(name, []).append(value)
    return said


def ask(program: Program, **env: str) -> Done:
    done = program("--version", "--verbose", env=env)
    assert (done.status, done.err) == (0, "")
    return done


def test_it_says_what_runs_and_where(llmcli: Program) -> None:
    said = facts(ask(llmcli))

    assert said["llmcli"] == [package.__version__]
    assert said["code"] == [str(Path(package.__file__).parent)]
    assert said["python"] == [f"{platform.python_version()} ({platform.python_implementation()}): {sys.executable}"]
    assert said["platform"] == [platform.platform()]
    assert said["installed"][0].endswith(f": {sys.prefix}")
    assert all(said[name][0][0].isdigit() for name in ("typer", "rich", "httpx", "httpcore"))


def test_the_version_alone_is_one_line(llmcli: Program) -> None:
    assert llmcli("--version").text == f"llmcli {package.__version__}\n"


def test_verbose_by_itself_is_refused(llmcli: Program) -> None:
    assert llmcli("--verbose").status == 2


def test_variables_are_told_by_their_names_only(llmcli: Program) -> None:
    env = {
        "LLMCLI_MODEL": "canary/canary", "LLMCLI_OTHER": "canary", "HTTPS_PROXY": "http://me:canary@proxy.example",
        "https_proxy": "http://me:canary@proxy.example", "SSL_CERT_FILE": "/canary.pem", "NO_COLOR": "canary",
        "OPENAI_API_KEY": "sk-canary", "OLLAMA_HOST": "canary.example", "UNRELATED": "canary",
    }  # fmt: skip

    done = ask(llmcli, **env)

    names = facts(done)["environment"][0].split()
    assert set(env) - {"UNRELATED"} <= set(names)
    assert "UNRELATED" not in names
    assert "canary" not in done.text


def test_the_files_that_there_are_are_told(llmcli: Program) -> None:
    llmcli.configure('default = "echo"\n')
    for folder, name, text in (("providers.d", "work.toml", ""), ("keys", "openai", "sk-canary")):
        (llmcli.config / folder).mkdir()
        (llmcli.config / folder / name).write_text(text)
    (llmcli.config / "keys" / "openai").chmod(0o644)

    done = ask(llmcli, XDG_CACHE_HOME="/somewhere")

    said = facts(done)
    assert said["configuration"] == [str(llmcli.config)]
    assert said["file"] == [f"{llmcli.config}/config.toml", f"{llmcli.config}/providers.d/work.toml"]
    assert said["key file"] == [f"{llmcli.config}/keys/openai (others can read it)"]
    assert said["cache"] == ["/somewhere/llmcli"]
    assert "problem" not in said
    assert "sk-canary" not in done.text


@pytest.mark.fault(86)
def test_what_is_corrupt_is_told_and_stops_nothing(llmcli: Program) -> None:
    llmcli.configure("default = [\n")
    (llmcli.config / "state.toml").write_text('default = "echo"\n')
    (llmcli.config / "providers.d").mkdir()
    (llmcli.config / "providers.d" / "work.toml").write_text("nonsense = 1\n")

    said = facts(ask(llmcli))

    assert said["file"] == [
        f"{llmcli.config}/config.toml (broken)",
        f"{llmcli.config}/state.toml",
        f"{llmcli.config}/providers.d/work.toml (broken)",
    ]
    assert "config.toml is not valid TOML" in said["problem"][0]
    assert "work.toml: unknown key nonsense" in said["problem"][1]


@pytest.mark.fault(86)
def test_a_file_that_cannot_be_read_is_told(llmcli: Program) -> None:
    (llmcli.config / "config.toml").mkdir(parents=True)

    assert facts(ask(llmcli))["problem"] == [f"cannot read {llmcli.config}/config.toml: Is a directory"]


def test_the_file_that_a_variable_names_stands_for_config_toml(llmcli: Program) -> None:
    llmcli.configure("default = [\n")

    said = facts(ask(llmcli, LLMCLI_CONFIG="nowhere.toml"))

    assert said["file"] == ["nowhere.toml (broken)"]
    assert said["problem"] == ["cannot read nowhere.toml: No such file or directory"]


def test_without_a_home_there_are_no_files(llmcli: Program) -> None:
    said = facts(ask(llmcli, HOME="", XDG_CONFIG_HOME=""))

    assert said["cache"] == ["none, as there is no home"]


def test_plugins_are_told_with_what_is_wrong_with_them_and_not_imported(llmcli: Program, tmp_path: Path) -> None:
    (tmp_path / "acme.py").write_text("import nosuch_one\n")
    info = tmp_path / "llmcli_acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: llmcli-acme\nVersion: 1.0\x1b[31m\n\n")
    (info / "entry_points.txt").write_text(
        "[llmcli.providers]\nacme = acme:Acme\nacme2 = acme:Acme\n[llmcli.commands]\ntidy = gone:main\n"
    )
    done = ask(llmcli, PYTHONPATH=f"{tmp_path}:{llmcli.env['PYTHONPATH']}")

    said = facts(done)
    assert "llmcli-acme 1.0^[[31m: provider acme, provider acme2, command tidy" in said["plugin"]
    assert [problem.partition("): ")[2] for problem in said["problem"] if problem.startswith("llmcli-acme ")] == [
        "it needs nosuch_one, which is not installed",
        "it needs nosuch_one, which is not installed",
        "its module gone is not there; install llmcli-acme again, or uninstall it",
    ]
