"""Markdown that grows on a terminal: what stands on the screen in the end, and meanwhile."""

import random
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcli.markdown import Blocks, Page, Rendering
from llmcli.markdown_rules import parser
from tests.program import Program
from tests.screen import Screen
from tests.servers import DONE, LAST_CHUNK, STREAM_HEAD, Connection, Server, chunk, delta, event, finish
from tests.terminal import Session, talking_to

Serve = Callable[..., Server]

# --- blocks ---------------------------------------------------------------------------------------


def blocks(*pieces: str) -> list[str]:
    cut = Blocks()
    return [block for piece in pieces for block in cut.feed(piece)] + cut.end()


def test_a_blank_line_ends_a_block() -> None:
    assert blocks("one\ntwo\n\n\nthree") == ["one\ntwo\n", "three"]


def test_code_is_a_block_of_its_own_with_all_its_blank_lines() -> None:
    assert blocks("see:\n```py\na\n\nb\n```\nso") == ["see:\n", "```py\na\n\nb\n```\n", "so"]
    assert blocks("~~~~\n~~~\n\n```\n~~~~~\n") == ["~~~~\n~~~\n\n```\n~~~~~\n"]


def test_code_within_a_line_opens_no_block() -> None:
    assert blocks("```one``` is\n\ntwo") == ["```one``` is\n", "two"]


def test_a_list_goes_on_after_blank_lines_until_something_else_begins() -> None:
    text = "1. one\n\n   more of one\n\n2. two\n\n    ```sh\n    ls\n\n    ```\n\n   - three\n\n"
    assert blocks(text, "After.\n") == [text, "After.\n"]


def test_a_fence_that_is_indented_like_code_does_not_end_the_code_around_it() -> None:
    text = "```md\n1. so:\n\n    ```sh\n    ls\n    ```\n\t```\n\nstill code\n   ```\n"
    assert blocks(text, "text\n\nmore\n") == [text, "text\n", "more\n"]


def test_code_in_a_list_ends_with_its_item() -> None:
    text = "- so:\n  ```\n  ls\n\n"
    assert blocks(text, "After.\n\nMore.\n") == [text, "After.\n", "More.\n"]


def test_code_between_the_items_of_a_list_is_a_block_of_its_own() -> None:
    assert blocks("1. so:\n```sh\n\nls\n```\n2. then") == ["1. so:\n", "```sh\n\nls\n```\n", "2. then"]


def test_indented_code_goes_on_after_blank_lines() -> None:
    assert blocks("    one\n\n\n    two\n\ntext\n") == ["    one\n\n\n    two\n\n", "text\n"]


LINES = [
    "", "", "text", "  two", "    four", "     five", "\ttab", "- item", "-", "* star", "1. one", "2) two",
    "  - nested", "   - nested", "      deep", "- > quote", "> quote", "> - item", "> ```", "```", "```py", "````",
    "~~~", "   ```", "    ```", "      ```", "\t```", "- ```", "1. ```", "``` x `y`", "# head", "---", "- - -", "***",
    "===", "| a | b |", "|---|---|", "|1|2|3|", "<div>", "[x]: y", "    - ", "-\tx", "> ",
]  # fmt: skip


def read(text: str) -> list[object]:
    return [
        (token.type, token.level, token.content, token.info, token.attrs, token.children)
        for token in parser(strikethrough=True).parse(text)
    ]


@settings(deadline=None, max_examples=1000)
@given(st.lists(st.sampled_from(LINES), max_size=20).map("\n".join))
def test_blocks_say_what_the_whole_says(text: str) -> None:
    assert [token for block in blocks(text) for token in read(block)] == read(text)


@given(st.text(alphabet="a`~- 1.\n", max_size=60), st.integers(1, 5))
def test_no_text_is_lost_however_it_is_cut(text: str, size: int) -> None:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert blocks(*pieces) == blocks(text)
    assert "".join("".join(blocks(text)).split()) == "".join(text.split())


# --- rendering ------------------------------------------------------------------------------------


