"""Figures and attention views under the rules of viewers that are not at hand here: VS Code, Colab and GitHub.

Each rule is what the viewer's makers publish, or stricter. Under it the output is shown as the viewer would show it,
with the network cut; nothing may be asked for or complained of.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from typing import Any

import pytest
from playwright.sync_api import Browser, Frame, Page, Route

from interp_emerge.figures import AttentionView
from tests.figures.attention.views import weights
from tests.figures.test_shown import drawn
from tests.report.browser import COLOURS, PATIENCE_MS, watched

FORMS = ("figure", "attention")
INK = {"figure": "#drawing .mark-symbol path", "attention": ".head canvas"}
INSERTED = """html => {
    const output = document.getElementById("output");
    output.innerHTML = html;
    for (const script of output.querySelectorAll("script")) {
        const running = document.createElement("script");
        running.textContent = script.textContent;
        script.replaceWith(running);
    }
}"""
"""How viewers set HTML into a page: scripts in it run only once they are made anew."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """A viewer that shows outputs in a frame: where the frame is, what it may do, and how it looks."""

    page: str
    frame: str
    sandbox: str
    policy: str = ""
    style: str = ""
    dark: bool = False


HOSTS = {
    # microsoft/vscode: the policy that src/vs/workbench/contrib/notebook/browser/view/renderers/backLayerWebView.ts
    # sets if `notebook.experimental.enableCsp` is on (it is off by default), and the sandbox of a webview's frame in
    # src/vs/workbench/contrib/webview/browser/pre/index.html. Its body is transparent; the text has the theme's colour.
    "VS Code": Host(
        page="https://workbench.example/",
        frame="https://webview.example/fake.html",
        sandbox="allow-same-origin allow-pointer-lock allow-scripts allow-downloads",
        policy="default-src 'none'; script-src 'self' https://*.vscode-cdn.net 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' https://*.vscode-cdn.net 'unsafe-inline'; "
        "img-src 'self' https://*.vscode-cdn.net https: http: data:; font-src 'self' https://*.vscode-cdn.net https:; "
        "connect-src https:; child-src https: data:;",
        style="body { background: transparent; color: rgb(204, 204, 204) }",
        dark=True,
    ),
    # Colab shows an output in a sandboxed frame of another origin, in which scripts run ("Advanced outputs" among its
    # notebooks). Which other flags the sandbox has is not published; here it has none.
    "Colab": Host(
        page="https://notebook.example/", frame="https://output.example/outputframe.html", sandbox="allow-scripts"
    ),
}
KEPT = """h1 h2 h3 h4 h5 h6 br b i strong em a pre code img tt div ins del sup sub p ol ul table thead tbody tfoot
blockquote dl dt dd kbd q samp var hr ruby rt rp li tr td th s strike summary details"""
"""Elements that the sanitiser of github.com keeps (html-pipeline's sanitization_filter.rb, shortened)."""


class Sanitised(HTMLParser):
    """What that sanitiser leaves of an output: no style, script or frame. Data in a picture's address is kept."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.left, self._in_script = "", False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        if tag in KEPT.split():
            kept = "".join(
                f' {name}="{escape(value or "")}"' for name, value in attrs if name in ("src", "alt", "title")
            )
            self.left += f"<{tag}{kept}>"

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False
        if tag in KEPT.split():
            self.left += f"</{tag}>"

    def handle_data(self, data: str) -> None:
        self.left += "" if self._in_script else escape(data)


Outputs = dict[str, dict[str, str]]
Opens = Callable[[str, dict[str, str]], tuple[Page, list[str]]]


@pytest.fixture(scope="module")
def outputs() -> Outputs:
    shown: dict[str, Any] = {"figure": drawn(), "attention": AttentionView(frames=(weights(),))}
    return {kind: one._repr_mimebundle_() for kind, one in shown.items()}


@pytest.fixture
def hosted(browser: Browser) -> Iterator[Opens]:
    """Opens pages by their addresses, all of which are served from here, with the network cut.

    Gives what they ask for elsewhere or complain of, too.
    """
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}, reduced_motion="reduce")

    def open_it(address: str, pages: dict[str, str]) -> tuple[Page, list[str]]:
        def answer(route: Route) -> None:
            route.fulfill(body=pages[route.request.url], content_type="text/html; charset=utf-8")

        page = context.new_page()
        _, complaints = watched(page)
        page.on("request", lambda asked: complaints.extend([asked.url] if asked.url.startswith("http") else []))
        context.route(lambda url: url in pages, answer)
        page.goto(address, wait_until="load")
        assert [url for url in complaints if url not in pages] == []
        complaints.clear()
        return page, complaints

    yield open_it
    context.close()


def cell_in(host: Host, hosted: Opens) -> tuple[Frame, list[str]]:
    """The frame in which the viewer shows an output, still empty."""
    policy = f'<meta http-equiv="Content-Security-Policy" content="{host.policy}">' if host.policy else ""
    around = f'<!doctype html><title>notebook</title><iframe sandbox="{host.sandbox}" src="{host.frame}"></iframe>'
    cell = f'<!doctype html><title>output</title>{policy}<style>{host.style}</style><div id="output"></div>'
    page, complaints = hosted(host.page, {host.page: around, host.frame: cell})
    (frame,) = page.main_frame.child_frames
    return frame, complaints


def inner(frame: Frame) -> Frame:
    """The frame of an output, drawn."""
    element = frame.wait_for_selector("iframe", timeout=PATIENCE_MS)
    assert element
    found = element.content_frame()
    assert found
    found.wait_for_selector("html[data-state=drawn]", timeout=PATIENCE_MS)
    return found


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("kind", FORMS)
def test_it_is_drawn_in_a_sandboxed_frame_under_the_viewers_policy(
    kind: str, name: str, outputs: Outputs, hosted: Opens
):
    frame, complaints = cell_in(HOSTS[name], hosted)
    frame.evaluate(INSERTED, outputs[kind]["text/html"])
    shown = inner(frame)
    assert shown.locator(INK[kind]).count() >= 2
    assert shown.locator("html").get_attribute("data-ground") == ("dark" if HOSTS[name].dark else "light")
    assert complaints == []


def test_what_a_policy_forbids_is_noticed(hosted: Opens):
    frame, complaints = cell_in(HOSTS["VS Code"], hosted)
    frame.evaluate(INSERTED, "<script>import(URL.createObjectURL(new Blob([])))</script>")
    frame.page.wait_for_timeout(300)
    assert "Content Security Policy" in complaints[0]


@pytest.mark.parametrize("kind", FORMS)
def test_where_frames_scripts_and_styles_are_stripped_the_picture_and_the_text_are_left(
    kind: str, outputs: Outputs, hosted: Opens
):
    output = outputs[kind]
    left = Sanitised(output["text/html"]).left
    assert all(word not in left for word in ("<iframe", "<script", "style=", "addEventListener"))
    png = f'<img src="data:image/png;base64,{output["image/png"]}">'
    text = f"<pre>{escape(output['text/plain'])}</pre>"
    viewer = "https://viewer.example/"
    page, complaints = hosted(viewer, {viewer: f"<!doctype html>{left}{png}{text}"})
    pictures = page.query_selector_all("img")
    assert [picture.evaluate(COLOURS) > 3 for picture in pictures] == [True, True]
    assert pictures[0].get_attribute("alt")
    assert "Figure(" in page.inner_text("pre") or "AttentionView(" in page.inner_text("pre")
    assert complaints == []
