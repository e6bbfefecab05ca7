"""
Tools with a real inference server: llama.cpp, whose model recites a call whatever it is told. So each test ends with
the second round: the server has taken the results, and the model has asked again.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import LLAMA_KEY
from tests.llama_server import LlamaServer
from tests.program import Done, Program

HERMES = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
PLAIN = 'I will look.\nTOOL_CALL: weather\nARGUMENTS: {"city": "Paris"}\n'


@pytest.fixture
def ask(llmcli: Program, tmp_path: Path) -> Callable[..., Done]:
    """Ask a server with a tool that tells the weather, for one round."""
    tools = tmp_path / "tools.py"
    tools.write_text('def weather(city: str) -> str:\n    """The weather."""\n    return f"sunny in {city}"\n')

    def asked(server: LlamaServer, provider: str, way: str, *args: str) -> Done:
        base_url = server.address if provider == "anthropic" else server.url
        llmcli.configure(
            f'[providers.local]\nadapter = "{provider}"\nbase_url = "{base_url}"\ndefault_model = "tiny"\n'
            f'tools = "{way}"\napi_key = {{ env = "LOCAL_KEY" }}\n'
        )
        return llmcli(
            "chat", "-n", "-m", "local", "--retries", "0", "--tool", str(tools), "--yes", "--max-tool-rounds", "1",
            *args, "--", "The weather in Paris?", env={"LOCAL_KEY": LLAMA_KEY},
        )  # fmt: skip

    return asked


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
@pytest.mark.parametrize(
    ("provider", "way", "text"),
    [
        ("llamacpp", "native", HERMES),
        ("openai-compatible", "native", HERMES),
        ("anthropic", "native", HERMES),
        ("llamacpp", "text", PLAIN),
        ("openai-compatible", "text-hermes", HERMES),
    ],
)
def test_a_real_model_calls_a_tool_and_its_server_takes_the_result(
    ask: Callable[..., Done], reciting: Callable[[str], LlamaServer], provider: str, way: str, text: str, stream: str
) -> None:
    done = ask(reciting(text), provider, way, stream, "--jsonl")

    assert done.status == 10
    assert done.error["message"] == "the model still asks for tools after 1 round"
    lines = [json.loads(line) for line in done.text.splitlines()]
    calls = [line["tool_call"]["function"] for line in lines if "tool_call" in line]
    assert [(call["name"], json.loads(call["arguments"])) for call in calls] == [("weather", {"city": "Paris"})] * 2
    assert [line["tool_result"]["content"] for line in lines if "tool_result" in line] == ["sunny in Paris"]