def lines(block: str, width: int = 40) -> list[str]:
    return Rendering(color=False, harmless={}).lines(block, width)


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        ("a List<String> and <br>", ["a List<String> and <br>"]),
        ("<details>\ninside\n</details>", ["<details> inside </details>"]),
        ("![a picture](http://host/p.png)", ["![a picture](http://host/p.png)"]),
        ('![*a*](p.png "why") [![b](c)](d)', ['![*a*](p.png "why") ![b](c) (d)']),
        ("<http://host/>", ["<http://host/>"]),
        ("[a page](http://host/)", ["a page (http://host/)"]),
        ('[page](http://host/ "its title")', ['page (http://host/ "its title")']),
        ("&lt;b&gt; &amp;", ["<b> &"]),
        ("[1]: http://host/", ["[1]: http://host/"]),
        ("~~no~~ yes", ["~~no~~ yes"]),
    ],
)
def test_what_a_terminal_can_do_nothing_with_is_shown_as_it_is_written(block: str, shown: list[str]) -> None:
    assert lines(block) == shown


def test_a_word_is_struck_out_where_there_are_styles() -> None:
    assert Rendering(color=True, harmless={}).lines("~~no~~ yes", 40) == ["\x1b[9mno\x1b[0m yes"]


def test_a_block_of_nothing_has_no_lines() -> None:
    assert lines("\n \n") == []


@pytest.mark.parametrize("width", [40, 20])
def test_a_table_that_has_no_room_folds_and_loses_nothing(width: int) -> None:
    row = "https://example.org/a/very/long/address/that/fits/nowhere"
    shown = "".join("".join(lines(f"| where | 説明 |\n|---|---|\n| {row} | これは長い説明です |\n", width)).split())

    assert "…" not in shown
    assert all(sign in shown for sign in "これは長い説明です")
    assert sorted(sign for sign in shown if sign.isascii() and sign.isalpha()) == sorted(
        sign for sign in "where" + row if sign.isalpha()
    )


def a_row_of(*cells: str) -> str:
    return f"|{'|'.join(cells)}|\n"


def test_a_table_with_more_columns_than_have_room_is_a_line_for_each_cell() -> None:
    days = [str(day) for day in range(1, 32)]
    table = a_row_of("Day", *days) + a_row_of(*["-"] * 32) + a_row_of("**Mo**", *(f"d{day}" for day in days))

    assert lines(table + a_row_of("Tu", "", "x"), 80)[:36] == [
        "Day: Mo", *(f"{day}: d{day}" for day in days), "", "Day: Tu", "1:", "2: x",
    ]  # fmt: skip
    assert lines(a_row_of("One", "Two", "Three") + "|-|-|-|\n", 12) == ["One", "Two", "Three"]


@given(
    st.lists(st.lists(st.sampled_from(["", "x", "世界", "a-word", "two words", "👍"]), min_size=5), min_size=1),
    st.integers(1, 40),
    st.integers(6, 90),
)
@settings(deadline=None)
def test_every_cell_of_a_table_is_shown_on_terminals_of_any_width(
    rows: list[list[str]], columns: int, width: int
) -> None:
    head = [f"{column:x}" for column in range(columns)]
    table = "".join(a_row_of(*row) for row in [head, ["-"] * columns, *rows])

    shown = Counter("".join(lines(table, width)))

    wanted = Counter("".join(sign for row in [head, *rows] for cell in row for sign in cell if sign != " "))
    assert all(shown[sign] >= count for sign, count in wanted.items())


@pytest.mark.parametrize(("first", "then"), [("", ""), ("> ", "> "), ("- ", "  ")])
def test_a_cell_that_no_heading_stands_above_is_shown(first: str, then: str) -> None:
    shown = " ".join(lines(f"{first}|a|b|\n{then}|-|-|\n{then}|1|2|3 is \\| *kept*||\n{then}|4|\n"))

    assert shown.split("─")[-1].replace("▌", "").split() == ["1", "2", "3", "is", "|", "kept", "4"]


