"""
The real program and a real inference server: llama.cpp, whose model recites a text that is known to the letter.

As a service in OpenAI's format and in Anthropic's. The model is a small one (`tiny_model.py`), the server is not: it
really tokenises, samples and streams, so this is what its users see, its faults and ours included.
"""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tiny_model
from tests.conftest import ENDLESS, LLAMA_KEY
from tests.llama_server import LlamaServer
from tests.program import Done, Program
from tests.shell import ended, eventually, read_until, watched
from tests.terminal import on_terminal

TEXT = tiny_model.TEXT
TOKENS = 42  # that the model takes to say TEXT, the one that ends it included

with_every_provider = pytest.mark.parametrize("provider", ["llamacpp", "openai-compatible", "openai", "anthropic"])
in_both_formats = pytest.mark.parametrize("provider", ["llamacpp", "anthropic"])

Reciting = Callable[[str], LlamaServer]


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    """A file with the server's key, as --api-key-file takes it."""
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(LLAMA_KEY)
    return str(path)


def command(server: LlamaServer, provider: str, key_file: str, *args: str, prompt: str = "Recite.") -> tuple[str, ...]:
    """The arguments that ask the server. Nothing is retried unless it is asked for."""
    where = ("-p", provider, "--base-url", server.url, "-m", "tiny", "--api-key-file", key_file)
    return ("chat", *where, "-n", "--retries", "0", *args, "--", prompt)


# --- what it says ---------------------------------------------------------------------------------


@with_every_provider
@pytest.mark.parametrize("way", ["--stream", "--no-stream"])
def test_the_answer_of_a_real_model_arrives_to_the_letter(
    llmcli: Program, llama: LlamaServer, key_file: str, provider: str, way: str
) -> None:
    done = llmcli(*command(llama, provider, key_file, way))
    assert (done.text, done.err, done.status) == (TEXT, "", 0)


