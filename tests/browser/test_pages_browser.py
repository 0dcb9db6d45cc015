"""Static pages in a real browser: names with marks are text, nothing runs, nothing is asked of another host."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import polars as pl
import pytest
from playwright.sync_api import Page, expect

from tests.browser.serve import listen
from tests.conftest import tiny
from tests.studies.test_pages import NAMES, drawn, table_of
from workbench.measure.provenance import provenance
from workbench.problems.sets import generate
from workbench.studies import report
from workbench.studies.pages import Section, drawings, write_html


def test_hostile_names_are_text_and_reach_no_other_host(page: Page, tmp_path: Path) -> None:
    heard = listen(page)
    sections = [Section(name, (name,), (table_of(name),), (drawn(name),)) for name in NAMES]
    shown = [(section, drawings(section.figures)) for section in sections]
    file = write_html(
        tmp_path / "index.html", "comparison.html", suite=NAMES[1], command=NAMES[2], claims=table_of(NAMES[3]),
        sections=shown, costs=NAMES[0], meanings=[(NAMES[4], NAMES[5])],
        origin={"seed": 0, "commit": None, "versions": {}},
    )  # fmt: skip
    page.goto(file.as_uri())
    page.wait_for_function(f"document.querySelectorAll('.main-svg .xtick').length >= {2 * len(NAMES)}")
    headings = page.locator("h2").all_inner_texts()
    ticks = page.locator(".xtick text").all_text_contents()

    assert [" ".join(name.split()) for name in NAMES] == [" ".join(one.split()) for one in headings[1 : len(NAMES) + 1]]
    assert any("<script>alert(1)</script>" in tick for tick in ticks), ticks
    assert page.locator("img, svg a, .drawings a").count() == 0
    assert not heard


def test_hostile_problems_are_text_in_a_report_and_its_parts(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MOST_IN_TABLE", 4)
    monkeypatch.setattr(report, "_figures", lambda *_: [drawn(NAMES[2])])
    names = ["".join(name.split("\n")) for name in NAMES]
    options = report.ReportOptions(names[1], Path("mine.json"), thoughts=1)
    report.write_report(tiny(max_position_embeddings=256), generate("balanced", len(names), seed=1), tmp_path, options)
    for file in tmp_path.glob("*.parquet"):  # no loader takes such names, so they are put in afterwards
        table = pl.read_parquet(file)
        ids = dict(zip(table["problem"].unique(maintain_order=True), names, strict=True))
        columns = [name for name in ("problem", "graph", "answer", "pair", "rewrite") if name in table.columns]
        changed = pl.col("problem").replace_strict(ids)
        table.with_columns(changed.alias(name) for name in columns).write_parquet(file)
    report.write_page(tmp_path, names[2], options, provenance(0), supervision=names[3])

    heard = listen(page)
    page.goto((tmp_path / "index.html").as_uri())
    page.locator(".main-svg .xtick").first.wait_for()
    shown = page.locator("#problems tbody a").all_text_contents()
    for part in (1, 2):
        page.locator("#part").select_option(index=part)
        first = page.locator("#problems tbody a").first
        expect(first).to_have_text(" ".join(names[4 * part].split()), timeout=60_000)
        shown += page.locator("#problems tbody a").all_text_contents()
    page.locator("#search").fill("quotes")
    assert page.locator("#shown").text_content() == "1 of 4"
    page.locator("#part").select_option(index=0)
    assert page.locator("#shown").text_content() == "0 of 4"

    assert shown == names
    assert names[3] in page.locator(".badge").all_text_contents()
    assert page.locator("img, svg a").count() == 0
    assert not heard


def test_the_policy_keeps_a_page_from_asking(page: Page, tmp_path: Path) -> None:
    reached: list[str] = []

    class Host(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reached.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_port}"
    file = write_html(
        tmp_path / "index.html", "comparison.html", suite="x", command="x", claims=table_of("x"), sections=[],
        meanings=[], costs="x", origin={"seed": 0, "commit": None, "versions": {}},
    )  # fmt: skip
    tracker = f"<img src='{host}/x.png'><script>fetch('{host}/y').catch(() => 0)</script>"
    whole = file.read_text().replace("</h1>", f"</h1>{tracker}")
    without = "\n".join(line for line in whole.splitlines() if "Security-Policy" not in line)
    for text, expected in ((whole, set()), (without, {"/x.png", "/y"})):
        file.write_text(text)
        page.goto(file.as_uri())
        page.wait_for_timeout(500)
        assert set(reached) == expected
    server.shutdown()
    server.server_close()
