"""The pages in a real Chromium: what is pointed at, walked over, ordered, printed and attacked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from made_runs import facts_of_a_fit, wells_of, write_run
from opened import CONTRAST, opened

from hts_classify import report
from hts_classify.report.runs import runs_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "it's \"quoted\" & 'so' </script><!-- ]]> {{7*7}} {% raw %}",
    "\u202egnorw si siht \u0645\u0631\u062d\u0628\u0627 \u2067x",
    "w" * 10_000,
    "\x01\x1b[31m\x7f\ufffe 🧫",
    "javascript:alert(1)",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 24 wells of one plate; the paths disagree on B07, B10 … of them."""
    wells = wells_of(["P1"], "BCD", range(2, 10))
    wells["Metadata_Compound"] = [f"compound {k // 2}" for k in range(24)]
    wells["Metadata_Concentration"] = 0.5
    folder = tmp_path_factory.mktemp("made")
    return report(write_run(folder, {"cnn-fold0": facts_of_a_fit()}, probable=True, wells=wells))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page where every name that a user gives is an attack: classes, compounds and plates."""
    wells = wells_of(HOSTILE[:3], "BC", range(2, 10))
    wells["Metadata_Compound"] = [HOSTILE[k % len(HOSTILE)] for k in range(len(wells))]
    wells["Metadata_Concentration"] = "<b>1</b>"
    folder = tmp_path_factory.mktemp("hostile")
    return report(write_run(folder, {}, wells=wells, classes=HOSTILE))


def card(page: Page) -> str:
    return page.locator("#card").inner_text()


def pointed(page: Page) -> str:
    """Return the well that has the focus, by its label."""
    label = page.evaluate("document.activeElement.getAttribute('aria-label')")
    return str(label).partition(":")[0]


def order(page: Page) -> list[str]:
    return page.locator(".gallery figcaption b").all_inner_texts()


def test_pointing_at_a_well_shows_its_card(browser: Browser, made: Path) -> None:
    with opened(browser, made) as page:
        assert not page.locator("#card").is_visible()
        wells = page.locator("svg.map").nth(1).locator("[data-well]")  # the CNN's calls
        wells.nth(5).hover()
        text = card(page)
        assert text.startswith("B07")
        assert "compound 2 × 0.5" in text
        assert "is nuclear" in text
        assert "TAS + SVM: nuclear ✓" in text
        assert "CNN: arrest ✗" in text
        assert page.locator("#card dl").count() == 2
        picture = page.locator("#card img")
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 128
        page.mouse.move(2, 2)
        assert not page.locator("#card").is_visible()


def test_the_card_stays_inside_the_window(browser: Browser, made: Path) -> None:
    with opened(browser, made, viewport={"width": 1000, "height": 640}) as page:
        for number in (0, 2, 3):  # wells at the right edge
            page.locator("svg.map").nth(number).locator("[data-well]").nth(23).hover()
            box = page.locator("#card").bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 1000
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= 640


def test_a_map_is_walked_with_the_keyboard(browser: Browser, made: Path) -> None:
    with opened(browser, made) as page:
        assert page.locator("svg.map [tabindex]").count() == 4  # one a map
        page.keyboard.press("Tab")
        assert pointed(page) == "B02"
        for key, well in [
            ("ArrowRight", "B03"),
            ("ArrowDown", "C03"),
            ("ArrowDown", "D03"),
            ("ArrowDown", "D03"),  # the edge
            ("End", "D09"),
            ("ArrowUp", "C09"),
            ("ArrowLeft", "C08"),
            ("Home", "C02"),
        ]:
            page.keyboard.press(key)
            assert pointed(page) == well
            assert card(page).startswith(well)
        page.keyboard.press("Escape")
        assert not page.locator("#card").is_visible()
        page.keyboard.press("Tab")
        assert pointed(page) == "B02"  # of the next map
        page.keyboard.press("Shift+Tab")
        assert pointed(page) == "C02"  # where one was
        assert page.locator("svg.map [tabindex]").count() == 4


def test_disagreements_are_ordered(browser: Browser, made: Path, hostile: Path) -> None:
    with opened(browser, made) as page:
        assert order(page) == ["B07", "C02", "C06"]
        found, well, target, _, cnn = page.locator("[data-order]").all()
        assert found.get_attribute("aria-pressed") == "true"
        cnn.focus()
        page.keyboard.press("Enter")
        assert cnn.get_attribute("aria-pressed") == "true"
        assert found.get_attribute("aria-pressed") == "false"
        # Among the eight wells of their models theirs is the 5th, the 3rd and the 2nd margin.
        assert order(page) == ["C06", "C02", "B07"]
        cnn.click()  # again: the other way round
        assert order(page) == ["B07", "C02", "C06"]
        well.click()
        well.click()
        assert order(page) == ["C06", "C02", "B07"]
        found.click()
        assert order(page) == ["B07", "C02", "C06"]
        assert target.inner_text() == "by class"
    with opened(browser, hostile) as page:  # here their classes are the 6th, the 3rd and the 7th
        page.get_by_role("button", name="by class").click()
        assert order(page) == ["C02", "B07", "C06"]


def test_disagreements_are_filtered(browser: Browser, made: Path) -> None:
    right = {"tas_svm": ["B07", "C06"], "cnn": ["C02"], "neither": [], "unknown": []}
    with opened(browser, made) as page:
        for choice, wells in {**right, "": ["B07", "C02", "C06"]}.items():
            page.get_by_label("show").select_option(choice)
            seen = page.locator(".gallery figure:visible b").all_inner_texts()
            assert seen == wells
            assert page.get_by_role("status").inner_text() == f"{len(wells)} shown"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("media", ["screen", "print"])
def test_text_can_be_read(browser: Browser, made: Path, scheme: Any, media: Any) -> None:
    with opened(browser, made, color_scheme=scheme) as page:
        page.emulate_media(media=media, color_scheme=scheme)
        if media == "screen":
            page.locator("[data-well]").first.hover()
        found = page.evaluate(CONTRAST)
        assert len(found) > 100
        assert [one for one in found if one[0] < 4.5] == []


def test_what_is_printed_has_the_figures_and_no_controls(browser: Browser, made: Path) -> None:
    with opened(browser, made) as page:
        page.emulate_media(media="print")
        assert page.locator("svg.map").first.is_visible()
        assert not page.get_by_role("button").first.is_visible()
        assert page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("which", ["made", "hostile"])
def test_a_narrow_window_is_not_overflown(
    browser: Browser, which: str, request: pytest.FixtureRequest
) -> None:
    file = request.getfixturevalue(which)
    with opened(browser, file, viewport={"width": 400, "height": 800}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_hostile_names_show_as_text(browser: Browser, hostile: Path) -> None:
    with opened(browser, hostile) as page:
        keys = page.locator(".key > span > bdi").evaluate_all("all => all.map(o => o.textContent)")
        assert sorted(keys) == sorted(HOSTILE)
        rows = page.locator("#overview th bdi").evaluate_all("all => all.map(o => o.textContent)")
        assert rows == list(HOSTILE[:3])
        seen = set()
        for number in range(len(HOSTILE)):
            page.locator("svg.map").first.locator("[data-well]").nth(number).hover()
            names = page.locator("#card .name").evaluate_all("all => all.map(o => o.textContent)")
            assert names[0] == HOSTILE[0]  # the plate
            assert names[1] == f"{HOSTILE[number]} × <b>1</b>"
            assert names[2] == HOSTILE[number]  # what it is
            seen |= set(names)
            box = page.locator("#card").bounding_box()
            assert box is not None
            assert box["height"] < 720
        assert seen >= set(HOSTILE)
        assert page.locator("#card img, script").count() == 3  # the picture, and ours
        assert page.evaluate("document.documentElement.scrollHeight") < 12_000


def test_names_do_not_turn_what_stands_beside_them(browser: Browser, hostile: Path) -> None:
    """A name that is written from right to left, and leaves its direction open, stays in itself."""
    ends = """all => all.map(span => {
        const at = (k) => {
            const range = document.createRange();
            range.setStart(span.firstChild, k);
            range.setEnd(span.firstChild, k + 1);
            return range.getBoundingClientRect().left;
        };
        return [at(0), at(1)];
    })"""
    with opened(browser, hostile) as page:
        found = page.locator(".gallery figcaption .soft").evaluate_all(ends)
        assert len(found) == 6
        assert all(first < second for first, second in found)


def test_a_plates_row_leads_to_its_maps(browser: Browser, hostile: Path) -> None:
    with opened(browser, hostile) as page:
        page.locator("#overview a").nth(2).click()
        assert page.evaluate("location.hash") == "#plate-3"
        top = page.evaluate("document.querySelector(':target').getBoundingClientRect().top")
        assert abs(top) < 5


def test_without_a_script_all_but_the_card_is_there(browser: Browser, made: Path) -> None:
    with opened(browser, made, java_script_enabled=False) as page:
        assert page.locator("svg.map title").count() == 4 * 24
        assert page.locator(".gallery figure").count() == 3
        assert not page.get_by_role("button").first.is_visible()


def test_nothing_can_be_loaded_and_no_other_script_runs(browser: Browser, made: Path) -> None:
    """The page's policy: what got in all the same would do nothing."""
    bad = made.with_name("bad.html")
    added = "<script>document.title = 'ran'</script><img src=x onerror=\"document.title = 'ran'\">"
    bad.write_text(made.read_text("utf-8").replace("</main>", f"{added}</main>"), "utf-8")
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(bad.as_uri())
    page.locator("[data-well]").first.hover()
    assert card(page).startswith("B02")
    assert page.title() != "ran"
    assert sum("Content Security Policy" in text for text in complaints) >= 2
    page.close()


