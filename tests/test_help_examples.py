"""
Every example that a help shows is run, by somebody who has set up what it speaks of: accounts, a company's own API, a
few files, and the programs beside ours. Only what installs completions is written elsewhere than it says.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmcli.sessions import Sessions
from llmcli.turns import Entry
from llmcli.types import message
from tests.pages import Block
from tests.program import Program
from tests.test_examples import Reader, Services
from tests.test_help import COMMANDS

CONFIG = """
[aliases]
fast = "openai/gpt-5-mini"
[providers.groq]
base_url = "{other}/v1"
[providers.acme]
adapter = "http"
base_url = "{acme}"
default_model = "acme-large"
api_key = {{ env = "ACME_API_KEY", header = "X-API-Key" }}
[providers.acme.chat]
path = "/generate"
request = '''{{conversation: turns[].{{speaker: if(role == `"assistant"`, `"ai"`, `"human"`), text: content}},
  settings: {{model_name: model, max_length: max_tokens}}}}'''
content = "result.ai_response"
[providers.acme.stream]
framing = "jsonl"
request = "{{stream: `true`}}"
delta = "text"
end = "done"
"""
BESIDE_OURS = {
    "curl": "cat answer.json",
    "fzf": "head -n 1",
    "mail": "cat > /dev/null",
    "pass": "echo sk-of-the-store-0123456789",
}
FILES = {
    "request.json": "{}",
    "answer.json": '{"result": {"ai_response": "yes"}}',
    "stream.txt": '{"text": "yes"}\n{"done": true}\n',
}
KEYS = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY"), "sk-of-a-test-0123456789")
ASKED = {"llmcli providers login openai": "sk-of-a-test-0123456789"}  # on a terminal


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    servers = Services()
    yield servers
    servers.close()


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_examples_of_a_help_work_as_they_are(
    llmcli: Program, services: Services, path: tuple[str, ...], tmp_path: Path
) -> None:
    _, _, below = llmcli(*path, "--help").text.partition("\n  Examples:\n")
    examples = [line.strip() for line in below.partition("\n\n")[0].splitlines()]
    added = ("work", "lab") if path[-1:] == ("remove",) else ()
    reader = somebody(tmp_path, services, *added)

    assert examples
    for example in examples:
        typed = next((answer for command, answer in ASKED.items() if example.startswith(command)), None)
        caption = f"typed: {typed}" if typed else ""
        assert reader.follow(Block(0, caption, "sh", f"{example}\n")) is None, example


def somebody(folder: Path, services: Services, *added: str) -> Reader:
    """Who has all that the examples take for granted, and has added these providers."""
    reader = Reader(folder, services)
    reader.env |= {**KEYS, "ACME_API_KEY": "acme-demo-key"}
    commands = reader.home / ".local" / "bin"
    for name, command in BESIDE_OURS.items():
        (commands / name).write_text(f"#!/bin/sh\n{command}\n")
        (commands / name).chmod(0o755)
    for name, text in FILES.items():
        (reader.folder / name).write_text(text)
    other = services.addresses["http://localhost:8000"]
    acme = services.addresses["https://api.acme.example/v2"]
    for place in (".config/llmcli/providers.d", ".local/share/bash-completion/completions", ".zfunc",
                  ".config/fish/completions", ".config/llmcli/templates", "src"):  # fmt: skip
        (reader.home / place).mkdir(parents=True)
    configuration = reader.home / ".config" / "llmcli"
    (configuration / "config.toml").write_text(CONFIG.format(other=other, acme=acme))
    (configuration / "templates" / "review.toml").write_text('model = "echo"\nprompt = "Review {language}."')
    with Sessions(str(reader.home / ".local" / "share" / "llmcli" / "sessions.db")) as sessions:
        for name in ("trip", "work", "play"):
            said = (Entry(message("user", "hello"), 1.0), Entry(message("assistant", "hi"), 1.0, "echo", "echo"))
            sessions.add(name, [said], model="echo/echo", now=1.0)
    for name in added:
        (configuration / "providers.d" / f"{name}.toml").write_text(f'[providers.{name}]\nadapter = "echo"\n')
    return reader


def test_an_example_that_does_not_work_would_be_seen(services: Services, tmp_path: Path) -> None:
    wrong = somebody(tmp_path, services).follow(Block(0, "", "sh", "llmcli providers use nobody\n"))

    assert wrong is not None
    assert re.search("exit status 3", wrong)