@pytest.mark.parametrize("width", [20, 40, 80])
@pytest.mark.parametrize("depth", [1, 5, 10, 15, 25, 60, 150])
@pytest.mark.parametrize(
    "nested",
    [
        lambda depth: ">" * depth + " the end",
        lambda depth: "".join(f"{'  ' * level}- level\n" for level in range(depth)) + "  " * depth + "the end\n",
        lambda depth: "1. " * depth + "the end",
        lambda depth: "> - " * depth + "the end",
    ],
)
def test_what_stands_in_many_lists_and_quotes_is_shown(
    nested: Callable[[int], str], depth: int, width: int
) -> None:  # fmt: skip
    shown = lines(nested(depth), width)

    assert re.sub(r"[^a-z]", "", "".join(shown)).endswith("theend")
    assert "".join(shown).count("level") in (0, depth)


def test_the_blank_lines_of_code_are_shown() -> None:
    assert lines("```\n\n\n  a\n\nb\n\n```\n") == ["", "", "   a", "", " b", ""]
    assert lines("text\n```\n\na\n```\n")[-2:] == ["", " a"]
    assert lines("```\n```") == []


def test_a_terminal_of_two_columns_shows_every_sign() -> None:
    assert "".join("".join(lines("# 世界\n\n- a **b**\n\n|c|d|\n|-|-|\n|世|e|\n", 2))) == "#世界-a**b**|c|d||-|-||世|e|"


# --- the page: what stands on the screen ----------------------------------------------------------

COLOR = re.compile(r"\x1b\[[0-9;]*m")


class Sheet:
    """A page on a terminal of so many columns and lines."""

    def __init__(self, columns: int, rows: int, rendering: Rendering | None = None) -> None:
        self.screen = Screen(columns, rows)
        self.shape = columns, rows
        self.stops = 0
        self.page = Page(
            self._write, rendering or Rendering(color=True, harmless={}), 80, lambda: self.shape, lambda: self.stops
        )  # fmt: skip
        self.size = 0

    def _write(self, data: bytes) -> None:
        self.size += len(data)
        self.screen.feed(data.replace(b"\n", b"\r\n"))  # as a terminal's driver does

    def says(self, *pieces: str) -> None:
        """Each piece comes by itself, and is waited for."""
        for piece in pieces:
            self.page.feed(piece)
            self.page.draw()

    def resize(self, columns: int, rows: int) -> None:
        """The terminal gets another size."""
        self.shape = columns, rows
        self.screen.resize(columns, rows)

    def others_write(self, text: str) -> None:
        """The page is stopped, something else is written, and it goes on."""
        self._write(text.encode())
        self.stops += 1


def block_by_block(text: str, width: int) -> list[str]:
    """What is written where nothing can be drawn anew."""
    written: list[bytes] = []
    page = Page(written.append, Rendering(color=True, harmless={}), width, None)
    page.feed(text)
    page.close()
    return COLOR.sub("", b"".join(written).decode()).splitlines()


SCRAPS = [
    "# Title\n", "some **bold** text ", "word ", "`code` ", "\n", "\n\n", "- one\n", "- two with more than fits\n",
    "  - nested\n", "1. first\n", "2. second\n", "10. tenth\n", "* star\n\n", "```py\n", "```\n", "~~~\n", "x = '''\n",
    "def f(x): return 1\n", "    indented\n", "| a | b |\n|---|---|\n", "| a long cell | c |\n", "> quote ",
    "---\n", "=\n", "世界你好 ", "👍 ", "é ", "**open ", "<b>html</b> ", "a&lt;b ", "![i](u) ", "[t](http://u) ",
]  # fmt: skip


def said(all_lines: list[str]) -> list[str]:
    """Lines without their blanks: of a long list, what has left the screen is not indented anew for its tenth item."""
    return ["".join(line.split()) for line in "\n".join(all_lines).rstrip().split("\n")]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(SCRAPS), max_size=60).map("".join),
    st.sampled_from([20, 40, 80]),
    st.sampled_from([3, 6, 10, 24]),
    st.randoms(use_true_random=False),
)
def test_the_screen_ends_with_what_rendering_all_at_once_shows(
    text: str, columns: int, rows: int, chance: random.Random
) -> None:
    sheet = Sheet(columns, rows)
    at = 0
    while at < len(text):
        size = chance.choice([1, 3, 10, 50])
        sheet.says(text[at : at + size])
        at += size
    sheet.page.close()
    assert said(sheet.screen.lines) == said(block_by_block(text, min(columns, 80)))


