"""Rows as text: on terminals of every width, with signs that are wider than one column, and in pipes."""

from typing import Any

import pytest

from llmcli.commands.table import as_table, cells, cut, folded

ROWS: list[dict[str, Any]] = [
    {"id": "openai", "models": 312, "capabilities": ["chat", "tools"]},
    {"id": "a", "models": None, "capabilities": []},
]
COLUMNS = ("id", "models", "capabilities")


def test_in_a_pipe_a_row_is_its_cells_with_tabs_between_them() -> None:
    assert as_table(ROWS, COLUMNS, width=None) == "openai\t312\tchat,tools\na\t-\t-\n"


def test_on_a_terminal_columns_stand_below_their_headings() -> None:
    assert as_table(ROWS, COLUMNS, width=80) == (
        "ID      MODELS  CAPABILITIES\n"
        "openai  312     chat,tools\n"
        "a       -       -\n"
    )  # fmt: skip


def test_what_does_not_fit_is_left_out_in_the_order_of_what_can_be_spared() -> None:
    spare = ("models", "capabilities")

    assert as_table(ROWS, COLUMNS, width=20, spare=spare).splitlines() == [
        "ID      CAPABILITIES",
        "openai  chat,tools",
        "a       -",
    ]
    assert as_table(ROWS, COLUMNS, width=19, spare=spare) == "ID\nopenai\na\n"


@pytest.mark.parametrize("width", [1, 2, 7, 20, 40, 80, 200])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    rows = [
        {
            "id": "provider/a-very-long-name-of-a-model-indeed",
            "name": "通义千问 七十亿参数",
            "problem": "no " * 30,
        },
        {"id": "x", "name": "🙂" * 22, "problem": "https://" + "x" * 90},
    ]
    text = as_table(rows, ("id", "name"), width=width)

    assert max(map(cells, text.splitlines())) <= max(width, 5)  # two signs and the gap between them


def test_the_longest_cells_are_cut_and_the_short_ones_stay_whole() -> None:
    rows = [{"id": "groq", "name": "an endless name of a model"}]

    assert as_table(rows, ("id", "name"), width=16).splitlines() == ["ID    NAME", "groq  an endles…"]


def test_one_long_name_costs_the_others_no_column() -> None:
    rows = [{"id": f"model-{number}", "name": "M", "n": 1} for number in range(4)]
    rows.insert(2, {"id": "a-very-long-name-of-a-model", "name": "L", "n": None})
    lines = as_table(rows, ("id", "name", "n"), width=24, spare=("name",)).splitlines()

    assert lines[:5] == [
        "ID               NAME  N",
        "model-0          M     1",
        "model-1          M     1",
        "a-very-long-name-of-a-m…",
        "                 L     -",
    ]


def test_a_name_that_is_a_little_longer_has_its_column() -> None:
    rows = [{"id": name, "n": 1, "more": "m" * 20} for name in ("a", "b", "c", "d", "docker-model-runner")]
    lines = as_table(rows, ("id", "n", "more"), width=40, spare=("more",)).splitlines()

    assert lines[-1] == "docker-model-runner  1"


def test_a_long_name_of_which_nothing_else_is_known_is_one_line() -> None:
    rows = [{"id": name, "n": None} for name in ("a", "b", "c", "d", "x" * 30)]

    assert as_table(rows, ("id", "n"), width=24).splitlines()[-1] == "x" * 23 + "…"


def test_where_most_names_are_long_they_are_cut() -> None:
    rows = [{"id": f"{letter * 30}", "n": 1} for letter in "abcde"]

    assert as_table(rows, ("id", "n"), width=10).splitlines()[1] == "aaaaaa…  1"


def test_a_pipe_is_never_cut() -> None:
    assert as_table([{"id": "x" * 500}], ("id",), width=None) == "x" * 500 + "\n"


def test_columns_stay_aligned_behind_wide_signs() -> None:
    rows = [{"id": "千问", "n": 1}, {"id": "e\u0301te\u0301", "n": 2}, {"id": "🙂", "n": 3}]
    lines = as_table(rows, ("id", "n"), width=40).splitlines()

    assert {cells(line) for line in lines} == {7}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("abc", 3), ("千问", 4), ("🙂", 2), ("e\u0301", 1), ("a\u200db", 2), ("❤\ufe0f", 2), ("ｱ", 1), ("Ａ", 2), ("", 0)],
)
def test_what_counts_are_the_columns_of_the_terminal(text: str, expected: int) -> None:
    assert cells(text) == expected


def test_a_cut_never_splits_a_wide_sign() -> None:
    assert [cut("千问abc", width) for width in (7, 6, 5, 4, 3, 1)] == ["千问abc", "千问a…", "千问…", "千…", "千…", "…"]


def test_a_problem_stands_below_its_row_and_is_folded() -> None:
    rows = [{"id": "a", "problem": "connection refused by 127.0.0.1:1"}, {"id": "b"}]

    assert as_table(rows, ("id",), width=24).splitlines() == [
        "ID",
        "a",
        "  ! connection refused",
        "    by 127.0.0.1:1",
        "b",
    ]
    assert as_table(rows, ("id",), width=None) == "a\t! connection refused by 127.0.0.1:1\nb\n"


def test_words_that_are_longer_than_a_line_are_broken() -> None:
    assert list(folded("see https://example.com/x now", 10)) == ["see https:", "//example.", "com/x now"]
    assert list(folded("one seven https://example.com", 10)) == ["one seven", "https://ex", "ample.com"]
    assert list(folded("千问千问", 3)) == ["千", "问", "千", "问"]
    assert list(folded("", 10)) == []


def test_a_terminal_obeys_nothing_of_what_a_cell_holds() -> None:
    rows = [{"id": "a\x1b[2J\nb", "tags": ["\u202egpj"], "problem": "\x9b"}]
    shown = as_table(rows, ("id", "tags"), width=80) + as_table(rows, ("id", "tags"), width=None)

    assert {"\x1b", "\u202e", "\x9b"}.isdisjoint(shown)
    assert len(shown.splitlines()) == 4  # heading, row and problem; and the one of the pipe
