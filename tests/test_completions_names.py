"""
What a TAB offers for a name: providers, aliases, models, files. Each shell is asked the same.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from llmcli.registry import BUILT_IN
from tests.completing import SHELLS, Completing, Fish, Home, OnTerminal, on_terminal, start
from tests.program import Program

TYPED = ("bash", "zsh")  # those that are on a terminal
CONFIG = """
default = "groq/x"
[providers.work]
base_url = "https://llm.example.com"
[providers."dot.ted".settings]
temperature = 1
  [providers.indented.models."[x]"]
[aliases]
fast = "groq/x"
"with blank" = "groq/y"   # = "z"
# hidden = "groq/z"
[chat]
format = "text"
"""
OURS = {"work", "dot.ted", "indented", "added", "from-a-plugin"}
LLAMA = ["ollama/llama3.2:1b", "ollama/llama3.2:3b"]
HOSTILE = [
    "$(touch x)",
    "`touch x`",
    "a b",
    "{p,q}",
    "!!",
    "*",
    "~",
    "a;touch x",
    "it's",
    'a"b',
    "a&b",
    "a\\b",
    "#a",
    "%a",
]


Beginning = Callable[..., Completing]
Typing = Callable[..., OnTerminal]


def furnish(home: Home) -> Home:
    """A home with a configuration and lists of models."""
    home.write(home.config / "config.toml", CONFIG)
    home.write(home.config / "state.toml", '[aliases]\nkept = "openai/x"\n')
    home.write(home.config / "providers.d" / "added.toml", "")
    home.write(home.cache / "providers.txt", "openai\nfrom-a-plugin\n")
    home.lists("ollama", "llama3.2:3b", "llama3.2:1b", "qwen3:8b", "hf.co/org/model:Q4")
    home.lists("anthropic", "claude-haiku-4-5", "claude-opus-5")
    home.lists("openai", "gpt-a")
    return home


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Completing]:
    """Each shell in turn, at home."""
    with closing(start(request.param, furnish(Home(tmp_path_factory.mktemp("home"))))) as completing:
        yield completing


@pytest.fixture(scope="module", params=TYPED)
def terminal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnTerminal]:
    """Each shell that types on a terminal."""
    with closing(on_terminal(request.param, furnish(Home(tmp_path_factory.mktemp("home"))))) as completing:
        yield completing


@pytest.fixture
def begin() -> Iterator[Beginning]:
    """Begin a shell of a test's own: `begin("bash", home)`."""
    with ExitStack() as stack:
        yield lambda name, home, **env: stack.enter_context(closing(start(name, home, **env)))


@pytest.fixture
def type_in() -> Iterator[Typing]:
    """Begin one that is on a terminal."""
    with ExitStack() as stack:
        yield lambda name, home, **env: stack.enter_context(closing(on_terminal(name, home, **env)))


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("llmcli mod", ["models"]),
        ("llmcli chat --form", ["--format"]),
        ("llmcli chat --format js", ["json", "jsonl"]),
        ("llmcli models al", ["alias"]),
        ("llmcli models --json al", ["alias"]),
        ("llmcli models --search list al", ["alias"]),
        ("llmcli completions ", ["bash", "fish", "zsh"]),
        ("llmcli completions z", ["zsh"]),
        ("llmcli providers new x --template h", ["http"]),
        ("llmcli providers --capability to", ["tools"]),
        # A word for the model, and what nobody can know.
        ("llmcli chat mod", []),
        ("llmcli chat models al", []),
        ("llmcli chat --system ", []),
        ("llmcli providers add ", []),
        ("llmcli providers new ", []),
        ("llmcli plugins-command ", []),
        ("llmcli plugins-command -", []),
        ("llmcli chat -- -", []),
        ("llmcli chat -- ", []),
        ("llmcli chat -- -m ollama/", []),
    ],
)
def test_a_tab_offers_what_fits(shell: Completing, line: str, offered: list[str]) -> None:
    assert shell.offers(line) == [offered]


