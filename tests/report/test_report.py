"""The report, read as text, and opened in a real browser."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from reproduce.common.errors import UserError
from reproduce.experiments.claims.evidence import gather
from reproduce.report import page as report
from reproduce.report.sections import all_sections

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
MARKS = np.array([20_000, 100_000, 1_000_000])
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def curve(algorithm, level, **identity):
    identity = {"dataset": "mnist", "n_latent": 10, "n_train": 50_000} | identity
    return pd.concat(
        pd.DataFrame({**identity, "algorithm": algorithm, "seed": seed, "split": split,
                      "samples": MARKS, "value": level + seed + np.log10(MARKS)})
        for seed in (0, 1)
        for split in ("train", "test", "train_running")
    )  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder with a part of what there can be."""
    root = tmp_path_factory.mktemp("results")
    folder = root / "figure1" / "laptop"
    folder.mkdir(parents=True)
    bounds = pd.concat(
        [curve("aevb", -130), curve("wake_sleep", -140), curve("mine", -120),
         curve("aevb", 900, dataset="freyface", n_train=1600)]
    )  # fmt: skip
    bounds.to_csv(folder / "curves.csv", index=False)
    likelihoods = curve("mcem", -150, n_latent=3, n_train=1000).assign(
        estimator="quadrature", stderr=1.0
    )
    folder = root / "figure2" / "laptop"
    folder.mkdir(parents=True)
    likelihoods[likelihoods["split"] != "train_running"].to_csv(folder / "curves.csv", index=False)
    report.main([f"results={root}"])
    return root


def test_it_says_what_is_missing_and_how_to_make_it(results):
    page = (results / "report" / "index.html").read_text(encoding="utf-8")
    for verb in ("figure figure=manifolds", "figure figure=samples", "diagnostics"):
        assert f"<code>reproduce {verb}</code>" in page
    assert page.count("The committed ones:") == 2  # estimators and step sizes, of this code
    assert not re.search(r'(?:src|href)="(?!data:|#)', page.split("<script>")[0])


def test_what_is_there_is_not_called_missing(results):
    sections = {s.name: s for s in all_sections(results, gather(results))}
    assert not sections["figure1"].missing
    assert len(sections["figure1"].panels) == 2
    assert [name for name, _, _ in sections["figure1"].algorithms] == ["aevb", "wake_sleep", "mine"]
    first = json.loads(sections["figure1"].panels[0].figure)
    assert {trace["meta"]["kind"] for trace in first["data"]} == {"mean", "seeds", "published"}


def test_names_from_files_cannot_become_markup(results, tmp_path):
    folder = tmp_path / "figure1" / "laptop"
    folder.mkdir(parents=True)
    curve("<script>alert(1)</script>", -130).to_csv(folder / "curves.csv", index=False)
    page = report.render(tmp_path)
    assert "<script>alert(1)" not in page.replace(report.get_plotlyjs(), "")


def test_an_empty_folder_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="reproduce figure figure=figure1"):
        report.main([f"results={tmp_path}"])
    with pytest.raises(UserError, match="Usage"):
        report.main(["a", "b"])


def test_a_table_that_is_no_text_is_one_sentence(tmp_path):
    figure, folder = tmp_path / "figure1" / "laptop", tmp_path / "diagnostics"
    figure.mkdir(parents=True)
    folder.mkdir()
    curve("aevb", -130).to_csv(figure / "curves.csv", index=False)
    (folder / "table.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"diagnostics/table\.md is not text in UTF-8"):
        report.render(tmp_path)


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield running
        running.close()


@pytest.mark.integration
@pytest.mark.parametrize("size", [(1280, 900), (390, 844)], ids=["laptop", "phone"])
def test_in_a_browser(results, browser, size):
    """Every plot drawn, switches work, nothing complains, nothing is asked of a network."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    complaints, requests = [], []
    page.on("console", lambda m: complaints.append(m.text) if m.type != "log" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    address = (results / "report" / "index.html").as_uri()
    page.goto(address)
    page.wait_for_selector("html[data-ready=true]")

    plots = page.locator(".plot")
    assert plots.count() == 3
    for index in range(3):
        assert plots.nth(index).locator(".scatterlayer .trace").count() >= 2
        assert plots.nth(index).get_attribute("aria-label").endswith(".")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]

    first = page.locator("#figure1-mnist-10-50000")
    traces = first.locator(".scatterlayer .trace")

    def drawn():
        """How many curves there are once Plotly has caught up."""
        page.wait_for_timeout(100)
        return traces.count()

    controls = page.locator("form[data-group=figure1]")
    everything = drawn()
    assert everything == 6 + 4  # means of three algorithms, published of two; both splits
    for name, value, left in (
        ("algorithm", "mine", everything - 2),
        ("split", "test", everything // 2),
        ("kind", "published", 6),
    ):
        box = controls.locator(f"input[name={name}][value={value}]")
        box.uncheck()
        assert drawn() == left
        box.check()
    controls.locator("input[name=kind][value=seeds]").focus()
    page.keyboard.press("Space")
    assert drawn() == everything + 12
    kind = "document.querySelector('#figure1-mnist-10-50000').layout.xaxis"
    assert page.evaluate(f"{kind}.type") == "log"
    _, high = page.evaluate(f"{kind}.range")
    controls.locator("input[name=log]").uncheck()
    page.wait_for_timeout(100)
    assert page.evaluate(f"{kind}.type") == "linear"
    assert page.evaluate(f"{kind}.range[1]") == pytest.approx(10**high)
    # The other figure has switches of its own.
    other = "document.querySelector('#figure2-mnist-3-1000').layout.xaxis.type"
    assert page.evaluate(other) == "linear"
    page.locator("form[data-group=figure2] input[name=log]").check()
    page.wait_for_timeout(100)
    assert page.evaluate(other) == "log"
    assert page.evaluate(f"{kind}.type") == "linear"

    first.hover(position={"x": 150, "y": 150})
    page.locator("summary").first.click()
    assert page.locator("details dl").first.is_visible()
    assert complaints == []
    assert requests == [address]
    page.close()
