"""
`--schema`, from the shell to the last byte: one JSON document on stdout, or none and exit 13.
"""

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.program import PATIENCE, Program
from tests.servers import DONE, Connection, Server, answers, completion, delta, event, finish, says, stream

PERSON = "name: str, age: int"
ADA = '{"name": "Ada", "age": 36}'


def said(text: str) -> str:
    """What makes the built-in model say a text; as JSON, so that it stays one."""
    return f"text={json.dumps(text)}"


def test_the_answer_is_one_document_on_one_line(llmcli: Program) -> None:
    done = llmcli("chat", "-n", "-m", "echo", "--schema", PERSON, "--option", said(f"Here:\n```json\n{ADA}\n```"), "hi")

    assert (done.status, done.text, done.err) == (0, f"{ADA}\n", "")


def test_an_answer_that_never_satisfies_the_schema_leaves_stdout_empty(llmcli: Program) -> None:
    done = llmcli("chat", "-n", "-m", "echo", "--schema", PERSON, "--option", said('{"name": "Ada"}'), "hi")

    assert (done.status, done.out) == (13, b"")
    first, second, hint = done.err.splitlines()
    assert first.endswith("'age' is a required property; asking again")
    assert second == "llmcli: the answer does not satisfy the schema: 'age' is a required property [provider=echo]"
    assert "--schema-retries" in hint


def test_no_file_is_written_then(llmcli: Program) -> None:
    options = ("--schema", PERSON, "--schema-retries", "0", "--option", said("no"), "-o", "out.json")

    assert llmcli("chat", "-n", "-m", "echo", *options, "hi").status == 13
    assert not list(llmcli.home.glob("*out.json*"))


def test_what_is_wrong_is_sent_back_and_the_next_answer_is_printed(
    llmcli: Program, serve: Callable[..., Server]
) -> None:
    server = serve(says('{"name": ', '"Ada"}'), says(ADA))

    done = llmcli.chat(server.url, "--schema", PERSON, "who?")

    assert (done.status, done.text) == (0, f"{ADA}\n")
    roles = [[each["role"] for each in request.json["messages"]] for request in server.requests]
    assert [each[-3:] for each in roles][1] == ["user", "assistant", "user"]
    assert server.requests[1].json["messages"][-2]["content"] == '{"name": "Ada"}'
    assert "'age' is a required property" in server.requests[1].json["messages"][-1]["content"]


def test_it_is_sent_back_as_often_as_is_said(llmcli: Program, serve: Callable[..., Server]) -> None:
    server = serve(says("no"))

    assert llmcli.chat(server.url, "--schema", PERSON, "--schema-retries", "3", "who?").status == 13
    assert len(server.requests) == 4


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
def test_an_answer_may_come_whole_or_in_pieces(stream: str, llmcli: Program, serve: Callable[..., Server]) -> None:
    server = serve(says(*ADA) if stream == "--stream" else answers(200, completion(ADA)))

    assert llmcli.chat(server.url, stream, "--schema", PERSON, "who?").text == f"{ADA}\n"


def test_nothing_of_an_answer_that_is_cut_is_printed(llmcli: Program, serve: Callable[..., Server]) -> None:
    server = serve(stream(delta(ADA), end=b""))

    done = llmcli.chat(server.url, "--schema", PERSON, "who?")

    assert (done.status, done.out) == (10, b"")


def test_an_answer_that_stopped_at_its_limit_is_not_asked_for_again(
    llmcli: Program, serve: Callable[..., Server]
) -> None:
    server = serve(stream(delta('{"name": "Ad'), finish("length"), DONE))

    done = llmcli.chat(server.url, "--schema", PERSON, "who?")

    assert (done.status, done.out, len(server.requests)) == (13, b"", 1)
    assert "--max-tokens" in done.err


def test_the_tokens_of_all_answers_are_counted(llmcli: Program, serve: Callable[..., Server]) -> None:
    used = event({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}})
    server = serve(*(stream(delta(text), finish(), used, DONE) for text in ("no", ADA)))

    done = llmcli.chat(server.url, "--schema", PERSON, "--json", "who?")

    assert done.json["metadata"]["usage"] == {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24}


def test_the_json_format_holds_the_document_as_its_content(llmcli: Program) -> None:
    done = llmcli("chat", "-n", "-m", "echo", "--schema", PERSON, "--option", said(f"So: {ADA}"), "--json", "hi")

    assert done.json["content"] == ADA


def test_the_jsonl_format_holds_it_as_one_piece(llmcli: Program) -> None:
    done = llmcli("chat", "-n", "-m", "echo", "--schema", PERSON, "--option", said(f"So: {ADA}"), "--jsonl", "hi")

    assert [json.loads(line)["delta"] for line in done.text.splitlines()] == [ADA, ""]