@pytest.mark.parametrize(
    "line",
    [
        "llmcli providers show ",
        "llmcli providers login ",
        "llmcli providers remove ",
        "llmcli providers add x --adapter ",
        "llmcli models list ",
        "llmcli models list openai ",
        "llmcli models refresh ",
        "llmcli health ",
        "llmcli health --timeout 3 openai ",
        "llmcli chat -p ",
        "llmcli chat hello --provider ",
    ],
)
def test_where_a_provider_is_named_every_one_is_offered(shell: Completing, line: str) -> None:
    (offered,) = shell.offers(line)

    assert set(offered) == {*BUILT_IN, *OURS}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("llmcli chat -m ollama/ll", LLAMA),
        ("llmcli chat -m ollama/llama3.2:", LLAMA),
        ("llmcli chat -m ollama/llama3.2:3", ["ollama/llama3.2:3b"]),
        ("llmcli chat -m ollama/hf.co/o", ["ollama/hf.co/org/model:Q4"]),
        ("llmcli chat --model ollama/q", ["ollama/qwen3:8b"]),
        ("llmcli chat --model=ollama/q", ["ollama/qwen3:8b"]),
        ("llmcli chat --model=ollama/llama3.2:", LLAMA),
        ("llmcli chat -nxm ollama/q", ["ollama/qwen3:8b"]),
        ("llmcli chat -n hello -s 'a b' --fallback ollama/q", ["ollama/qwen3:8b"]),
        ("llmcli chat < in 2>err -m ollama/q", ["ollama/qwen3:8b"]),
        ("llmcli models show ollama/q", ["ollama/qwen3:8b"]),
        ("llmcli providers use ollama/q", ["ollama/qwen3:8b"]),
        ("llmcli models alias short ollama/q", ["ollama/qwen3:8b"]),
        ("llmcli chat -m ant", ["anthropic", "anthropic/claude-haiku-4-5", "anthropic/claude-opus-5"]),
        ("llmcli chat -m fas", ["fast"]),
        ("llmcli chat -m kep", ["kept"]),
        ("llmcli models alias fas", ["fast"]),
        ("llmcli chat -m work/", []),
        ("llmcli chat -m nobody/", []),
        ("llmcli chat -m ../", []),
        # After -p, and where the provider stands before it, as the provider calls it.
        ("llmcli chat -p ollama -m ll", ["llama3.2:1b", "llama3.2:3b"]),
        ("llmcli chat --provider ollama -m llama3.2:3", ["llama3.2:3b"]),
        ("llmcli chat --provider=ollama --model=q", ["qwen3:8b"]),
        ("llmcli chat -pollama -m hf.co/", ["hf.co/org/model:Q4"]),
        ("llmcli chat -p anthropic -m ollama/", []),
        ("llmcli providers check ollama -m q", ["qwen3:8b"]),
        ("llmcli providers read ollama --model q", ["qwen3:8b"]),
    ],
)
def test_models_are_offered(shell: Completing, line: str, offered: list[str]) -> None:
    assert shell.offers(line) == [offered]


def test_an_empty_model_offers_providers_and_aliases(shell: Completing) -> None:
    (offered,) = shell.offers("llmcli chat -m ")

    assert {*BUILT_IN, *OURS, "fast", "kept", "with blank"} <= {word.replace("\\", "") for word in offered}