def test_what_is_open_is_to_be_seen_at_once_and_becomes_what_it_is() -> None:
    sheet = Sheet(40, 10)
    sheet.says("One **bo")
    assert sheet.screen.lines == ["One **bo"]
    sheet.says("ld** word")
    assert sheet.screen.lines == ["One bold word"]
    assert sheet.screen.styles("bold") == {"bold"}
    sheet.says("\n\n", "| a | b |\n", "|---|---|\n", "| c | d |\n")
    assert sheet.screen.lines == ["One bold word", "", " a  b", " ────", " c  d"]


@pytest.mark.parametrize("mark", ["-", "=", "``", "#", "- ", "> "])
def test_what_may_become_anything_is_not_shown_before_it_is_something(mark: str) -> None:
    sheet = Sheet(40, 10)
    sheet.says("Some text\n", mark)
    assert sheet.screen.lines == ["Some text"]
    assert sheet.screen.styles("text") == set()
    sheet.page.close()
    assert sheet.screen.lines != []


def test_a_word_more_draws_no_more_than_its_line() -> None:
    sheet = Sheet(40, 24)
    sheet.says("- one\n" * 20)
    before = sheet.size
    sheet.says("- last")
    assert sheet.size - before < 80


def test_what_has_left_the_screen_is_there_once() -> None:
    sheet = Sheet(40, 6)
    code = [f"line_{number} = {number}" for number in range(100)]
    sheet.says("```py\n", *(f"{line}\n" for line in code))
    assert [line.strip() for line in sheet.screen.lines] == code
    sheet.says("```\n", "done")
    assert [line.strip() for line in sheet.screen.lines] == [*code, "", "done"]


def test_of_what_cannot_be_cut_the_end_is_shown_until_all_is_there() -> None:
    sheet = Sheet(40, 6)
    rows = [f"| {number} | x |\n" for number in range(20)]
    sheet.says("| a | b |\n|---|---|\n", *rows)
    assert [line.split() for line in sheet.screen.lines] == [[str(number), "x"] for number in range(15, 20)]
    sheet.says("\n")
    assert [line.split()[0] for line in sheet.screen.lines][2:] == [str(number) for number in range(20)]


class Mistaken(Rendering):
    """One that takes a sign of two columns for one."""

    def lines(self, block: str, width: int) -> list[str]:
        return block.replace("x", "世").split("\n")


def test_a_line_that_is_wider_than_thought_shifts_no_other() -> None:
    sheet = Sheet(20, 10, Mistaken(color=True, harmless={}))
    sheet.says("x" * 18, "\ntwo", "\nthree", "\nfour")
    assert sheet.screen.lines[1:] == ["two", "three", "four"]


def test_code_is_cut_only_where_what_follows_looks_the_same() -> None:
    sheet = Sheet(40, 10)
    sheet.says('```py\ns = """\n', *(f"word_{number} = 1\n" for number in range(30)))
    sheet.says('"""\n', "x = 1\n" * 30, "last = 1\n```\n")
    assert sheet.screen.styles("word_28") == sheet.screen.styles("word_0")
    assert sheet.screen.styles("last") != sheet.screen.styles("word_0")


def test_the_cursor_is_shown_and_lines_wrap_after_every_drawing() -> None:
    sheet = Sheet(20, 10)
    for word in ("one ", "two\n\n", "```\n", "three\n"):
        sheet.says(word)
        assert sheet.screen.cursor_is_shown
    sheet.screen.feed(b"x" * 30)
    assert sheet.screen.lines[-2:] == ["x" * 20, "x" * 10]


# --- the page, when the terminal changes ----------------------------------------------------------


def words(count: int, first: int = 0) -> str:
    return " ".join(f"w{number}" for number in range(first, first + count))


OPEN = {
    "a paragraph": lambda part: words(60, part * 60) + " ",
    "a list": lambda part: "".join(f"- {words(20, at)}\n" for at in range(part * 100, part * 100 + 100, 20)),
    "code": lambda part: ("" if part else "```py\n") + "".join(
        f"{'  ' * (at % 3)}{words(1 + at % 17, part * 200 + at * 20)}\n" for at in range(9)
    ),
    "a quotation": lambda part: ("" if part else "> ") + f"**{words(20, part * 60)}** {words(20, part * 60 + 20)}\n",
}  # fmt: skip


