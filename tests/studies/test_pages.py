"""What all pages share: the same input gives the same bytes, and names with marks in them are shown as text."""

import re
from html import unescape
from pathlib import Path

import plotly.graph_objects as go
import pytest

from workbench.figures.style import figure
from workbench.studies.pages import (
    _ENVIRONMENT,
    Column,
    Section,
    Table,
    drawing,
    drawings,
    link,
    render,
    strong,
    write_html,
)

NAMES = [
    "plain-name_v2",
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "[a link](http://example.invalid/x)",
    "![a picture](http://example.invalid/x)",
    "`code` **bold** _slanted_ ~~gone~~ $x^2$ | cell",
    "<http://example.invalid/x> &lt;b&gt; &copy; \\*",
    "# heading",
    "- point",
    "two\nlines",
    "\"quotes\" and 'more'",
    "x" * 10_000,
]


def drawn(name: str) -> go.Figure:
    made = figure(f"Of {name}", "a subtitle", f"alt of {name}")
    made.add_scatter(x=[name, "b"], y=[1, 2], name=name, text=[name, "b"], customdata=[[name], ["b"]])
    made.layout.meta = {"alt": f"alt of {name}"}
    return made


def table_of(name: str) -> Table:
    return Table("", (Column("run", "text"), Column("value"), Column("paper", "published")), ((name, "1", "2"),))


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_in_a_cell_of_markdown_is_shown_as_it_is(name: str) -> None:
    markdown = pytest.importorskip("markdown")
    page = _ENVIRONMENT.from_string("{% from 'table.md.jinja' import table %}{{ table(t) }}").render(t=table_of(name))
    html = markdown.markdown(page.strip(), extensions=["tables"])
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html, re.DOTALL)

    assert len(cells) == 3
    assert not re.search(r"<(?!/?(br|em)\b)", cells[0])
    assert unescape(cells[0]).replace("\\~", "~").replace("\\$", "$") == " ".join(name.split("\n"))


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_on_a_page_is_text(name: str, tmp_path: Path) -> None:
    origin = {"seed": 0, "commit": None, "versions": {name: name}}
    linked = Table(name, (Column(name),), ((link(name, "card.md", name),),), (strong(name, name),))
    section = Section(name, (name,), (table_of(name),), (drawn(name),), (linked,))
    shown = drawings(section.figures)
    page = render(
        "comparison.html", suite=name, command=name, claims=table_of(name), sections=[(section, shown)],
        meanings=[(name, name)], origin=origin, costs=name,
    )  # fmt: skip
    outside = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)

    assert page.count("<script") == page.count("</script>") == 2 + shown[0]["html"].count("<script")
    assert not re.search(r"<(img|a)\b[^>]*(example\.invalid|onerror)", page)
    assert "onerror=alert(1)>" not in outside
    assert page.count('<a href="card.md">') == 1
    assert not re.search(r"\\u003c(?!/?(b|i|em|sub|sup|span|extra|br)\b)", shown[0]["html"])


@pytest.mark.parametrize("page", ["report", "readings", "card", "compared"])
def test_pages_ask_no_other_host(page: str) -> None:
    template = Path(str(_ENVIRONMENT.get_template(f"{page}.html.jinja").filename)).read_text()
    policy = _ENVIRONMENT.get_template("policy.html.jinja").render()

    assert "{% include 'policy.html.jinja' %}" in template.partition("<title>")[0]
    assert "default-src 'none'" in policy
    assert "http" not in policy.replace("http-equiv", "")


def test_the_same_figure_is_the_same_bytes_and_another_has_another_id() -> None:
    assert drawings([drawn("a"), drawn("a")]) == drawings([drawn("a"), drawn("a")])
    ids = [re.findall(r'id="([^"]+)"', one["html"])[0] for one in drawings([drawn("a"), drawn("a"), drawn("b")])]
    assert len(set(ids)) == 3


def test_texts_of_our_figures_keep_their_letters() -> None:
    made = drawn("a")
    made.add_annotation(text="<b>.01</b><br>second <sub>1</sub> <i>p</i>", x=0, y=0)
    html = drawing(made)["html"]
    assert r"\u003cb\u003e.01\u003c" in html
    assert "&lt;" not in html


def test_a_page_lies_beside_plotly(tmp_path: Path) -> None:
    write_html(tmp_path / "x" / "index.html", "policy.html")
    assert {file.name for file in (tmp_path / "x").iterdir()} == {"index.html", "plotly.min.js"}
