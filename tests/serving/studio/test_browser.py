"""The page in a real browser: from upload to answer, in both themes, narrow and wide, with axe-core's rules."""

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright of the extra 'browser' is not installed")
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python of the extra 'browser' is not installed"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; `apt-get install chromium` gets it"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        # Containers run tests as root, where Chromium has no sandbox.
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(chromium: Any, port: int) -> Iterator[Any]:
    # axe-core is put into the page, which the page's own policy would refuse.
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True)
    context.set_default_timeout(120_000)
    found = context.new_page()
    troubles: list[str] = []
    found.on("pageerror", lambda error: troubles.append(str(error)))
    found.on("request", lambda request: troubles.extend([] if "127.0.0.1" in request.url else [request.url]))
    found.goto(f"http://127.0.0.1:{port}/")
    found.wait_for_function("document.getElementById('model').textContent === 'The model is ready.'")
    yield found
    context.close()
    assert [one for one in troubles if not one.startswith("data:")] == []


def choose(page: Any, clip: Path) -> None:
    page.set_input_files("#file", str(clip))
    page.wait_for_selector("#picture[src]")
    page.wait_for_selector("#video-work", state="hidden")


def ask(page: Any) -> None:
    page.fill("#choices", "left\nright")
    page.click("#ask-button")
    page.wait_for_selector("#answer-dense")
    page.wait_for_selector("#ask-work", state="hidden")


def test_from_upload_to_answer_in_both_themes_and_at_two_widths(page: Any, clip: Path) -> None:
    choose(page, clip)
    ask(page)
    assert page.locator("#answers article").count() == 3
    assert page.locator("#answers .error").count() == 0
    assert page.locator("#gates svg").count() == 1
    assert page.locator("#budget .bar").count() == 3
    grounds = set()
    for theme in ("light", "dark"):
        page.select_option("#theme", theme)
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        for width in (375, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            found = axe.Axe().run(page).response["violations"]
            assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    assert len(grounds) == 2


def test_pictures_are_stepped_through_by_keyboard(page: Any, clip: Path) -> None:
    choose(page, clip)
    page.focus("#playhead")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.getElementById('now').textContent.includes('picture 2 of 24')")
    assert page.get_attribute("#playhead", "aria-valuetext") == page.inner_text("#now")
    assert "picture 1 " in page.get_attribute("#motion", "alt")
    page.keyboard.press("PageDown")
    page.wait_for_function("document.getElementById('now').textContent.includes('anchor 2')")


def test_other_anchors_move_the_line_and_the_budget(page: Any, clip: Path) -> None:
    choose(page, clip)
    page.wait_for_selector("#budget .bar")
    before = page.inner_text("#budget")
    page.fill("#num_anchors", "2")
    page.dispatch_event("#num_anchors", "change")
    page.wait_for_function("document.querySelectorAll('#line .anchor').length === 2")
    page.wait_for_function("before => document.getElementById('budget').innerText !== before", arg=before)


def test_a_bad_file_is_a_sentence_on_the_page(page: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing to see")
    page.set_input_files("#file", str(bad))
    page.wait_for_selector("#video-error", state="visible")
    assert page.inner_text("#video-error").endswith(".")


def test_a_question_can_be_cancelled(page: Any, clip: Path) -> None:
    choose(page, clip)
    # The answer never comes, so that there is always something to cancel.
    page.route("**/ask", lambda route: None)
    page.click("#ask-button")
    page.wait_for_selector("#ask-work", state="visible")
    page.click("#ask-cancel")
    page.wait_for_selector("#ask-work", state="hidden")
    assert page.is_hidden("#ask-error")
    page.unroute("**/ask")
    ask(page)


def test_what_an_earlier_request_holds_up_is_waited_for(page: Any, clip: Path) -> None:
    choose(page, clip)
    refused: list[str] = []

    def answer(route: Any) -> None:
        if len(refused) == 2:
            route.continue_()
            return
        refused.append(page.inner_text("#video-stage"))
        route.fulfill(status=429, json={"error": "Your earlier request is still being worked on; wait for its end."})

    page.route("**/line", answer)
    page.fill("#num_anchors", "2")
    page.dispatch_event("#num_anchors", "change")
    page.wait_for_function("document.querySelectorAll('#line .anchor').length === 2")
    assert page.is_hidden("#video-error")
    assert "Waiting for the end of your earlier request" in refused[1]


def test_a_file_is_taken_wherever_it_is_dropped(page: Any, clip: Path) -> None:
    content = base64.b64encode(clip.read_bytes()).decode()
    page.evaluate(
        """content => {
            const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0)), files = new DataTransfer();
            files.items.add(new File([bytes], "dropped.mp4"));
            const dropped = { dataTransfer: files, bubbles: true, cancelable: true };
            document.querySelector("footer").dispatchEvent(new DragEvent("drop", dropped));
        }""",
        content,
    )
    page.wait_for_selector("#picture[src]")
    assert page.inner_text("#about").startswith("dropped.mp4: h264")


def test_what_the_model_was_trained_with_is_taken_however_late_it_is_there(page: Any, clip: Path) -> None:
    late = [True]

    def answer(route: Any) -> None:
        told = route.fetch().json()
        route.fulfill(json={**told, "ready": False} if late else told)

    page.route("**/api/state", answer)
    page.reload()
    choose(page, clip)
    assert page.input_value("#num_anchors") == "8"
    page.fill("#steps_per_interval", "5")
    page.dispatch_event("#steps_per_interval", "change")
    late.clear()
    page.wait_for_function("document.querySelectorAll('#line .anchor').length === 3")
    assert page.input_value("#num_anchors") == "3"
    # What somebody has set stays.
    assert page.input_value("#steps_per_interval") == "5"


def test_settings_do_not_stop_a_video_that_is_on_its_way(page: Any, clip: Path) -> None:
    choose(page, clip)
    waiting: list[Any] = []
    page.route("**/api/videos", lambda route: waiting.append(route))
    page.set_input_files("#file", str(clip))
    page.wait_for_selector("#video-work", state="visible")
    page.fill("#num_anchors", "2")
    page.dispatch_event("#num_anchors", "change")
    page.wait_for_timeout(600)
    assert page.is_visible("#video-work")
    waiting[0].continue_()
    page.wait_for_function("document.querySelectorAll('#line .anchor').length === 2")