def test_json_lines_are_all_there_or_none_too(llmcli: Program, serve: Callable[..., Server]) -> None:
    thinking = event({"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]})
    server = serve(stream(thinking, delta("no"), finish(), DONE))

    done = llmcli.chat(server.url, "--schema", PERSON, "--schema-retries", "0", "--jsonl", "who?")

    assert (done.status, done.out) == (13, b"")


BACKTRACKING = '{"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}'
STUCK = json.dumps({"a": "a" * 60 + "b"})


def test_the_total_timeout_counts_for_holding_an_answer_against_the_schema_too(llmcli: Program) -> None:
    done = llmcli("chat", "-n", "-m", "echo", "--schema", BACKTRACKING, "--option", said(STUCK), "--timeout", "2", "hi")

    assert (done.status, done.out) == (10, b"")
    assert "the total timeout of 2 s passed" in done.err


def test_ctrl_c_ends_it(llmcli: Program, serve: Callable[..., Server]) -> None:
    over = threading.Event()

    def script(connection: Connection) -> None:
        says(STUCK)(connection)
        connection.wait_until_gone()
        over.set()

    options = ("-m", "m", "--base-url", serve(script).url, "--schema", BACKTRACKING)
    with llmcli.start("chat", "-n", "-p", "openai-compatible", *options, "who?") as process:
        assert over.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == -signal.SIGINT


def test_many_are_a_list(llmcli: Program) -> None:
    options = ("--schema", PERSON, "--schema-multi", "--option", said(f'{{"items": [{ADA}, {ADA}]}}'))

    assert llmcli("chat", "-n", "-m", "echo", *options, "hi").json == [json.loads(ADA)] * 2


def test_a_schema_is_read_from_a_file(llmcli: Program) -> None:
    (llmcli.home / "yes.json").write_text('{"enum": ["yes", "no"]}')
    options = ("--schema", "yes.json", "--option", said('{"answer": "no"}'))

    assert llmcli("chat", "-n", "-m", "echo", *options, "hi").text == '"no"\n'


def test_characters_that_a_terminal_would_obey_are_escaped(llmcli: Program) -> None:
    options = ("--schema", "name: str", "--option", said('{"name": "a\\u001b[31mb\\u202e"}'))

    assert llmcli("chat", "-n", "-m", "echo", *options, "hi").text == '{"name": "a\\u001b[31mb\\u202e"}\n'


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--schema", "x: strng"), "--schema: x: 'strng' is no type (character 4)"),
        (
            ("--schema", '{"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}}'),
            "--schema is no JSON schema: it refers to #/$defs/b, which is not in it",
        ),
        (("--schema", "nowhere.json"), "--schema: there is no file nowhere.json"),
        (("--schema-multi",), "--schema-multi needs --schema"),
        (("--schema-retries", "2"), "--schema-retries needs --schema"),
        (("--max-tool-rounds", "2"), "--max-tool-rounds needs --tool"),
        (("--schema", PERSON, "-x"), "a schema and --extract exclude one another"),
    ],
)
def test_a_mistake_is_told_before_anything_is_asked(options: tuple[str, ...], told: str, llmcli: Program) -> None:
    done = llmcli("chat", "-n", "-m", "echo", *options, "hi")

    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith(f"llmcli: {told}")


# --- how a provider is asked ----------------------------------------------------------------------


def asked(llmcli: Program, *args: str, provider: str = "openai", config: str = "") -> Any:
    """The body that would be sent."""
    llmcli.configure(config)
    done = llmcli("chat", "-n", "-m", f"{provider}/m", "--dry-run", "--schema", PERSON, *args, "who?")
    assert done.status == 0, done.err
    return done.json["body"]


def test_who_enforces_a_schema_is_sent_it(llmcli: Program) -> None:
    body = asked(llmcli)

    assert body["response_format"]["json_schema"]["schema"]["required"] == ["name", "age"]
    assert [each["role"] for each in body["messages"]] == ["user"]


def test_who_enforces_json_only_is_told_the_schema_in_words(llmcli: Program) -> None:
    body = asked(llmcli, provider="deepseek")

    assert body["response_format"] == {"type": "json_object"}
    assert '"required": ["name", "age"]' in body["messages"][0]["content"]


def test_where_tools_are_told_by_text_the_schema_is_too_because_a_forced_form_allows_no_call(llmcli: Program) -> None:
    (llmcli.home / "add.py").write_text("def add(a: int) -> int:\n    return a\n")
    config = '[providers.openai]\ntools = "text"\n'

    body = asked(llmcli, "--tool", "add.py", "--yes", config=config)

    assert "response_format" not in body
    assert "TOOL_CALL: " in body["messages"][0]["content"]
    assert "satisfy this JSON schema" in body["messages"][0]["content"]


