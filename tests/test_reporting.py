"""Grids and plots to the pixel; reports and comparisons from run directories in every state."""

import base64
import hashlib
import io
import json
import math
import re
import shutil
import subprocess
import wave
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kallima.data.spec import Video
from kallima.errors import DataError, RunError, UsageError
from kallima.reporting import curves, page, wording
from kallima.reporting.compare import comparison_table, write_comparison
from kallima.reporting.grid import GAP, GAP_GREY, image_grid, point_plot, save_picture
from kallima.reporting.markdown import render_markdown
from kallima.reporting.neighbours import keep_neighbours, neighbour_grid
from kallima.reporting.report import write_report
from kallima.reporting.runs import Series, read_run
from kallima.reporting.sound import wave_file

HOSTILE = '</script><script>alert(1)</script><img src="http://example.org/x.png">'


def score(metric: str = "fid", value: float = 10.0, **changes: Any) -> dict[str, Any]:
    receipt = {
        "metric": metric,
        "value": value,
        "spread": 0.2,
        "spread_method": "jackknife",
        "direction": "lower",
        "extractor": "probe",
        "extractor_hash": "0123456789abcdef",
        "extractor_accuracy": 0.97,
        "resize": "none",
        "range": "0 to 255",
        "real": 1000,
        "generated": 1000,
        "data": "glyphs",
        "split": "test",
        "seed": 0,
        "kallima": "0.1.0",
        "seconds": 1.5,
        "notes": ["k = 3"],
    }
    return receipt | changes