@pytest.mark.parametrize("name", OPEN)
def test_of_an_answer_each_word_is_there_once_after_the_terminal_has_got_other_sizes(name: str) -> None:
    sheet = Sheet(80, 24)
    said = ""
    for part, shape in enumerate([(50, 24), (80, 12), (80, 30), (30, 20)]):
        text = OPEN[name](part)
        sheet.says(*re.findall(r"\S+\s*", text))
        sheet.resize(*shape)
        said += text
    sheet.says("w999")
    sheet.page.close()

    shown = re.sub(r"[\s▌]", "", sheet.screen.text)  # the terminal breaks lines within words
    assert re.findall(r"w\d+", shown) == re.findall(r"w\d+", f"{said} w999")


def test_the_rows_of_a_table_are_there_once_after_the_terminal_has_lost_lines() -> None:
    sheet = Sheet(80, 24)
    sheet.says("| a | b |\n|---|---|\n", *(f"| w{row} | x |\n" for row in range(6)))
    sheet.resize(80, 6)
    sheet.says("| w6-is-wider | x |\n", "\n", "text")
    assert re.findall(r"w\d+", sheet.screen.text) == [f"w{row}" for row in range(7)]


@pytest.mark.parametrize("name", OPEN)
def test_what_others_have_written_stays_and_the_answer_goes_on_below(name: str) -> None:
    sheet = Sheet(60, 24)
    before, behind = OPEN[name](0), OPEN[name](1)
    sheet.says(*re.findall(r"\S+\s*", before))
    sheet.others_write("$ echo hello\nhello\n$ fg\n")
    sheet.says(*re.findall(r"\S+\s*", behind))
    sheet.page.close()

    shown = [*re.findall(r"w\d+", before), "$ echo hello", "hello", "$ fg", *re.findall(r"w\d+", behind)]
    assert re.findall(r"w\d+|\$ \w.*|hello", sheet.screen.text) == shown


def test_a_word_that_stood_there_by_half_is_whole_below() -> None:
    sheet = Sheet(40, 24)
    sheet.says("- one **two** thr")
    sheet.others_write("$ fg\n")
    sheet.says("ee four")
    assert sheet.screen.lines == [" • one two thr", "$ fg", "   three four"]


def test_what_turns_out_to_be_something_else_is_said_again_below() -> None:
    sheet = Sheet(40, 24)
    sheet.says("one *two")
    sheet.others_write("$ fg\n")
    sheet.says(" three* four")
    sheet.page.close()
    assert sheet.screen.lines == ["one *two", "$ fg", "two three four"]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from([*SCRAPS, "SIZE", "STOP"]), max_size=40),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_no_word_is_lost_whatever_happens_to_the_terminal(pieces: list[str], chance: random.Random) -> None:
    sheet = Sheet(40, 10)
    text = ""
    for number, piece in enumerate(pieces):
        if piece == "SIZE":
            sheet.resize(chance.choice([20, 40, 80]), chance.choice([4, 10, 24]))
        elif piece == "STOP":
            sheet.others_write("$ fg\n")
        else:
            sheet.says(piece, f"w{number}w ")
            text += f"{piece}w{number}w "
    sheet.page.close()

    assert marks(sheet.screen.text) >= marks("".join(block_by_block(text, 80)))


def marks(shown: str) -> set[str]:
    """Which words are there, also those that the terminal has broken."""
    return set(re.findall(r"w\d+w", re.sub(r"[\s▌]", "", shown)))


# --- the program ----------------------------------------------------------------------------------


class Steps:
    """A server that says a piece when it is told to."""

    def __init__(self, serve: Serve, *pieces: bytes) -> None:
        self._may = threading.Semaphore(0)
        self._pieces = pieces
        self.url = serve(self._script).url

    def _script(self, connection: Connection) -> None:
        connection.send(STREAM_HEAD)
        for piece in (*self._pieces, finish() + DONE):
            self._may.acquire()
            connection.send(chunk(piece))
        connection.send(LAST_CHUNK)

    def next(self) -> None:
        """Say one piece more."""
        self._may.release()