def test_fish_finds_a_model_by_what_stands_in_its_middle(begin: Beginning, tmp_path: Path) -> None:
    fish = begin("fish", furnish(Home(tmp_path)))

    assert fish.offers("llmcli chat -m haiku") == [["anthropic/claude-haiku-4-5"]]


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("llmcli chat -m ollama/llama3.2:3", "llmcli chat -m ollama/llama3.2:3b "),
        ("llmcli chat -m ollama/l", "llmcli chat -m ollama/llama3.2:"),
        ("llmcli chat --model=ollama/llama3.2:3", "llmcli chat --model=ollama/llama3.2:3b "),
        ("llmcli chat --model=ollama/q", "llmcli chat --model=ollama/qwen3:8b "),
        ("llmcli chat -mollama/q", "llmcli chat -mollama/qwen3:8b "),
        ("llmcli chat -p ollama -m llama3.2:3", "llmcli chat -p ollama -m llama3.2:3b "),
        ('llmcli chat -m "ollama/q', 'llmcli chat -m "ollama/qwen3:8b" '),
        ("llmcli chat -m ant", "llmcli chat -m anthropic"),
        ("llmcli providers sh", "llmcli providers show "),
        ("llmcli providers check <in ollama -m q", "llmcli providers check <in ollama -m qwen3:8b "),
        ("true; llmcli chat -m ollama/q", "true; llmcli chat -m ollama/qwen3:8b "),
        ("X=1 llmcli chat -m ollama/q", "X=1 llmcli chat -m ollama/qwen3:8b "),
    ],
)
def test_a_tab_completes_the_line(terminal: OnTerminal, line: str, after: str) -> None:
    assert terminal.line_after(line) == after


@pytest.mark.parametrize(
    "line",
    [
        "llmcli chat -f ",
        "llmcli chat --file ",
        "llmcli chat --file=",
        "llmcli chat -m x --config ",
        "llmcli providers read ollama ",
        "llmcli chat --ca-bundle ",
        "llmcli chat hello > ",
        "llmcli chat hello 2>",
        "llmcli chat < ",
        "llmcli chat <",
    ],
)
def test_files_are_completed_where_a_file_is_named(terminal: OnTerminal, line: str, tmp_path: Path) -> None:
    (tmp_path / "a-file.txt").touch()

    assert terminal.line_after(f"{line}{tmp_path}/a-f") == f"{line}{tmp_path}/a-file.txt "


def test_fish_completes_files_too(begin: Beginning, tmp_path: Path) -> None:
    home = furnish(Home(tmp_path))
    (tmp_path / "a-file.txt").touch()
    lines = ("llmcli chat -f a-f", "llmcli chat --file=a-f", "llmcli providers read ollama a-f", "llmcli chat a-f")

    assert begin("fish", home).offers(*lines) == [["a-file.txt"], ["--file=a-file.txt"], ["a-file.txt"], []]


@pytest.mark.parametrize("name", SHELLS)
def test_a_directory_is_completed_where_one_is_asked_for(
    begin: Beginning, type_in: Typing, name: str, tmp_path: Path
) -> None:
    home = furnish(Home(tmp_path))
    (tmp_path / "here-file").touch()
    (tmp_path / "here-folder").mkdir()
    line = "llmcli providers new x --directory here-"

    if name == "fish":
        assert begin(name, home).offers(line) == [["here-folder/"]]
    else:
        shell = type_in(name, home)
        assert shell.line_after(line) == "llmcli providers new x --directory here-folder/"


def test_two_tabs_list_what_there_is(terminal: OnTerminal) -> None:
    terminal.shows("llmcli chat -p anthropic -m claude-", "claude-haiku-4-5", "claude-opus-5")


def test_zsh_shows_what_commands_and_options_mean(type_in: Typing, tmp_path: Path) -> None:
    zsh = type_in("zsh", Home(tmp_path))

    zsh.shows("llmcli providers ", "Forget the key that `login` has kept")
    zsh.shows("llmcli chat --t", "Nucleus sampling")


def test_fish_shows_what_commands_and_options_mean(tmp_path: Path) -> None:
    fish = Fish(Home(tmp_path))

    assert "logout\tForget the key that `login` has kept" in fish.told("llmcli providers lo")
    assert "--top-p\tNucleus sampling." in fish.told("llmcli chat --top")


@pytest.mark.parametrize("settings", ["set -u; shopt -s nullglob failglob nocasematch extglob", "IFS=:/-", "set -f"])
def test_the_settings_of_a_bash_do_no_harm(type_in: Typing, settings: str, tmp_path: Path) -> None:
    bash = type_in("bash", furnish(Home(tmp_path)))
    bash.run(settings)

    offered = bash.offers(
        "llmcli chat -m ollama/ll", "llmcli chat -m ollama/llama3.2:", "llmcli chat -m fas", "llmcli mod"
    )

    assert offered == [LLAMA, LLAMA, ["fast"], ["models"]]