def make_run(path: Path, *, scores: list[dict[str, Any]] | None = None, grids: int = 3, **changes: Any) -> Path:
    path.mkdir(parents=True)
    facts = {
        "format": 1,
        "recipe": "dcgan",
        "arguments": {"width": 32, "betas": [0.5, 0.999], "spectral": False},
        "spec": {"image": {"kind": "image", "channels": 1, "height": 8, "width": 8}},
        "source": {"name": "glyphs", "split": "train", "fingerprint": "ab" * 32, "examples": 1234, "size": 8},
        "training": {"steps": 300, "batch_size": 16, "seed": 0, "flip": True, "channels_last": True},
        "environment": {"torch": "2.13.0", "device": "cpu"},
        "status": "finished",
        "step": 300,
        "message": None,
        "created": "2025-11-21T08:14:02+00:00",
        "updated": "2025-11-21T08:19:14+00:00",
    }
    (path / "run.json").write_text(json.dumps(facts | changes))
    with (path / "events.jsonl").open("w") as file:
        for step in range(1, 301):
            for name in ("discriminator/adversarial", "generator/adversarial", "generator/gradient_norm"):
                file.write(json.dumps({"step": step, "name": name, "value": 1 / step}) + "\n")
    (path / "timing.jsonl").write_text('{"step": 300, "seconds": 72.5, "images_per_second": 640.0}\n')
    rng = np.random.default_rng(0)
    for index in range(grids):
        images = rng.integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)
        save_picture(path / "samples" / f"{(index + 1) * 100:08}.png", image_grid(images, scale=1))
    if scores is not None:
        (path / "scores.json").write_text(json.dumps({"step": 300, "scores": scores}))
    return path


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text of the scripts."""

    def __init__(self, html: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.scripts and self.cdata_elem == "script":
            self.scripts[-1] += data

    def tagged(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    def charts(self) -> list[dict[str, Any]]:
        return json.loads(self.scripts[0])


def report(run: Path) -> tuple[str, Elements]:
    html = write_report(run).read_text("utf-8")
    return html, Elements(html)


def refuse_outside(html: str) -> None:
    """Fail if the page would load anything or run a script that is not ours."""
    elements = Elements(html)
    for tag, attributes in elements.found:
        for name in ("src", "href", "srcset", "action", "data", "poster", "background"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:"), (tag, name, value)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert tag not in ("iframe", "object", "embed", "base", "form")
    for style in re.findall(r"<style>(.*?)</style>", html, re.DOTALL):
        assert "url(" not in style
        assert "@import" not in style
    policy = next(a["content"] for a in elements.tagged("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    scripts = elements.scripts[1:]
    assert len(scripts) == 3
    for text in scripts:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy


# Grids


def test_a_grid_is_exact_to_the_pixel() -> None:
    images = np.array([[[[10]]], [[[20]]], [[[30]]]], dtype=np.uint8)
    picture = np.asarray(image_grid(images, columns=2, scale=3))
    assert picture.shape == (6 + GAP, 6 + GAP)
    assert (picture[:3, :3] == 10).all()
    assert (picture[:3, 3 + GAP :] == 20).all()
    assert (picture[3 + GAP :, :3] == 30).all()
    assert (picture[3 : 3 + GAP] == GAP_GREY).all()
    assert (picture[3 + GAP :, 3 + GAP :] == GAP_GREY).all()  # the cell without an image


def test_enlarging_repeats_each_pixel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 3, 5, 3), dtype=np.uint8)
    picture = np.asarray(image_grid(images, scale=4))
    assert picture.shape == (12, 20, 3)
    np.testing.assert_array_equal(picture[::4, ::4], images[0])
    np.testing.assert_array_equal(picture[3::4, 3::4], images[0])


def test_opacity_blends_over_a_checkerboard() -> None:
    image = np.zeros((1, 16, 16, 4), dtype=np.uint8)
    image[0, :, :, 0] = 200
    image[0, :8, :, 3] = 255
    picture = np.asarray(image_grid(image, scale=1)).astype(int)
    assert (picture[:8] == [200, 0, 0]).all()
    assert (picture[8:, :8] == 208).all()
    assert (picture[8:, 8:] == 255).all()
    image[..., 3] = 51  # a fifth
    half = np.asarray(image_grid(image, scale=1))
    assert half[0, 0].tolist() == [244, 204, 204]  # 0.2 · (200, 0, 0) + 0.8 · 255
    assert half[0, 8].tolist() == [206, 166, 166]


@pytest.mark.parametrize(
    ("count", "height", "width", "columns", "rows"),
    [(64, 32, 32, 8, 8), (10, 8, 8, 4, 3), (8, 32, 64, 2, 4), (1, 9, 9, 1, 1)],
)
def test_a_grid_is_about_square(count: int, height: int, width: int, columns: int, rows: int) -> None:
    picture = image_grid(np.zeros((count, height, width, 1), dtype=np.uint8), scale=1)
    assert picture.size == (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP)


def test_small_images_are_enlarged_and_large_ones_left_alone() -> None:
    assert 400 < image_grid(np.zeros((64, 8, 8, 1), dtype=np.uint8)).width < 700
    assert image_grid(np.zeros((4, 400, 400, 3), dtype=np.uint8)).width == 800 + GAP


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 8, 8, 2), (0, 8, 8, 3)])
def test_what_is_no_stack_of_images_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError):
        image_grid(np.zeros(shape, dtype=np.uint8))
    with pytest.raises(UsageError):
        image_grid(np.zeros((1, 2, 2, 1), dtype=np.uint8), columns=0)


def test_saving_is_whole_or_not_at_all(tmp_path: Path) -> None:
    grid = image_grid(np.full((1, 4, 4, 3), 7, dtype=np.uint8), scale=1)
    save_picture(tmp_path / "new" / "a.png", grid)
    with Image.open(tmp_path / "new" / "a.png") as picture:
        assert np.asarray(picture).tolist() == np.asarray(grid).tolist()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]
    with pytest.raises(UsageError, match=r"\.png"):
        save_picture(tmp_path / "a.gridd", grid)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(RunError, match="cannot write"):
        save_picture(tmp_path / "folder.png", grid)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.png", "new"]


# Points


def test_a_point_is_drawn_where_it_lies() -> None:
    reference = np.array([[-1.0, -1.0], [1.0, 1.0]])
    empty = np.asarray(point_plot(np.zeros((0, 2)), reference, size=241)).astype(int)
    drawn = np.asarray(point_plot(np.array([[0.5, -0.25]]), reference, size=241)).astype(int)
    changed = np.argwhere((drawn != empty).any(axis=2) & (np.indices((241, 241))[0] > 40))  # below the legend
    # the axes span [-1.2, 1.2] over pixels 0 to 240: 0.5 lies at 170; -0.25, upwards, at 145
    np.testing.assert_array_equal(changed.mean(axis=0), [145, 170])
    assert np.ptp(changed, axis=0).max() <= 4


def test_axes_stay_with_the_reference_and_strays_are_left_out() -> None:
    reference = np.random.default_rng(0).normal(size=(200, 2))
    near = np.asarray(point_plot(reference[:5], reference)).astype(int)
    strays = np.concatenate([reference[:5], [[1e9, 0], [np.nan, 0]]])
    far = np.asarray(point_plot(strays, reference)).astype(int)
    np.testing.assert_array_equal(near[40:], far[40:])
    assert (near[:40] != far[:40]).any()  # the legend counts what is not shown


def test_many_dimensions_are_seen_along_the_principal_axes() -> None:
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(300, 2)) * [5.0, 2.0]
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    hidden = np.concatenate([plane, np.zeros((300, 4))], axis=1) @ rotation
    spread = np.asarray(point_plot(hidden, hidden)).astype(int)
    inked = np.argwhere((spread[..., 2] - spread[..., 0] > 60) & (np.indices(spread.shape[:2])[0] > 40))
    assert np.ptp(inked[:, 1]) > 400  # the long axis lies across
    assert 100 < np.ptp(inked[:, 0]) < 300


def test_one_dimension_is_a_histogram() -> None:
    reference = np.linspace(0, 1, 1000)[:, None]
    picture = np.asarray(point_plot(np.full((50, 1), 0.25), reference, size=240)).astype(int)
    blue = np.argwhere(picture[60, :, 2] - picture[60, :, 0] > 60)[:, 0]
    # [-0.1, 1.1] over 240 pixels: 0.25 lies at 70, in a bin 3.75 pixels wide
    assert 66 <= blue.min() <= 70 <= blue.max() <= 74


# Curves


def test_thinning_keeps_ends_extremes_and_gaps() -> None:
    values = np.sin(np.arange(50_000) / 3000)
    values[12_345], values[33_333], values[40_000] = 9.0, -9.0, np.nan
    thinned = curves.thin(Series(np.arange(50_000) * 10, values))
    assert len(thinned.steps) <= curves.MOST_POINTS
    assert (np.diff(thinned.steps) > 0).all()
    assert {0, 499_990, 123_450, 333_330, 400_000} <= set(thinned.steps.tolist())
    np.testing.assert_array_equal(values[thinned.steps // 10], thinned.values)


def test_the_running_mean_is_the_mean_of_its_window() -> None:
    values = np.random.default_rng(0).normal(size=301)
    values[100] = np.nan
    mean = curves.running_mean(Series(np.arange(301), values), window=11, most=1000)
    for place in (0, 3, 98, 200, 300):
        assert mean.values[place] == pytest.approx(np.nanmean(values[max(0, place - 5) : place + 6]))


def test_a_chart_holds_the_terms_of_a_phase() -> None:
    one = Series(np.array([1, 2]), np.array([1.0, np.nan]))
    names = ["critic/adversarial", "critic/penalty", "critic/gradient_norm", "generator/gradient_norm", "score/fid"]
    charts = curves.charts(dict.fromkeys(names, one))
    told = {chart["title"]: [line["label"] for line in chart["lines"]] for chart in charts}
    assert told == {
        "critic": ["adversarial", "penalty"],
        "gradient norm": ["critic", "generator"],
        "score: fid": ["fid"],
    }
    assert charts[0]["lines"][0]["points"] == [[1, 2], [1.0, None]]


# Reading


def test_a_line_cut_off_is_passed_over_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with (run / "events.jsonl").open("a") as file:
        file.write('{"step": 301, "name": "generator/adversarial", "value": 0.6')
    assert read_run(run).unreadable == ()
    assert len(read_run(run).series["generator/adversarial"].steps) == 300
    content = (run / "events.jsonl").read_text().replace('{"step": 7,', '{"step" 7,')
    (run / "events.jsonl").write_text(content)
    assert read_run(run).unreadable == ("3 damaged lines of events.jsonl",)
    assert "3 damaged lines of events.jsonl" in report(run)[0]


def test_sittings_add_up_and_a_step_told_twice_counts_once(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    lines = [(100, 10.0, 1.0), (200, 20.0, 2.0), (150, 4.0, 3.0), (200, 8.0, 4.0)]
    (run / "timing.jsonl").write_text(
        "".join(f'{{"step": {s}, "seconds": {t}, "images_per_second": {r}}}\n' for s, t, r in lines)
    )
    record = read_run(run)
    assert record.seconds == 28.0
    assert record.throughput.steps.tolist() == [100, 150, 200]
    assert record.throughput.values.tolist() == [1.0, 3.0, 4.0]


@pytest.mark.parametrize("content", [None, "{", "[]", "[" * 100_000, '{"format": 2}'])
def test_what_is_no_run_is_refused_in_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError) as caught:
        write_report(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


# The report


def test_the_report_holds_everything_and_loads_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", scores=[score(), score("precision", 0.7312, direction="higher", spread=0.011)])
    (run / "model").mkdir()
    (run / "model" / "README.md").write_text("# The card\n\nSee [the paper](https://arxiv.org/abs/1511.06434).\n")
    html, elements = report(run)
    refuse_outside(html)
    text = unescape(re.sub(r"<[^>]*>", " ", html))
    for words in ("10.00", "± 0.20", "0.731", "higher is better", "0123456789ab", "0.97", "1 min 12 s", "640", "1,234"):
        assert words in text
    assert "± of fid, precision: jackknife" in text
    assert "the paper (https://arxiv.org/abs/1511.06434)" in text
    assert "kallima train dcgan --data glyphs --size 8 --steps 300 --batch-size 16 --flip --width 32" in text
    assert "--betas 0.5,0.999 --no-spectral" in text
    titles = [chart["title"] for chart in elements.charts()]
    assert titles == ["discriminator", "generator", "gradient norm", "throughput"]
    assert elements.charts()[0]["lines"][0]["points"][1][:3] == [1.0, 0.5, 0.333333]


def test_the_slider_has_every_grid(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", grids=7)
    _, elements = report(run)
    pictures = elements.tagged("img")
    assert [picture["data-step"] for picture in pictures] == [str(step) for step in range(100, 701, 100)]
    assert ["hidden" in picture for picture in pictures] == [True] * 6 + [False]
    slider = next(field for field in elements.tagged("input") if field["type"] == "range")
    assert (slider["min"], slider["max"]) == ("0", "6")
    first = base64.b64decode((pictures[0]["src"] or "").split(",")[1])
    assert first == (run / "samples" / "00000100.png").read_bytes()


def test_too_many_grids_are_thinned_evenly_with_both_ends(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", grids=41)
    paths = read_run(run).pictures
    size = (run / "samples" / "00000100.png").stat().st_size
    pictures = page.inline_pictures(paths, budget=size * 11 + size // 2)
    steps = [picture.step for picture in pictures.shown]
    assert (steps[0], steps[-1], pictures.total) == (100, 4100, 41)
    assert 9 <= len(steps) <= 11
    assert np.ptp(np.diff(steps)) <= 100
    assert [picture.step for picture in page.inline_pictures(paths, budget=1).shown] == [4100]


def test_sounds_are_heard_step_by_step_and_thinned_where_they_weigh_too_much(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", grids=4)
    waves = {step: run / "samples" / f"{step:08}.wav" for step in range(100, 401, 100)}
    for step, path in waves.items():
        path.write_bytes(wave_file([np.full(400, step / 1000), np.zeros(200)], 8000))
    html, elements = report(run)
    refuse_outside(html)
    heard = elements.tagged("audio")
    assert [(sound["data-step"], "hidden" in sound) for sound in heard] == [
        *((str(step), True) for step in (100, 200, 300)),
        ("400", False),
    ]
    content = base64.b64decode((heard[1]["src"] or "").split(",")[1])
    assert content == waves[200].read_bytes()
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getframerate(), file.getnframes()) == (8000, 400 + 2000 + 200)  # a quarter of a second between
        levels = np.frombuffer(file.readframes(2600), "<i2")
    np.testing.assert_array_equal(levels, np.repeat([int(0.2 * 32768), 0], [400, 2200]))
    size = waves[100].stat().st_size
    assert [sound.step for sound in page.read_sounds(waves, budget=2 * size)] == [100, 400]
    assert [sound.step for sound in page.read_sounds(waves, budget=size)] == [400]
    assert page.read_sounds(waves, budget=size - 1) == []


def test_large_grids_become_jpeg_and_damaged_ones_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "run", grids=2)
    (run / "samples" / "00000300.png").write_bytes(b"")
    monkeypatch.setattr(page, "LARGE_PICTURE", 100)
    html, elements = report(run)
    assert "1 sample grid" in html
    assert "shown as JPEG" in html
    assert [(picture["src"] or "")[:16] for picture in elements.tagged("img")] == ["data:image/jpeg;"] * 2
    assert elements.tagged("img")[0]["width"] == str(16 + GAP)


def test_suspects_are_drawn_in_groups_to_the_pixel() -> None:
    rng = np.random.default_rng(0)
    for side, scale, across in ((8, 8, 3), (100, 1, 3), (128, 1, 2), (300, 1, 2)):
        groups = rng.integers(0, 256, (5, 4, side, side, 3), dtype=np.uint8)
        drawn = np.asarray(neighbour_grid(groups))
        wide = scale * min(side, 128)
        group = 4 * wide + 3 * GAP + 2 * GAP
        assert drawn.shape == (
            -(-5 // across) * (wide + 10 * GAP) - 10 * GAP,
            across * (group + 10 * GAP) - 10 * GAP,
            3,
        )
        if side <= 128:  # larger ones are reduced
            left, top = wide + 3 * GAP, wide + 10 * GAP
            assert np.array_equal(drawn[:wide:scale, :wide:scale], groups[0, 0])
            assert np.array_equal(drawn[:wide:scale, left : left + wide : scale], groups[0, 1])
            assert np.array_equal(drawn[top : top + wide : scale, :wide:scale], groups[across, 0])
        assert (drawn[:wide, wide : wide + 3 * GAP] == 255).all()
    for channels, mode in ((1, "L"), (4, "RGB")):
        assert neighbour_grid(rng.integers(0, 256, (1, 3, 300, 200, channels), dtype=np.uint8)).mode == mode


def test_the_suspects_stand_beside_the_score_of_memorisation(tmp_path: Path) -> None:
    scores = [score(), score("memorisation", 0.04, held_out=500, held_out_fingerprint="cd" * 32)]
    run = make_run(tmp_path / "run", scores=scores)
    assert "Nearest training images" not in report(run)[0]
    groups = np.random.default_rng(0).integers(0, 256, (12, 4, 8, 8, 1), dtype=np.uint8)
    keep_neighbours(run)(groups)
    html, elements = report(run)
    refuse_outside(html)
    pictures = elements.tagged("img")
    last = pictures[-1]
    assert base64.b64decode((last["src"] or "").split(",")[1]) == (run / "neighbours.png").read_bytes()
    assert "data-step" not in last
    assert "samples that lie nearest to a training image" in html
    assert "cdcdcdcdcdcd" in html
    slider = next(field for field in elements.tagged("input") if field["type"] == "range")
    assert slider["max"] == str(len(pictures) - 2)  # they are no step of the samples
    (run / "neighbours.png").write_bytes(b"")
    html, _ = report(run)
    assert "neighbours.png, which is damaged" in html
    keep_neighbours(run)
    assert not (run / "neighbours.png").exists()
    keep_neighbours(run)(groups)
    (run / "scores.json").write_text(json.dumps({"step": 300, "scores": [score()]}))
    assert "Nearest training images" not in report(run)[0]  # they are of a judgement before


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run",
        scores=[score(HOSTILE, notes=[HOSTILE], extractor=HOSTILE, data=HOSTILE, direction=HOSTILE, value=HOSTILE)],
        recipe=HOSTILE,
        arguments={HOSTILE: HOSTILE},
        source={"name": HOSTILE, "fingerprint": HOSTILE},
        environment={"device_name": HOSTILE},
        spec={HOSTILE: {"kind": HOSTILE}, "label": {"kind": "label", "classes": [HOSTILE]}},
        training={"steps": HOSTILE, "batch_size": HOSTILE},
        status='failed" onload="alert(1)',
        message=HOSTILE,
    )
    with (run / "events.jsonl").open("a") as file:
        file.write(json.dumps({"step": 1, "name": f"{HOSTILE}/{HOSTILE}", "value": 1.0}) + "\n")
    (run / "model").mkdir()
    (run / "model" / "README.md").write_text(
        f"# {HOSTILE}\n\n{HOSTILE}\n\n`{HOSTILE}`\n\n- [{HOSTILE}](javascript:x)\n"
    )
    for html in (report(run)[0], write_comparison([run, run], tmp_path / "compare.html").read_text("utf-8")):
        refuse_outside(html)
        assert len(Elements(html).scripts) == 4
        assert "alert(1)" in unescape(html)


def test_a_run_just_begun_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"format": 1, "recipe": "gan", "status": "running", "step": 0}')
    html, elements = report(tmp_path)
    refuse_outside(html)
    assert elements.charts() == []
    for words in ("No samples yet", "Not judged yet", "Nothing was recorded yet", "running"):
        assert words in html


def test_what_is_not_finite_is_told_and_leaves_a_gap(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", scores=[score(value=math.nan)], status="failed", message="the loss is NaN")
    with (run / "events.jsonl").open("a") as file:
        file.write('{"step": 400, "name": "generator/adversarial", "value": NaN}\n')
        file.write('{"step": 401, "name": "generator/adversarial", "value": Infinity}\n')
    html, elements = report(run)
    assert "the loss is NaN" in html
    assert "generator/adversarial from step 400" in html
    line = next(chart for chart in elements.charts() if chart["title"] == "generator")["lines"][0]
    assert line["points"][1][-2:] == [None, None]
    assert line["mean"] is not None


# Comparisons


def test_the_best_is_named_only_over_equal_receipts(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", scores=[score(value=10.0), score("recall", 0.5, direction="higher", spread=None)])
    second = make_run(tmp_path / "b", scores=[score(value=8.0), score("recall", 0.6, direction="higher", spread=None)])
    rows = comparison_table([first, second])
    assert [[told["best"] for told in row["scores"]] for row in rows] == [[False, False], [True, True]]
    assert 'class="best"' in write_comparison([first, second], tmp_path / "x.html").read_text("utf-8")
    for field, value in {"extractor_hash": "ffff", "generated": 500, "split": "train", "data": "digits"}.items():
        other = make_run(tmp_path / field, scores=[score(value=1.0, **{field: value})])
        fid = [row["scores"][0] for row in comparison_table([first, second, other])]
        assert [told["best"] for told in fid] == [False] * 3
        assert all(told["differs"] == [field] for told in fid)
        html = write_comparison([first, other], tmp_path / "y.html").read_text("utf-8")
        assert 'class="best"' not in html
        assert f"differs in {field.replace('_', ' ')}" in html


def test_a_lead_within_the_spread_is_a_tie(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / name, scores=[score(value=value)])
        for name, value in {"a": 10.0, "b": 9.9, "c": math.nan}.items()
    ]
    told = [row["scores"][0] for row in comparison_table(runs)]
    assert [entry["best"] for entry in told] == [False] * 3
    assert [entry["tied"] for entry in told] == [["b"], ["a"], []]  # 0.1 apart, each ± 0.2
    assert [entry["rank"] for entry in told] == [1, 1, None]
    assert told[2]["value"] is None
    json.dumps(told, allow_nan=False)
    same = [row["scores"][0]["best"] for row in comparison_table([runs[0], runs[0]])]
    assert same == [False, False]  # a tie has no winner


def test_a_comparison_overlays_curves_and_tells_settings_apart(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a" / "run")
    second = make_run(tmp_path / "b" / "run", arguments={"width": 64, "betas": [0.5, 0.999], "extra": "yes"})
    html = write_comparison([first, second], tmp_path / "out" / "x.html").read_text("utf-8")
    refuse_outside(html)
    elements = Elements(html)
    adversarial = elements.charts()[0]
    assert adversarial["title"] == "discriminator/adversarial"
    assert [(line["label"], line["colour"]) for line in adversarial["lines"]] == [("run (1)", 0), ("run (2)", 1)]
    assert len(elements.tagged("img")) == 2
    differing = re.search(r"Settings that differ</h2>(.*?)<details", html, re.DOTALL)
    assert differing is not None
    rows = re.findall(r"<tr><th>(arguments.*?)</th>", differing[1])
    assert rows == ["arguments: width", "arguments: spectral", "arguments: extra"]
    with pytest.raises(UsageError):
        write_comparison([first], tmp_path / "x.html")


# Words


def test_markdown_is_rendered_and_escaped() -> None:
    html = render_markdown(
        "---\nlicense: x\n---\n# Title\nOne *two* **three** `a < b` & D*(x) and V(D*, G)\n\n    min  G\n      max D\n\n"
        "- a\n  more\n- b\n\n1. c\n\n| x | y |\n|---|---|\n| 1 | <b> |\n\n```\n<i>\n```\n![p](http://e.org/p.png)"
    )
    assert html == (
        "<h3>Title</h3>\n<p>One <em>two</em> <strong>three</strong> "
        "<code>a &lt; b</code> &amp; D*(x) and V(D*, G)</p>\n"
        "<pre><code>min  G\n  max D</code></pre>\n<ul><li>a more</li><li>b</li></ul>\n<ol><li>c</li></ol>\n"
        "<table><thead><tr><th>x</th><th>y</th></tr></thead><tbody><tr><td>1</td><td>&lt;b&gt;</td></tr></tbody></table>\n"
        "<pre><code>&lt;i&gt;</code></pre>\n<p>p (http://e.org/p.png)</p>"
    )


@pytest.mark.parametrize(
    "text", ["", "```\nopen", "|", "- ", "#", "    ", "|-|\n|-|", "1.\n1. ", "\x00`", "*" * 50_000, "[" * 50_000]
)
def test_markdown_takes_any_text(text: str) -> None:
    assert "<script" not in render_markdown(text + "\n<script>")


def test_numbers_read_well() -> None:
    assert wording.amount(24800) == "24,800"
    assert wording.amount(0.00021) == "0.00021"
    assert wording.measured(11.304, 0.2149) == ("11.30", "0.21")
    assert wording.measured(0.004119, 0.00031) == ("0.00412", "0.00031")
    assert wording.measured(1234.5, 40.0) == ("1,234", "40")
    assert wording.measured(math.nan, 0.1) == ("not finite", "0.1")
    assert [wording.duration(s) for s in (0.25, 42, 312, 11_220, 190_000)] == [
        "0.2 s",
        "42 s",
        "5 min 12 s",
        "3 h 07 min",
        "2 d 4 h",
    ]
    assert wording.moment("2025-11-21T08:14:02+00:00") == "21 November 2025, 08:14 UTC"
    assert wording.moment("lately") == "lately"
    assert wording.field({"kind": "audio", "rate": 8000, "samples": 4000}) == "0.5 s at 8,000 samples a second"
    assert wording.field(Video(3, 1, 16, 8).to_json()) == "3 frames of 8 × 16 pixels"


# In a browser

PROBE = """
const shown = () => [...document.querySelectorAll(".stage img")].findIndex((picture) => !picture.hidden);
const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key }));
const seen = [shown()];
press("ArrowLeft"); seen.push(shown());
press("ArrowLeft"); press("ArrowLeft"); press("ArrowLeft"); seen.push(shown());
press("ArrowRight"); seen.push(shown());
const slider = document.querySelector(".controls input");
slider.value = 2; slider.dispatchEvent(new Event("input")); seen.push(shown());
document.getElementById("logarithmic").click();
document.documentElement.dataset.seen = seen.join(" ");
document.documentElement.dataset.canvases = document.querySelectorAll("figure.chart canvas").length;
"""


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""


@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
def test_the_scripts_run_under_the_policy(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    html = write_report(run).read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    html = html.replace("script-src ", f"script-src &#39;sha256-{digest}&#39; ", 1)
    (tmp_path / "probed.html").write_text(html.replace("</body>", f"<script>{PROBE}</script></body>"), "utf-8")
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--enable-logging=stderr", "--dump-dom"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    process = subprocess.run(
        [CHROMIUM, *options, *quiet, profile, (tmp_path / "probed.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "CONSOLE" not in process.stderr, process.stderr
    root = Elements(process.stdout).tagged("html")[0]
    assert root["data-charts"] == "4"
    assert root["data-canvases"] == "4"
    assert root["data-samples"] == "3"
    assert root["data-seen"] == "2 1 0 1 2"
