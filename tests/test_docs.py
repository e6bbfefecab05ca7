"""The pages hold together: their links lead somewhere, on the site too, and what is read off the code is as it says."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from llmcli.cli import command_line
from llmcli.errors import EXIT_STATUSES
from tests.pages import DOCS, ROOT, blocks

OUTSIDE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "plugins" / "README.md"]
ON_THE_SITE = sorted(DOCS.glob("*.md"))
PAGES = [*OUTSIDE, *ON_THE_SITE]
MKDOCS = (ROOT / "mkdocs.yml").read_text("utf-8")
CI = (ROOT / ".ci" / "run").read_text("utf-8")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def without_blocks(page: Path) -> str:
    """A page without its blocks of code, in which nothing is a link, a heading or a tag."""
    return re.sub(r"^( *)```.*?^\1```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The links of a page to files: where each leads, and the anchor there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page)):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            yield ((page.parent / file).resolve() if file else page), anchor


def anchors(page: Path) -> list[str]:
    """
    The anchors of a page's headings. GitHub and the site make them by rules that differ only for blanks and dashes that
    follow one another; one for which they do differ is left out, so that no link can lead there.
    """
    titles = re.findall(r"^#+ (.+)$", without_blocks(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", re.sub(r"\]\([^)]*\)", "", title)).strip().lower() for title in titles]
    return [title.replace(" ", "-") for title in plain if not re.search(r"[\s-]{2}", title)]


@each_page
def test_a_link_leads_to_a_page_and_a_heading_that_are_there(page: Path) -> None:
    broken = [
        f"{target.name}#{anchor}"
        for target, anchor in links(page)
        if not target.exists() or (anchor and anchor not in anchors(target))
    ]

    assert broken == []


@pytest.mark.parametrize("page", ON_THE_SITE, ids=lambda page: page.name)
def test_a_page_of_the_site_links_to_nothing_that_the_site_does_not_have(page: Path) -> None:
    assert [target.name for target, _ in links(page) if target.parent != DOCS] == []


def test_the_site_has_every_page_and_no_other() -> None:
    listed = re.findall(r"^ *- ([\w-]+\.md)$", MKDOCS, re.MULTILINE)

    assert sorted(listed) == [page.name for page in ON_THE_SITE]


def test_every_page_of_the_site_can_be_reached_from_its_start() -> None:
    reached, todo = set(), [DOCS / "index.md"]
    while todo:
        page = todo.pop()
        reached.add(page)
        todo += [target for target, _ in links(page) if target.suffix == ".md" and target not in reached]

    assert set(ON_THE_SITE) - reached == set()


@each_page
def test_nothing_of_a_page_is_taken_for_a_tag_and_vanishes(page: Path) -> None:
    prose = re.sub(r"(`+)(?:(?!\1).)+\1|<!--.*?-->", "", without_blocks(page), flags=re.DOTALL)

    assert re.findall(r"<(?!https://)[a-zA-Z/][^>\n]*>", prose) == []


@pytest.mark.parametrize("page", ON_THE_SITE, ids=lambda page: page.name)
def test_no_code_in_a_table_has_a_bar_which_the_site_would_show_with_a_backslash(page: Path) -> None:
    assert re.findall(r"^\|.*`[^`\n]*\\\|[^`\n]*`", without_blocks(page), re.MULTILINE) == []


def test_the_pages_that_are_read_off_the_code_are_as_the_code_is() -> None:
    done = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_the_scripting_guide_says_what_to_do_for_every_exit_status() -> None:
    guide = (DOCS / "scripting.md").read_text("utf-8")
    rows = re.findall(r"^\| ((?:\d+, )*\d+) \| ", guide, re.MULTILINE)

    told = sorted(int(number) for row in rows for number in row.split(", "))
    assert told == [status for status in EXIT_STATUSES if status < 128]


def commands(command: object, name: str = "llmcli") -> Iterator[str]:
    """The full name of every command."""
    inner = getattr(command, "commands", {})
    if not inner:
        yield name
    for word, each in inner.items():
        yield from commands(each, f"{name} {word}")


@pytest.mark.parametrize("name", sorted(commands(get_command(command_line()))))
def test_every_command_is_told_of(name: str) -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)

    assert re.search(rf"\b{name.removeprefix('llmcli ')}\b", text)


def test_a_contributor_is_told_to_run_what_ci_runs() -> None:
    told = [
        part.strip()
        for block in blocks((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
        for part in block.text.replace("\n", " && ").split("&&")
    ]

    assert [command for command in told if command not in CI] == []