def test_runs_side_by_side_show_hostile_names_as_text(
    browser: Browser, compared: Callable[[tuple[str, ...]], dict[str, Any]], tmp_path: Path
) -> None:
    file = runs_page(compared(HOSTILE), tmp_path / "runs.html")
    for scheme in ("light", "dark"):
        view = {"width": 400, "height": 800}
        with opened(browser, file, viewport=view, color_scheme=scheme) as page:
            heads = page.locator(".contestants th[scope=row]")
            assert heads.evaluate_all("all => all.map(o => o.textContent)") == list(HOSTILE)
            assert page.evaluate("document.documentElement.scrollWidth") == 400
            assert [one for one in page.evaluate(CONTRAST) if one[0] < 4.5] == []


@pytest.fixture
def compared() -> Callable[[tuple[str, ...]], dict[str, Any]]:
    """A comparison of runs of these names, as `compare_runs` leaves it."""

    def make(names: tuple[str, ...]) -> dict[str, Any]:
        one = {
            "correct": 20,
            "total": 24,
            "accuracy": 20 / 24,
            "interval": None,
            "balanced_accuracy": 0.8,
            "rates": {"macro_f1": 0.8, "kappa": None},
            "probable": None,
            "fields_per_s": 12.0,
        }
        pair = {"difference": 0.1, "interval": [-0.1, 0.3], "p": 0.3, "p_holm": 0.6}
        pair |= {"verdict": f"no difference: {names[0]}", "shown": False, "test": "sign-flip"}
        facts = dict.fromkeys(("protocol", "unit", "machine"), names[1])
        found = {
            "runs": [facts | {"name": n, "folder": n, "tested": 24, "dropped": 0} for n in names],
            "wells": 24,
            "groups": 6,
            "unit": "compound",
            "classes": list(names),
            "target": names[0],
            "notes": list(names),
            "contestants": [one | {"name": name} for name in names],
            "pairs": [pair | {"first": names[0], "second": name} for name in names[1:]],
        }
        return json.loads(json.dumps(found))

    return make