def thought(text: str) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"reasoning_content": text}, "finish_reason": None}]})


@contextmanager
def asking(llmcli: Program, url: str, *args: str, columns: int = 40, **popen: object) -> Iterator[Session]:
    arguments = ("chat", "-p", "openai-compatible", "--base-url", url, "-m", "m", *args, "hi")
    with talking_to(llmcli, *arguments, size=(columns, 12), env={"COLUMNS": ""}, **popen) as session:
        yield session


def screen_of(session: Session) -> list[str]:
    """The screen without the line of the spinner."""
    return [line for line in Screen(40, 12, session.screen).lines if "openai-compatible/m" not in line]


def test_an_answer_grows_on_a_terminal(llmcli: Program, serve: Serve) -> None:
    steps = Steps(serve, delta("# Tit"), delta("le\n\nSome"), delta(" **bold** text"))
    with asking(llmcli, steps.url) as session:
        steps.next()
        session.until("Tit")
        steps.next()
        session.until("Some")
        assert "Title" in session.screen.decode()
        steps.next()
        steps.next()
        assert session.ended().status == 0
    assert [line.strip() for line in screen_of(session)] == ["Title", "", "Some bold text"]


def test_ctrl_c_leaves_what_came_and_a_terminal_in_order(llmcli: Program, serve: Serve) -> None:
    steps = Steps(serve, delta("One\n\nTwo **bold**"), delta("never"))
    with asking(llmcli, steps.url) as session:
        steps.next()
        session.until("bold")
        session.until("\x1b[?2026l")
        session.type("\x03")
        done = session.ended()
    assert done.status == 130
    screen = Screen(40, 12, done.out)
    assert screen_of(session) == ["One", "", "Two bold"]
    assert screen.cursor_is_shown
    assert screen.cursor == (0, 3)


def test_after_ctrl_z_and_fg_the_answer_goes_on_below_what_the_shell_wrote(llmcli: Program, serve: Serve) -> None:
    steps = Steps(serve, delta("One\n\nTwo **bold**"), delta(" three"))
    with asking(llmcli, steps.url) as session:
        steps.next()
        session.until("bold")
        session.until("\x1b[?2026l")
        session.send(signal.SIGSTOP)
        session.screen += b"[1]+  Stopped\r\n$ fg\r\n"
        session.send(signal.SIGCONT)
        steps.next()
        steps.next()
        assert session.ended().status == 0
    assert screen_of(session) == ["One", "", "Two bold", "[1]+  Stopped", "$ fg", "three"]


def test_thinking_between_two_parts_of_an_answer_stands_between_them(llmcli: Program, serve: Serve) -> None:
    steps = Steps(serve, delta("First part"), thought("hm, hm"), delta("Second part"))
    with asking(llmcli, steps.url) as session:
        for _ in range(4):
            steps.next()
        done = session.ended()
    assert done.status == 0
    assert [line for line in screen_of(session) if line] == ["First part", "hm, hm", "Second part"]


@pytest.mark.parametrize(
    ("args", "env"),
    [(("--color", "never"), {}), ((), {"NO_COLOR": "1"}), ((), {"TERM": "dumb"}), (("--raw",), {})],
)
def test_nothing_is_drawn_anew_where_escape_sequences_are_not_wanted(
    llmcli: Program, serve: Serve, args: tuple[str, ...], env: dict[str, str]
) -> None:
    steps = Steps(serve, delta("One **bo"), delta("ld**"))
    for _ in range(3):
        steps.next()
    arguments = ("chat", "-q", "-p", "openai-compatible", "--base-url", steps.url, "-m", "m", *args, "hi")
    with talking_to(llmcli, *arguments, size=(40, 12), env=env) as session:
        done = session.ended()
    assert "\x1b" not in done.text
    assert "One" in done.text


def test_the_log_of_verbose_and_the_answer_do_not_overwrite_each_other(llmcli: Program, serve: Serve) -> None:
    steps = Steps(serve, delta("One "), delta("two"))
    for _ in range(3):
        steps.next()
    with asking(llmcli, steps.url, "--verbose") as session:
        done = session.ended()
    assert "\x1b[?2026h" not in done.text
    assert "One two" in done.text