@with_every_provider
@pytest.mark.parametrize("way", ["--stream", "--no-stream"])
def test_json_tells_the_text_the_usage_and_why_the_model_stopped(
    llmcli: Program, llama: LlamaServer, key_file: str, provider: str, way: str
) -> None:
    done = llmcli(*command(llama, provider, key_file, way, "--json"))
    assert done.status == 0
    assert (done.json["role"], done.json["content"], done.json["tool_calls"]) == ("assistant", TEXT, [])
    metadata = done.json["metadata"]
    assert (metadata["provider"], metadata["model"], metadata["finish_reason"]) == (provider, "tiny", "stop")
    usage = metadata["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["completion_tokens"] == TOKENS
    assert usage["total_tokens"] == usage["prompt_tokens"] + TOKENS


@in_both_formats
def test_jsonl_has_a_line_for_each_token_that_is_text(
    llmcli: Program, llama: LlamaServer, key_file: str, provider: str
) -> None:
    lines = [json.loads(line) for line in llmcli(*command(llama, provider, key_file, "--jsonl")).text.splitlines()]
    assert "".join(line["delta"] for line in lines) == TEXT
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert len(lines) > TOKENS / 2  # some characters are several tokens, and they stay whole
    assert lines[-1]["metadata"]["usage"]["completion_tokens"] == TOKENS


@in_both_formats
def test_a_limit_of_tokens_cuts_the_answer_and_is_told(
    llmcli: Program, llama: LlamaServer, key_file: str, provider: str
) -> None:
    arguments = command(llama, provider, key_file, "--max-tokens", "5")
    done = llmcli(*arguments)
    assert done.status == 0
    assert done.text
    assert TEXT.startswith(done.text)
    assert done.text != TEXT
    assert "finish reason length" in done.err
    assert llmcli(*command(llama, provider, key_file, "--max-tokens", "5", "--strict")).status == 12


@in_both_formats
def test_a_stop_sequence_stops_the_model(llmcli: Program, llama: LlamaServer, key_file: str, provider: str) -> None:
    done = llmcli(*command(llama, provider, key_file, "--stop", " emoji"))
    assert (done.text, done.status) == (TEXT.partition(" emoji")[0], 0)


@in_both_formats
def test_sixteen_programs_at_once_all_get_the_whole_answer(
    llmcli: Program, llama: LlamaServer, key_file: str, provider: str
) -> None:
    processes = [llmcli.start(*command(llama, provider, key_file)) for _ in range(16)]
    answers = [ended(process) for process in processes]
    assert answers == [Done(0, TEXT.encode(), "")] * 16


# --- what it refuses ------------------------------------------------------------------------------


@with_every_provider
def test_a_wrong_key_exits_4_and_is_not_told(
    llmcli: Program, llama: LlamaServer, tmp_path: Path, provider: str
) -> None:
    wrong = tmp_path / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("sk-not-the-right-one")
    done = llmcli(*command(llama, provider, str(wrong)))
    assert (done.out, done.status) == (b"", 4)
    assert f"[provider={provider} http=401]" in done.err
    assert "sk-not-the-right-one" not in done.err


@in_both_formats
def test_a_prompt_that_is_longer_than_the_context_exits_5_with_both_numbers(
    llmcli: Program, llama: LlamaServer, key_file: str, provider: str
) -> None:
    done = llmcli(*command(llama, provider, key_file, prompt="word " * 3000))
    assert (done.out, done.status) == (b"", 5)
    assert done.err.startswith("llmcli: the prompt is too long for the model: ")
    assert "1024" in done.err  # tokens of the context that a slot has
    assert "word word" not in done.err


# --- when it goes away, and when we do ------------------------------------------------------------


@in_both_formats
def test_a_server_that_is_stopped_in_the_middle_of_an_answer_exits_10(
    llmcli: Program, endless_llama: LlamaServer, key_file: str, provider: str
) -> None:
    with watched(llmcli.start(*command(endless_llama, provider, key_file, "--idle-timeout", "1"))) as process:
        start = read_until(process.stdout, ENDLESS.encode())
        endless_llama.send(signal.SIGSTOP)
        done = ended(process)
    assert done.status == 10
    assert done.err.startswith("llmcli: the answer is incomplete: the stream stalled: no event in 1 s")
    assert_recited(start + done.out)


@in_both_formats
def test_a_server_that_is_killed_in_the_middle_of_an_answer_exits_10(
    llmcli: Program, endless_llama: LlamaServer, key_file: str, provider: str
) -> None:
    with watched(llmcli.start(*command(endless_llama, provider, key_file))) as process:
        start = read_until(process.stdout, ENDLESS.encode())
        endless_llama.send(signal.SIGKILL)
        done = ended(process)
    assert done.status == 10
    assert done.err.startswith("llmcli: the answer is incomplete: the connection ")
    assert_recited(start + done.out)


@in_both_formats
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_answer_and_the_server_stops_generating(
    llmcli: Program, endless_llama: LlamaServer, key_file: str, provider: str, number: signal.Signals
) -> None:
    with watched(llmcli.start(*command(endless_llama, provider, key_file))) as process:
        start = read_until(process.stdout, ENDLESS.encode())
        assert endless_llama.generating() == 1
        process.send_signal(number)
        done = ended(process)
    assert (done.status, done.err) == (128 + number, "")
    assert_recited(start + done.out)
    eventually(lambda: endless_llama.generating() == 0)


@in_both_formats
def test_a_reader_that_has_seen_enough_ends_the_answer_and_the_server_stops_generating(
    llmcli: Program, endless_llama: LlamaServer, key_file: str, provider: str
) -> None:
    """As in `llmcli chat ... | head -c 24`."""
    with watched(llmcli.start(*command(endless_llama, provider, key_file))) as process:
        assert process.stdout is not None
        assert process.stdout.read(len(ENDLESS)) == ENDLESS.encode()
        assert endless_llama.generating() == 1
        process.stdout.close()
        process.stdout = None
        done = ended(process)
    assert (done.status, done.err) == (141, "")
    eventually(lambda: endless_llama.generating() == 0)


@in_both_formats
def test_a_total_timeout_ends_the_answer_and_the_server_stops_generating(
    llmcli: Program, endless_llama: LlamaServer, key_file: str, provider: str
) -> None:
    done = llmcli(*command(endless_llama, provider, key_file, "--timeout", "3"))
    assert done.status == 10
    assert done.err.startswith("llmcli: the answer is incomplete: the total timeout of 3 s passed")
    assert_recited(done.out)
    eventually(lambda: endless_llama.generating() == 0)


def assert_recited(out: bytes) -> None:
    """What came is the endless text from its start, cut anywhere."""
    text = out.decode()
    assert text
    assert (ENDLESS * (len(text) // len(ENDLESS) + 1)).startswith(text)


# --- thinking, tool calls, escapes ----------------------------------------------------------------

THOUGHTS = "<think>\nfirst I ponder.\n</think>\n\nThe answer is 42."


@in_both_formats
@pytest.mark.parametrize("way", ["--stream", "--no-stream"])
def test_the_thinking_of_a_reasoning_model_stays_apart_from_its_answer(
    llmcli: Program, reciting: Reciting, key_file: str, provider: str, way: str
) -> None:
    server = reciting(THOUGHTS)
    done = llmcli(*command(server, provider, key_file, way))
    assert (done.text, done.err, done.status) == ("The answer is 42.", "", 0)
    document = llmcli(*command(server, provider, key_file, way, "--json")).json
    assert document["content"] == "The answer is 42."
    assert document["thinking"].strip() == "first I ponder."


TOOL_CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: dict[str, Any] = {
    "llamacpp": {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}},
    "anthropic": {"name": "get_weather", "input_schema": SCHEMA},
}


@in_both_formats
@pytest.mark.parametrize("way", ["--stream", "--no-stream"])
def test_the_tool_call_of_a_real_model_is_in_the_json(
    llmcli: Program, reciting: Reciting, key_file: str, provider: str, way: str
) -> None:
    tools = f"tools={json.dumps([TOOLS[provider]])}"
    done = llmcli(*command(reciting(TOOL_CALL), provider, key_file, way, "--json", "--option", tools))
    assert done.status == 0
    assert done.json["metadata"]["finish_reason"] == "tool_calls"
    (call,) = done.json["tool_calls"]
    assert call["id"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}
    assert "valid" not in call


INJECTION = "red \x1b[31mtext\x1b[0m \x1b]52;c;cm0=\x07 end"
SHOWN_INJECTION = "red ^[[31mtext^[[0m ^[]52;c;cm0=^G end"


@in_both_formats
@pytest.mark.parametrize("form", ["text", "markdown"])
def test_what_a_model_says_to_the_terminal_is_shown_and_not_obeyed(
    llmcli: Program, reciting: Reciting, key_file: str, provider: str, form: str
) -> None:
    arguments = command(reciting(INJECTION), provider, key_file, "--format", form, "--color", "never")
    done = on_terminal(llmcli, *arguments)
    assert (done.text, done.status) == (SHOWN_INJECTION + "\n", 0)


@in_both_formats
def test_a_pipe_gets_what_the_model_says(llmcli: Program, reciting: Reciting, key_file: str, provider: str) -> None:
    done = llmcli(*command(reciting(INJECTION), provider, key_file))
    assert (done.text, done.status) == (INJECTION, 0)
