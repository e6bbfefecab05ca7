"""Thinking in tags: what is thought and what is said, however the text is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcli.providers.think_tags import ThinkTags
from llmcli.types import TextDelta, ThinkingDelta, ThinkingEnd

NAMES = ("think", "thinking", "thought", "reasoning")


def split(*pieces: str, names: tuple[str, ...] = NAMES, opened: bool = False) -> tuple[str, str, int]:
    """The thinking, the text, and how often a block of thinking ended."""
    tags = ThinkTags(names, opened=opened)
    events = [event for piece in pieces for event in tags.feed(piece)] + tags.end()
    thinking = "".join(event.text for event in events if isinstance(event, ThinkingDelta))
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert all(event.text for event in events if isinstance(event, TextDelta | ThinkingDelta))
    return thinking, text, sum(isinstance(event, ThinkingEnd) for event in events)


@pytest.mark.parametrize("name", NAMES)
def test_thinking_in_tags_is_not_text(name: str) -> None:
    """P48, under each of its names."""
    assert split(f"<{name}>hm, 2 < 3</{name}>Yes.") == ("hm, 2 < 3", "Yes.", 1)


@given(st.data())
def test_cuts_change_nothing(data: st.DataObject) -> None:
    """P48 (youssofal/MTPLX#149): a tag may be split anywhere."""
    words = ["<think>", "</think>", "<thinking>", "</thinking>", "<", "</", "think", "a", " ", "\n", "é"]
    whole = "".join(data.draw(st.lists(st.sampled_from(words), max_size=8)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert split(*pieces) == split(whole)


@pytest.mark.parametrize(
    "plain", ["Hi", " \n Hi", "<b>Hi</b>", "a <think>b</think>", "x</think>y", "<thinker>", "<", "<thi", "  ", ""]
)
def test_text_without_an_opening_tag_at_its_start_is_untouched(plain: str) -> None:
    """Piped output is byte for byte what the model wrote."""
    assert split(plain) == ("", plain, 0)
    assert split(*plain) == ("", plain, 0)


def test_text_is_not_held_back() -> None:
    """P48: only what can still become a tag waits."""
    tags = ThinkTags(NAMES)
    assert tags.feed("<thi") == []
    assert tags.feed("s is") == [TextDelta("<this is")]
    assert tags.done
    assert tags.feed("<") == [TextDelta("<")]


def test_thinking_is_not_held_back() -> None:
    """P48: only what can still become the closing tag waits."""
    tags = ThinkTags(NAMES)
    assert tags.feed("<think>a </b") == [ThinkingDelta("a </b")]
    assert tags.feed("c</thi") == [ThinkingDelta("c")]
    assert tags.feed("x") == [ThinkingDelta("</thix")]


def test_blank_lines_around_the_block_are_the_templates() -> None:
    """The answer begins with its first line, and its indentation is its own."""
    assert split("\n<think>\nhm\n</think>\n\n", "\n    x = 1\n") == ("hm\n", "    x = 1\n", 1)


def test_an_empty_block_is_no_thinking() -> None:
    """Qwen writes one when it does not think."""
    assert split("<think>\n\n</think>\n\nHi") == ("", "Hi", 0)


def test_a_second_block_is_text() -> None:
    """Tags count at the start only."""
    assert split("<think>a</think>b<think>c</think>") == ("a", "b<think>c</think>", 1)


def test_a_block_that_was_cut_is_still_thinking() -> None:
    """P48, P66: the tokens ran out while it thought."""
    assert split("<think>and so", " on</thi") == ("and so on</thi", "", 1)


def test_a_template_may_have_opened_the_block() -> None:
    """P48 (mozilla-ai/any-llm#1245): the closing tag alone."""
    assert split("hm</th", "ink>\n\nYes.", opened=True) == ("hm", "Yes.", 1)


def foreseen(text: str) -> tuple[str, str]:
    tags = ThinkTags(NAMES, may_be_opened=True)
    tags.foresee(text)
    events = tags.feed(text) + tags.end()
    thought = "".join(event.text for event in events if isinstance(event, ThinkingDelta))
    return thought, "".join(event.text for event in events if isinstance(event, TextDelta))


def test_an_answer_that_is_there_as_a_whole_shows_who_opened_the_block() -> None:
    """P48: what is closed in it and was not opened, the template has opened."""
    assert foreseen("hm</think>\nYes.") == ("hm", "Yes.")
    assert foreseen("hm\n</reasoning>\n\nYes.") == ("hm\n", "Yes.")
    assert foreseen("In `a`:\n```\nb\n```\n</think> \r\nYes.") == ("In `a`:\n```\nb\n```\n", " \r\nYes.")
    assert foreseen("hm\n</think>") == ("hm\n", "")
    assert foreseen("<think>hm</think>Yes.") == ("hm", "Yes.")


@pytest.mark.parametrize(
    "text",
    [
        "Say <think>x</think>.",
        "It ends with `</think>`.",
        "The </think> tag ends it.",
        "To end the block, write </think>. Everything after it is shown.",
        "To end the block, write </think>",
        "Like this:\n\n```xml\nhm\n</think>\n\nYes.\n```\n",
        "~~~\n</think>\n~~~",
        "The tag **</think>** closes it.",
        'The tag "</think>" closes it.',
        '{"html":"x</think>y"}',
        '["</think>",\n "x"]',
        "<b>x</think>",
        "No tag.",
    ],
)
def test_an_answer_about_tags_is_an_answer(text: str) -> None:
    """Whole or in pieces, nothing of it may be missing."""
    assert foreseen(text) == ("", text)
    assert split(*text) == ("", text, 0)


def test_without_names_nothing_is_looked_for() -> None:
    """A service that never does this."""
    assert split("<think>a</think>", names=()) == ("", "<think>a</think>", 0)