@pytest.mark.parametrize(("way", "form"), [("json", {"type": "json_object"}), ("prompt", None)])
def test_the_configuration_may_choose_another_way_for_a_model(
    way: str, form: dict[str, str] | None, llmcli: Program
) -> None:
    body = asked(llmcli, config=f'[providers.deepseek.models."m"]\nschema = "{way}"', provider="deepseek")

    assert body.get("response_format") == form
    assert '"required": ["name", "age"]' in body["messages"][0]["content"]


NO_FORM = answers(400, {"error": {"message": "This response_format type is unavailable now"}})


def test_what_a_server_does_not_enforce_is_asked_for_in_another_way(
    llmcli: Program, serve: Callable[..., Server]
) -> None:
    """P61: a schema, then any JSON object, then words alone; the answer is held against the schema all the same."""
    server = serve(NO_FORM, NO_FORM, says(ADA))

    done = llmcli.chat(server.url, "--schema", PERSON, "who?")

    assert (done.status, done.text) == (0, f"{ADA}\n")
    forms = [request.json.get("response_format", {}).get("type") for request in server.requests]
    assert forms == ["json_schema", "json_object", None]


def test_a_way_that_is_configured_is_not_left(llmcli: Program, serve: Callable[..., Server]) -> None:
    server = serve(NO_FORM)
    llmcli.configure('[providers.openai-compatible]\nschema = "native"')

    done = llmcli.chat(server.url, "--schema", PERSON, "who?")

    assert (done.status, len(server.requests)) == (5, 1)


@pytest.mark.parametrize(
    ("way", "told"),
    [("nativ", "cannot be asked for a schema in the way 'nativ'"), ("native", "hint: but: json, prompt")],
)
def test_a_way_that_there_is_not_is_told_of(way: str, told: str, llmcli: Program) -> None:
    llmcli.configure(f'[providers.deepseek]\nschema = "{way}"')

    done = llmcli("chat", "-n", "-m", "deepseek/m", "--dry-run", "--schema", PERSON, "who?")

    assert done.status == 3
    assert "providers.deepseek.schema" in done.err
    assert told in done.err


def test_the_system_prompt_stays_and_the_words_follow_it(llmcli: Program) -> None:
    body = asked(llmcli, "-s", "Be brief.", provider="deepseek")

    assert body["messages"][0]["content"].startswith("Be brief.\n\nAnswer with one JSON document")


# --- with tools -----------------------------------------------------------------------------------


def test_tools_run_first_and_the_last_answer_is_held_against_the_schema(
    llmcli: Program, serve: Callable[..., Server], tmp_path: Path
) -> None:
    tools = tmp_path / "tools.py"
    tools.write_text('def age(name: str) -> int:\n    """How old somebody is."""\n    return 36\n')
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "age", "arguments": '{"name": "Ada"}'}}
    calls = event({"id": "c1", "choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]})
    server = serve(stream(calls, finish("tool_calls"), DONE), says("Ada is 36."), says(ADA))
    options = ("--tool", str(tools), "--yes", "--tool-choice", "required")

    done = llmcli.chat(server.url, "--schema", PERSON, *options, "who?")

    assert (done.status, done.text) == (0, f"{ADA}\n")
    _, results, last = (request.json for request in server.requests)
    assert last["messages"][: len(results["messages"])] == results["messages"]
    assert [each["role"] for each in last["messages"]] == ["user", "assistant", "tool", "assistant", "user"]
    assert "tool_choice" not in last


# --- a real model ---------------------------------------------------------------------------------


def test_a_real_model_is_held_to_the_schema(llmcli: Program, reciting: Callable[[str], Any]) -> None:
    server = reciting(ADA)

    done = llmcli(
        "chat", "-n", "-p", "llamacpp", "--base-url", server.url, "-m", "m", "--schema", PERSON, "--max-tokens", "60",
        "who?", env={"LLAMA_API_KEY": "sk-llama-test"},
    )  # fmt: skip

    assert done.status == 0, done.err
    assert set(done.json) == {"name", "age"}


def test_after_tools_have_run_no_other_provider_is_asked_though_the_schema_has_it_asked_again(
    llmcli: Program, serve: Callable[..., Server]
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "touch", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    asks = answers(200, {"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    first = serve(asks, answers(200, completion("no json")), answers(503, "busy"))
    other = serve(answers(200, completion(ADA)))
    (llmcli.home / "t.py").write_text('def touch() -> str:\n    """Touch."""\n    return "done"\n')
    llmcli.configure(f'[providers.bee]\nadapter = "openai-compatible"\nbase_url = "{other.url}"\ndefault_model = "m"')

    done = llmcli.chat(
        first.url, "--no-stream", "--tool", "t.py", "--yes", "--schema", PERSON, "--fallback", "bee", "who?"
    )

    assert (done.status, done.out) == (10, b"")
    assert len(first.requests) == 3
    assert other.requests == []
