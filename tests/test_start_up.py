"""
Nothing is loaded that is not used: most of a short run is importing, and a shell script starts the program a thousand
times. A fresh interpreter does the work and then says what it has loaded.
"""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.program import PATIENCE, Program
from tests.servers import Server, says

HEAVY = ("asyncio", "httpx", "importlib.metadata", "rich", "tomllib")
NETWORK = ("httpcore", "logging", "ssl", "socket")  # httpcore loads logging
OURS = ("llmcli.commands", "llmcli.providers")

RUN = "import sys, time; from llmcli.cli import run; status = run(sys.argv[1:], started=time.monotonic())"
TELL = "; sys.stderr.write('\\n' + ' '.join(sys.modules)); sys.exit(status)"


def loaded(program: Program, code: str, *args: str) -> set[str]:
    """The modules that a program loads beyond those of an interpreter that does nothing."""
    return _modules(program, code, *args) - _modules(program, "import sys; status = 0")


def loaded_by(program: Program, command: str) -> set[str]:
    """The modules that a command line loads."""
    return loaded(program, RUN, *command.split())


def _modules(program: Program, code: str, *args: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code + TELL, *args],
        env=program.env, cwd=program.home, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=PATIENCE, check=True,
    )  # fmt: skip
    return set(done.stderr.rpartition("\n")[2].split())


def among(modules: set[str], *packages: str) -> list[str]:
    """Those of the modules that belong to one of the packages."""
    return sorted(name for name in modules if any(f"{name}.".startswith(f"{package}.") for package in packages))


def test_the_help_reads_metadata_for_the_commands_of_plugins_and_nothing_else(llmcli: Program) -> None:
    modules = loaded_by(llmcli, "--help")

    assert "llmcli.plugins" in modules
    assert (
        among(modules, "asyncio", "httpx", "httpcore", "logging", "rich", "ssl", "tomllib", "llmcli.guests", *OURS)
        == []
    )


@pytest.mark.parametrize("command", ["--version chat", "chat --help", "models --help", "providers show --help"])
def test_help_and_version_load_neither_network_nor_providers(llmcli: Program, command: str) -> None:
    modules = loaded_by(llmcli, command)

    assert "llmcli.cli" in modules
    assert among(modules, *HEAVY, *NETWORK, *OURS) == []


def test_the_version_alone_needs_no_parser(llmcli: Program) -> None:
    """It is asked for by `python -m llmcli`, which ends before it could tell; so the interpreter tells."""
    done = llmcli("--version", env={"PYTHONPROFILEIMPORTTIME": "1"})

    assert "| llmcli.signals\n" in done.err
    assert [name for name in ("typer", "llmcli.cli", "llmcli.output", "json") if f" {name}\n" in done.err] == []


def test_what_a_plugin_imports_loads_nothing_heavy(llmcli: Program) -> None:
    modules = loaded(llmcli, "import sys, llmcli.provider, llmcli.types, llmcli.errors, llmcli.framing; status = 0")

    assert "llmcli.provider" in modules
    assert among(modules, *HEAVY, *NETWORK, *OURS, "typer") == []


def test_an_answer_on_a_pipe_loads_one_provider_and_nothing_heavy(llmcli: Program) -> None:
    modules = loaded_by(llmcli, "chat -m echo -n hello")

    assert among(modules, "llmcli.providers") == ["llmcli.providers", "llmcli.providers.echo"]
    assert among(modules, *HEAVY, "llmcli.plugins", "llmcli.plugin_import", "llmcli.guests") == []


def test_an_answer_over_http_loads_the_engine_and_not_all_of_httpx(llmcli: Program) -> None:
    modules = loaded_by(llmcli, "chat -p openai-compatible --base-url http://127.0.0.1:9/v1 -m m -n --dry-run hello")

    assert "llmcli.providers.vendors" in modules
    assert among(modules, *HEAVY, "llmcli.providers.anthropic", "llmcli.providers.ollama") == []


def test_connecting_to_an_address_loads_no_codec_of_international_names(
    llmcli: Program, serve: Callable[..., Server]
) -> None:
    url = serve(says("hello")).url
    modules = loaded_by(llmcli, f"chat -p openai-compatible --base-url {url} -m m -n hello")

    assert "llmcli.transport" in modules
    assert among(modules, "encodings.idna", "stringprep") == []


def test_a_configuration_is_what_loads_the_parser_of_toml(llmcli: Program) -> None:
    """And so the lists above are not empty because nobody looked."""
    llmcli.configure('default = "echo"')

    assert among(loaded_by(llmcli, "chat -n hello"), *HEAVY) == sorted(
        ["tomllib", "tomllib._parser", "tomllib._re", "tomllib._types"]
    )
