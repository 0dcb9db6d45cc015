"""Static pages in a real browser: names with marks are text, nothing runs, nothing is asked of another host."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from playwright.sync_api import Dialog, Page, Request

from tests.studies.test_pages import NAMES, drawn, table_of
from workbench.studies.pages import Section, drawings, write_html


def test_hostile_names_are_text_and_reach_no_other_host(page: Page, tmp_path: Path) -> None:
    asked: list[str] = []
    dialogs: list[str] = []
    errors: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            asked.append(request.url)

    page.on("request", note)

    def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.on("pageerror", lambda error: errors.append(str(error)))
    sections = [Section(name, (name,), (table_of(name),), (drawn(name),)) for name in NAMES]
    shown = [(section, drawings(section.figures)) for section in sections]
    file = write_html(
        tmp_path / "index.html", "comparison.html", suite=NAMES[1], command=NAMES[2], claims=table_of(NAMES[3]),
        sections=shown, meanings=[(NAMES[4], NAMES[5])], origin={"seed": 0, "commit": None, "versions": {}},
    )  # fmt: skip
    page.goto(file.as_uri())
    page.wait_for_function(f"document.querySelectorAll('.main-svg .xtick').length >= {2 * len(NAMES)}")
    headings = page.locator("h2").all_inner_texts()
    ticks = page.locator(".xtick text").all_text_contents()

    assert [" ".join(name.split()) for name in NAMES] == [" ".join(one.split()) for one in headings[1 : len(NAMES) + 1]]
    assert any("<script>alert(1)</script>" in tick for tick in ticks), ticks
    assert page.locator("img, svg a, .drawings a").count() == 0
    assert not asked
    assert not dialogs
    assert not errors


def test_the_policy_keeps_a_page_from_asking(page: Page, tmp_path: Path) -> None:
    reached: list[str] = []

    class Host(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reached.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_port}"
    file = write_html(
        tmp_path / "index.html", "comparison.html", suite="x", command="x", claims=table_of("x"), sections=[],
        meanings=[], origin={"seed": 0, "commit": None, "versions": {}},
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