def test_a_zsh_may_source_the_script_too(type_in: Typing, tmp_path: Path) -> None:
    zsh = type_in("zsh", furnish(Home(tmp_path)))
    zsh.run('compdef -d llmcli; source "$SCRIPTS/_llmcli"')

    assert zsh.offers("llmcli chat -m ollama/ll", "llmcli mod") == [LLAMA, ["models"]]


@pytest.mark.parametrize("name", SHELLS)
def test_what_the_program_has_written_is_offered(begin: Beginning, llmcli: Program, name: str) -> None:
    llmcli.configure('[providers.mine]\nadapter = "openai-compatible"\nbase_url = "http://127.0.0.1:1/v1"\n')
    for args in (
        ("providers", "add", "further", "--base-url", "http://127.0.0.1:1/v1", "--default-model", "x"),
        ("models", "alias", "short", "echo/echo"),
        ("models", "alias", "v1.5", "mine/a:1"),
        ("models", "refresh", "echo"),
    ):
        done = llmcli(*args)
        assert done.status == 0, done.err

    shell = begin(name, Home(llmcli.home), XDG_CONFIG_HOME=str(llmcli.config.parent))
    providers, aliases, models = shell.offers("llmcli chat -p ", "llmcli models alias ", "llmcli chat -m echo/")

    assert {"further", "mine"} <= set(providers)
    assert aliases == ["short", "v1.5"]
    assert models == ["echo/echo"]


# --- what a list may hold -------------------------------------------------------------------------


@pytest.mark.parametrize("name", TYPED)
@pytest.mark.parametrize("model", HOSTILE)
def test_a_name_that_the_shell_would_take_apart_reaches_the_program_as_it_is(
    type_in: Typing, name: str, model: str, tmp_path: Path
) -> None:
    home = Home(tmp_path)
    home.lists("ollama", model)
    shell = type_in(name, home)

    line = shell.line_after("llmcli chat -m ollama/")
    shell.run('llmcli() { printf %s "$*" > got; }')
    shell.run(line)

    assert (tmp_path / "got").read_text() == f"chat -m ollama/{model}"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", SHELLS)
def test_nothing_that_is_read_is_run(begin: Beginning, name: str, tmp_path: Path) -> None:
    home = Home(tmp_path)
    commands = [text.replace("touch", ": >") for text in HOSTILE]  # which need no program
    home.lists("ollama", *commands, *HOSTILE)
    home.write(home.cache / "providers.txt", "\n".join(["$(: > x)", "`: > x`", "a;: > x", "x[$(: > x)]"]))
    home.write(home.config / "providers.d" / "$(: > x).toml", "")
    home.write(
        home.config / "config.toml",
        '[providers."$(: > x)"]\n[providers.$(: > x)]\n[aliases]\n"$(: > x)" = ""\n`: > x` = ""\na[$(: > x)] = ""\n',
    )
    shell = begin(name, home)

    shell.offers("llmcli chat -m ", "llmcli chat -m ollama/", "llmcli chat -p ", "llmcli chat -p ollama -m ",
                 "llmcli models alias ", "llmcli chat -m '$(: > x)/", "llmcli chat -p '$(: > x)' -m ")  # fmt: skip

    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", SHELLS)
def test_what_a_terminal_would_obey_is_not_offered(begin: Beginning, name: str, tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.lists("ollama", "\x1b[31mred", "a\x07", "b\u202ec", "d\u200be", "good", "\x9b31m")
    shell = begin(name, home)

    (offered,) = shell.offers("llmcli chat -m ollama/")

    assert offered == ["ollama/good"]


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\x00\x01\xff\xfe" * 1000,
        b"no newline",
        b"\n\n\n",
        b"ollama/" + b"l" * 1_000_000,
        b"openai/of-another\n",
    ],
    ids=["empty", "binary", "one line", "blank lines", "a long line", "of another"],
)
def test_a_broken_list_is_harmless(begin: Beginning, name: str, broken: bytes, tmp_path: Path) -> None:
    home = furnish(Home(tmp_path))
    for path in (home.cache / "models" / "ollama.txt", home.cache / "providers.txt", home.config / "config.toml"):
        home.write(path, broken)
    shell = begin(name, home)

    models, others, providers = shell.offers(
        "llmcli chat -m ollama/l", "llmcli chat -m anthropic/claude-h", "llmcli chat -p "
    )

    assert models == []
    assert others == ["anthropic/claude-haiku-4-5"]
    assert {*BUILT_IN} <= set(providers)


