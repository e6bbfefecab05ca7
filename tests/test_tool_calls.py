"""Tool calls: whatever a server does to the fragments, the calls are those that the model made."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcli.providers.tool_calls import ToolCallAssembler, ToolNames, new_call_id
from llmcli.types import ChatRequest, Json, Message, Tool, ToolCall, ToolCallDelta, ToolResult


def fragment(
    index: Json = None, call_id: Json = None, name: Json = None, arguments: Json = None, **more: Json
) -> dict[str, Json]:
    function: dict[str, Json] = {
        key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None
    }
    given: dict[str, Json] = {"index": index, "id": call_id, "function": function, **more}
    return {key: value for key, value in given.items() if value is not None}


def assembled(*fragments: dict[str, Json]) -> list[ToolCall]:
    ids = iter(f"new{n}" for n in range(100))
    assembler = ToolCallAssembler(lambda: next(ids))
    for each in fragments:
        assembler.feed(each)
    return list(assembler.finish())


def said(calls: list[ToolCall]) -> list[tuple[str, str]]:
    return [(call.name, call.arguments) for call in calls]


def test_names_that_a_service_does_not_take_are_others_there_and_never_two_the_same() -> None:
    """A name that it takes stays as it is; what was called before is known too, whether or not it is still offered."""
    before = (Message("assistant", (ToolCall("c", "a b"),)), Message("tool", (ToolResult("c", "a b", "x"),)))
    asked = ChatRequest("m", before, tools=(Tool("a-b"), Tool("a_b"), Tool("c")), tool_choice="a-b")
    told = ToolNames(asked, lambda name: name.replace("-", "_").replace(" ", "_")).told(asked)
    assert [tool.name for tool in told.tools] == ["a_b_", "a_b", "c"]
    assert told.tool_choice == "a_b_"
    assert [part.name for each in told.messages for part in each.parts if isinstance(part, ToolCall | ToolResult)] == [
        "a_b__"
    ] * 2


@given(st.data())
def test_arguments_may_be_cut_anywhere(data: st.DataObject) -> None:
    """The format itself: the name once, the arguments in pieces."""
    arguments = json.dumps(data.draw(st.dictionaries(st.text(), st.text() | st.integers(), max_size=3)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arguments)), max_size=5)))
    pieces = [arguments[a:b] for a, b in zip([0, *cuts], [*cuts, len(arguments)], strict=True)]
    calls = assembled(fragment(0, "a", "now", ""), *(fragment(0, arguments=piece) for piece in pieces))
    assert calls == [ToolCall("a", "now", arguments)]


def test_two_calls_by_index_may_come_in_turns() -> None:
    """P26 (QwenLM/Qwen-Agent#943)."""
    calls = assembled(
        fragment(0, "a", "f", '{"x"'),
        fragment(1, "b", "g", '{"y"'),
        fragment(0, arguments=":1}"),
        fragment(1, arguments=":2}"),
    )
    assert calls == [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", '{"y":2}')]


def test_a_fragment_without_an_index_is_found_by_its_id() -> None:
    """P24 (openai/openai-python#2806)."""
    calls = assembled(
        fragment(None, "a", "f", '{"x"'),
        fragment(None, "b", "g", "{}"),
        fragment(None, "a", arguments=":1}"),
    )
    assert calls == [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}")]


def test_a_fragment_with_neither_index_nor_id_belongs_to_the_last_call() -> None:
    """P24."""
    assert said(assembled(fragment(None, "a", "f", '{"x"'), fragment(arguments=":1}"))) == [("f", '{"x":1}')]


def test_a_call_with_neither_index_nor_id_is_still_a_call() -> None:
    """P24, P30: section 11, fixture 6."""
    assert assembled(fragment(name="f", arguments={"x": 1})) == [ToolCall("new0", "f", '{"x": 1}')]


def test_two_calls_may_both_have_index_zero() -> None:
    """P25 (huggingface/smolagents#1958): section 11, fixture 5."""
    calls = assembled(
        fragment(0, "a", "f", '{"x":'),
        fragment(0, arguments="1}"),
        fragment(0, "b", "f", '{"x":'),
        fragment(0, arguments="2}"),
    )
    assert calls == [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "f", '{"x":2}')]


def test_two_calls_under_one_index_may_come_in_turns() -> None:
    """P26 (mozilla-ai/any-llm#1305): the id is repeated with every fragment."""
    calls = assembled(
        fragment(0, "a", "f", '{"x":'),
        fragment(0, "b", "g", '{"y":'),
        fragment(0, "a", "f", "1}"),
        fragment(0, "b", "g", "2}"),
    )
    assert calls == [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", '{"y":2}')]


def test_one_chunk_may_hold_two_calls_under_one_index() -> None:
    """P27 (openai/openai-python#3201)."""
    calls = assembled(fragment(0, "a", "f", "{}"), fragment(0, "b", "g", '{"y":1}'))
    assert calls == [ToolCall("a", "f", "{}"), ToolCall("b", "g", '{"y":1}')]


def test_another_name_after_the_arguments_is_another_call() -> None:
    """P25: index 0 for both, and no id."""
    calls = assembled(fragment(0, name="f", arguments='{"x":1}'), fragment(0, name="g", arguments="{}"))
    assert said(calls) == [("f", '{"x":1}'), ("g", "{}")]


def test_an_id_that_changes_without_a_name_starts_no_call() -> None:
    """P26: a server that makes up an id for every fragment."""
    calls = assembled(fragment(0, "a", "f", '{"x"'), fragment(0, "b", arguments=":1}"))
    assert calls == [ToolCall("a", "f", '{"x":1}')]


@pytest.mark.parametrize("resent", ["read_file", "", None])
def test_a_resent_or_empty_name_changes_nothing(resent: str | None) -> None:
    """P28, P29 (NousResearch/hermes-agent#11984, lmstudio-ai/lmstudio-bug-tracker#649)."""
    calls = assembled(fragment(0, "a", "read_file", "{"), {**fragment(0, arguments="}"), "function": {"name": resent}})
    assert calls[0].name == "read_file"


def test_a_name_may_come_in_pieces() -> None:
    """P28 (continuedev/continue#5849)."""
    calls = assembled(fragment(0, "a", "read_"), fragment(0, name="file"), fragment(0, arguments="{}"))
    assert said(calls) == [("read_file", "{}")]


def test_arguments_may_be_an_object() -> None:
    """P30 (ggml-org/llama.cpp#20198): an object replaces what came before it."""
    calls = assembled(fragment(0, "a", "f", '{"x"'), fragment(0, arguments={"x": "é"}))
    assert said(calls) == [("f", '{"x": "é"}')]


@pytest.mark.parametrize("arguments", ["", None, " \n", "null"])
def test_no_arguments_are_an_empty_object(arguments: str | None) -> None:
    """P32."""
    assert assembled(fragment(0, "a", "f", arguments)) == [ToolCall("a", "f", "{}")]


def test_arguments_that_were_sent_twice_are_one_call() -> None:
    """P33 (lidge-jun/opencodex#361): in pieces, and then whole."""
    calls = assembled(fragment(0, "a", "f", '{"x":'), fragment(0, arguments="1}"), fragment(0, "a", "f", '{"x":1}'))
    assert calls == [ToolCall("a", "f", '{"x": 1}')]


def test_calls_that_stand_side_by_side_are_split() -> None:
    """P25 (dyedd/lens#49)."""
    calls = assembled(fragment(0, "a", "f", '{"x":1}{"x":true}\n{"x":"}{"}'))
    assert calls == [
        ToolCall("a", "f", '{"x": 1}'),
        ToolCall("new0", "f", '{"x": true}'),
        ToolCall("new1", "f", '{"x": "}{"}'),
    ]


def test_the_same_call_twice_is_dropped() -> None:
    """P33: rule 7."""
    calls = assembled(fragment(0, "a", "f", '{"x":1}'), fragment(1, "a", "f", '{"x":1}'))
    assert calls == [ToolCall("a", "f", '{"x":1}')]


def test_two_equal_calls_with_ids_of_their_own_are_two_calls() -> None:
    """Rolling two dice is no mistake."""
    calls = assembled(fragment(0, "a", "roll"), fragment(1, "b", "roll"), fragment(2, name="roll"))
    assert [call.id for call in calls] == ["a", "b", "new0"]


def test_one_id_for_two_calls_keeps_both() -> None:
    """P34 (can1357/oh-my-pi#2055): the second gets an id of ours."""
    calls = assembled(fragment(0, "a", "f", '{"x":1}'), fragment(1, "a", "g", "{}"))
    assert calls == [ToolCall("a", "f", '{"x":1}'), ToolCall("new0", "g", "{}")]


def test_one_id_and_one_index_for_two_calls_keeps_both() -> None:
    """P25 and P34 together (NousResearch/hermes-agent#70724)."""
    calls = assembled(fragment(0, "a", "f", '{"x":1}'), fragment(0, "a", "g", "{}"))
    assert calls == [ToolCall("a", "f", '{"x":1}'), ToolCall("new0", "g", "{}")]


def test_the_first_id_stays() -> None:
    """Rule 3: repeats and empty ids are ignored."""
    calls = assembled(fragment(0, "", "f"), fragment(0, "a", arguments="{"), fragment(0, "", arguments="}"))
    assert calls == [ToolCall("a", "f", "{}")]


@pytest.mark.parametrize("arguments", ['{"x":', "[1]", '"x"', '{"x":NaN}', '{"x":1} and more', "[" * 100_000])
def test_invalid_arguments_are_kept_as_they_are(arguments: str) -> None:
    """Rule 6: the model wrote them, and whoever asked must see them."""
    assert assembled(fragment(0, "a", "f", arguments)) == [ToolCall("a", "f", arguments, valid=False)]


def test_a_call_without_a_name_is_not_valid() -> None:
    """Nobody could run it."""
    assert assembled(fragment(0, "a", None, '{"x":1}')) == [ToolCall("a", "", '{"x":1}', valid=False)]


def test_an_empty_fragment_is_no_call() -> None:
    """P23: `tool_calls: [{}]`."""
    assert assembled({}, fragment(0, "a")) == []


def test_unknown_keys_of_a_call_are_kept() -> None:
    """P47 (open-webui/computer#224): Gemini's signature comes in a fragment of its own and must be sent back."""
    signature: dict[str, Json] = {"google": {"thought_signature": "s"}}
    calls = assembled(fragment(None, "a", "f", "{}"), {"type": "function", "extra_content": signature, "custom": None})
    assert calls == [ToolCall("a", "f", "{}", opaque={"extra_content": signature})]


@pytest.mark.parametrize(
    "odd", [{"function": None}, {"function": "f"}, {"id": 7, "index": "0"}, {"index": True}, fragment(0, arguments=7)]
)
def test_odd_types_break_nothing(odd: dict[str, Json]) -> None:
    """P60: nothing is strict."""
    assert assembled(fragment(0, "a", "f", "{}"), odd) == [ToolCall("a", "f", "{}")]


def test_a_fragment_says_which_call_it_belongs_to() -> None:
    """What a progress line shows."""
    assembler = ToolCallAssembler()
    assembler.feed(fragment(0, "a", "f"))
    assert assembler.feed(fragment(0, arguments='{"x"')) == ToolCallDelta("f", '{"x"')
    assert assembler.feed(fragment(0, arguments={"x": 1})) == ToolCallDelta("f", '{"x": 1}')


def test_ids_of_ours_differ() -> None:
    """Results are paired with calls by them."""
    ids = {new_call_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(each.startswith("call_") for each in ids)