@pytest.mark.parametrize("name", SHELLS)
def test_a_huge_list_is_read_to_its_limit(begin: Beginning, name: str, tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.lists("ollama", *(f"model-{number}" for number in range(200_000)))
    shell = begin(name, home)

    (offered,) = shell.offers("llmcli chat -m ollama/model-1")

    assert 1000 < len(offered) < 30_000


@pytest.mark.parametrize("name", SHELLS)
def test_without_cache_and_configuration_the_built_in_providers_are_offered(
    begin: Beginning, name: str, tmp_path: Path
) -> None:
    shell = begin(name, Home(tmp_path))

    providers, models = shell.offers("llmcli chat -p ", "llmcli chat -m anthropic")

    assert set(providers) == set(BUILT_IN)
    assert models == ["anthropic"]


@pytest.mark.parametrize("name", SHELLS)
def test_what_cannot_be_read_is_passed_over(begin: Beginning, name: str, tmp_path: Path) -> None:
    home = furnish(Home(tmp_path))
    for path in (home.cache / "models" / "ollama.txt", home.cache / "providers.txt", home.config / "config.toml"):
        path.unlink()
        os.mkfifo(path)  # whoever opens it waits
    shell = begin(name, home)

    models, aliases = shell.offers("llmcli chat -m ollama/", "llmcli models alias ")

    assert (models, aliases) == ([], ["kept"])


@pytest.mark.parametrize("name", SHELLS)
def test_the_directories_that_xdg_names_are_read(begin: Beginning, name: str, tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write(tmp_path / "xdg cache" / "llmcli" / "models" / "ollama.txt", "ollama/elsewhere\n")
    home.write(tmp_path / "xdg config" / "llmcli" / "config.toml", '[aliases]\nelsewhere = "x/y"\n')
    env = {"XDG_CACHE_HOME": str(tmp_path / "xdg cache"), "XDG_CONFIG_HOME": str(tmp_path / "xdg config")}
    shell = begin(name, home, **env)

    offered = shell.offers("llmcli chat -m ollama/", "llmcli models alias ")

    assert offered == [["ollama/elsewhere"], ["elsewhere"]]


@pytest.mark.parametrize("name", SHELLS)
def test_directories_that_are_not_absolute_are_not_read(begin: Beginning, name: str, tmp_path: Path) -> None:
    """The program does not either: whoever wrote them chose the current directory, not the user."""
    home = furnish(Home(tmp_path))
    home.write(tmp_path / "cache" / "llmcli" / "models" / "ollama.txt", "ollama/of-somebody\n")
    home.write(tmp_path / "config" / "llmcli" / "state.toml", '[aliases]\nof-somebody = "x/y"\n')
    shell = begin(name, home, XDG_CACHE_HOME="cache", XDG_CONFIG_HOME="config")

    models, aliases = shell.offers("llmcli chat -m ollama/q", "llmcli models alias k")

    assert (models, aliases) == (["ollama/qwen3:8b"], ["kept"])


@pytest.mark.parametrize("name", SHELLS)
def test_the_file_that_llmcli_config_names_takes_the_place_of_config_toml(
    begin: Beginning, name: str, tmp_path: Path
) -> None:
    home = furnish(Home(tmp_path))
    home.write(tmp_path / "other.toml", '[aliases]\nother = "x/y"\n')
    shell = begin(name, home, LLMCLI_CONFIG=str(tmp_path / "other.toml"))

    offered = shell.offers("llmcli models alias ")

    assert offered == [["kept", "other"]]
