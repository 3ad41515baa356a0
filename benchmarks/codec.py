"""Rate and distortion of trained codecs beside JPEG, WebP and AVIF, on images that none of them was trained on.

    python benchmarks/codec.py photos OUT.npz --datasets DIR           # the training images: photographs at 64×64
    kallima train scale-hyperprior --data OUT.npz --trade 0.01 …
    python benchmarks/codec.py curves [RUN …] --on NAME=IMAGES … [--count 100] [--picture OUT.png]
    python benchmarks/codec.py table

Every image is a file of its own that is read back; errors are of the pixels read. PSNR is the mean of each image's, and
so are bits a pixel: of the whole file, and of its payload: of JPEG the scan without any header or table, of WebP what
follows its 30 bytes of headers, of AVIF the `mdat` box, of ours the coded numbers. Seconds are processor time, a median
over images, from pixels to bytes and from bytes to pixels. Results are kept in benchmarks/results/codec.jsonl, the
table goes between its markers in docs/results.md.
"""

import argparse
import csv
import gzip
import io
import json
import os
import platform
import re
import statistics
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from PIL import Image, ImageDraw

import kallima
from kallima.compression.codec import Codec

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "codec.jsonl"
PAGE = ROOT / "docs" / "results.md"
START, END = "<!-- codec: written by benchmarks/codec.py -->\n", "<!-- end of codec -->\n"
QUALITIES = (2, 5, 10, 15, 20, 30, 50, 70, 90)
OTHERS: dict[str, dict[str, Any]] = {
    "jpeg": {"format": "JPEG", "optimize": True},
    "jpeg 4:4:4": {"format": "JPEG", "optimize": True, "subsampling": 0},
    "webp": {"format": "WEBP", "method": 6},
    "avif": {"format": "AVIF", "speed": 6},
}

Coder = tuple[Callable[[np.ndarray], bytes], Callable[[bytes], np.ndarray], Callable[[bytes], int]]
"""Pixels uint8 (H, W, 3) to bytes, bytes to pixels, and how many of the bytes are payload."""


def photographs(datasets: Path) -> np.ndarray:
    """Gather training images: a third of the flowers, the scenes and the Flickr photographs, all at 64×64."""
    flowers, scenes, flickr = (datasets / name for name in ("flowers64", "miml_scenes", "flickr8k_small"))
    chosen = [
        (flowers / "flowers64.tar.gz", _of_training(flowers / "labels.csv", ",")[::3]),
        (scenes / "miml_scenes96.tar.gz", _of_training(scenes / "labels.csv", ",")),
        (flickr / "flickr8k_96.tar.gz", _of_training(flickr / "captions.tsv.gz", "\t")),
    ]
    found = []
    for archive, names in chosen:
        wanted = set(names)
        for name, image in _members(archive):
            if name in wanted:
                found.append(np.asarray(image.resize((64, 64), Image.Resampling.LANCZOS)))
    return np.stack(found)


def _of_training(table: Path, delimiter: str) -> list[str]:
    content = gzip.decompress(table.read_bytes()) if table.suffix == ".gz" else table.read_bytes()
    rows = csv.DictReader(io.StringIO(content.decode()), delimiter=delimiter)
    return [row["file"] for row in rows if row["split"] == "train"]


def _members(archive: Path) -> Iterator[tuple[str, Image.Image]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None and member.name.lower().endswith((".png", ".jpg", ".jpeg")):
                yield member.name, Image.open(io.BytesIO(file.read())).convert("RGB")


def held_out(place: Path, count: int) -> list[np.ndarray]:
    """Return the first images of an archive or an .npz (array `x`), RGB."""
    if place.suffix == ".npz":
        return list(np.load(place)["x"][:count])
    return [np.asarray(image) for _, image in _members(place)][:count]


def by_pillow(options: dict[str, Any], quality: int) -> Coder:
    def encode(image: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, quality=quality, **options)
        return buffer.getvalue()

    payload = {"JPEG": scan_of_jpeg, "WEBP": lambda data: len(data) - 30, "AVIF": mdat_of_avif}[options["format"]]
    return encode, lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), payload


def scan_of_jpeg(data: bytes) -> int:
    """Count the bytes between the header of the (only) scan and the end of the image."""
    place = 2
    while data[place + 1] != 0xDA:  # start of scan
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
    place += 2 + int.from_bytes(data[place + 2 : place + 4])
    return len(data) - place - 2


def mdat_of_avif(data: bytes) -> int:
    """Count the bytes of the box that holds the coded image."""
    place = 0
    while data[place + 4 : place + 8] != b"mdat":
        place += int.from_bytes(data[place : place + 4])
    return int.from_bytes(data[place : place + 4]) - 8


def by_run(run: Path) -> Coder:
    codec = Codec(kallima.load(run, device="cpu"))
    from kallima.compression.container import OVERHEAD

    return lambda image: codec.write(image).data, codec.read, lambda data: len(data) - OVERHEAD


def judge(coder: Coder, images: list[np.ndarray]) -> dict[str, float]:
    """Code every image and read it back."""
    encode, decode, payload = coder
    found: dict[str, list[float]] = {name: [] for name in ("bpp", "payload_bpp", "psnr", "encode", "decode")}
    for image in images:
        start = time.process_time()
        data = encode(image)
        middle = time.process_time()
        back = decode(data)
        end = time.process_time()
        pixels = image.shape[0] * image.shape[1]
        error = np.mean((back.astype(float) - image) ** 2)
        numbers = (len(data), payload(data))
        found["bpp"].append(8 * numbers[0] / pixels)
        found["payload_bpp"].append(8 * numbers[1] / pixels)
        found["psnr"].append(10 * np.log10(255**2 / max(error, 1e-3)))
        found["encode"].append(middle - start)
        found["decode"].append(end - middle)
    means = {name: float(np.mean(found[name])) for name in ("bpp", "payload_bpp", "psnr")}
    return means | {name: statistics.median(found[name]) for name in ("encode", "decode")}


def curves(runs: list[Path], sets: dict[str, Path], count: int) -> None:
    """Judge all codecs on all sets and keep what comes out; other codecs' results are found once."""
    kept = load()
    where = {"kallima": kallima.__version__, "torch": torch.__version__, "machine": platform.machine()}
    with RESULTS.open("a") as file:
        for name, place in sets.items():
            images = held_out(place, count)
            size = {"set": name, "images": len(images)}
            named: list[tuple[dict[str, Any], Callable[[], Coder]]] = [
                ({"codec": other, "quality": quality}, lambda o=options, q=quality: by_pillow(o, q))
                for other, options in OTHERS.items()
                for quality in QUALITIES
            ]
            for run in runs:
                about = json.loads((run / "run.json").read_text())
                told = {"codec": about["recipe"], "trade": about["arguments"]["trade"], "steps": about["step"]}
                named.append((told | {"seed": about["training"]["seed"]}, lambda r=run: by_run(r)))
            for label, make in named:
                if any((size | label).items() <= row.items() for row in kept):
                    continue
                row = size | label | judge(make(), images)
                file.write(json.dumps(row | where) + "\n")
                print(row, flush=True)


def load() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def at_rate(rows: list[dict[str, Any]], rate: float, by: str) -> float | None:
    """Return the PSNR of a codec at a rate, between its qualities on a logarithmic scale; None outside of them."""
    points = sorted((row[by], row["psnr"]) for row in rows)
    if not points or not points[0][0] <= rate <= points[-1][0]:
        return None
    rates, values = zip(*points, strict=True)
    return float(np.interp(np.log(rate), np.log(rates), values))


def table(rows: list[dict[str, Any]]) -> str:
    """Write a row for each trained codec: what the others reach with as many bits."""
    lines = []
    for name in dict.fromkeys(row["set"] for row in rows):
        here = [row for row in rows if row["set"] == name]
        lines += [f"**{name}**, {here[0]['images']} images", ""]
        others = list(OTHERS)
        lines.append("| codec | λ | steps | bits a pixel: payload / file | PSNR, dB | " + " | ".join(others) + " | ")
        lines[-1] = lines[-1].strip()
        lines.append("|" + "---|" * (5 + len(others)))
        for row in here:
            if "trade" not in row:
                continue
            cells = []
            for other in others:
                own = [r for r in here if r["codec"] == other]
                both = (at_rate(own, row[by], by) for by in ("payload_bpp", "bpp"))
                cells.append(" / ".join("–" if value is None else f"{value:.2f}" for value in both))
            start = (
                f"| {row['codec']} | {row['trade']:g} | {row['steps']:,} | {row['payload_bpp']:.3f} / {row['bpp']:.3f} "
            )
            lines.append(start + f"| {row['psnr']:.2f} | " + " | ".join(cells) + " |")
        times = {
            row["codec"]: f"{row['codec']} {1e3 * row['encode']:.1f} / {1e3 * row['decode']:.1f}"
            for row in here
            if "trade" in row or row["quality"] == 50
        }
        lines += ["", "Milliseconds an image, encoding / decoding: " + ", ".join(times.values()) + ".", ""]
    return "\n".join(lines)


def picture(runs: list[Path], image: np.ndarray, box: tuple[int, int, int, int], out: Path) -> None:
    """Draw a crop of an image as it is and as each codec gives it, with as many bits as the first run takes or more."""
    shown = [("original", image, 0.0)]
    pixels = image.shape[0] * image.shape[1]
    for run in runs:
        encode, decode, _ = by_run(run)
        data = encode(image)
        about = json.loads((run / "run.json").read_text())
        name = f"{about['recipe']}, trade {about['arguments']['trade']:g}"
        shown.append((name, decode(data), 8 * len(data) / pixels))
    for other in ("jpeg", "webp", "avif"):
        coders = (by_pillow(OTHERS[other], quality) for quality in range(1, 96))
        files = ((coder, coder[0](image)) for coder in coders)
        coder, data = next((c, d) for c, d in files if 8 * len(d) / pixels >= shown[1][2])
        shown.append((other, coder[1](data), 8 * len(data) / pixels))
    left, top, right, bottom = box
    width, height = 2 * (right - left), 2 * (bottom - top)
    sheet = Image.new("RGB", (len(shown) * (width + 4) - 4, height + 28), "white")
    for column, (name, made, rate) in enumerate(shown):
        crop = Image.fromarray(made[top:bottom, left:right]).resize((width, height), Image.Resampling.NEAREST)
        sheet.paste(crop, (column * (width + 4), 28))
        psnr = 10 * np.log10(255**2 / max(np.mean((made.astype(float) - image) ** 2), 1e-3))
        text = f"{name}\n{rate:.3f} bpp, {psnr:.2f} dB" if rate else name
        ImageDraw.Draw(sheet).text((column * (width + 4) + 2, 1), text, fill="black")
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out)


def write_section(text: str) -> None:
    page = PAGE.read_text()
    between = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    if not between.search(page):
        raise SystemExit(f"{PAGE} has no section between {START.strip()} and {END.strip()}")
    PAGE.write_text(between.sub(lambda _: f"{START}\n{text.strip()}\n\n{END}", page))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    photos = commands.add_parser("photos")
    photos.add_argument("out", type=Path)
    photos.add_argument("--datasets", type=Path, default=ROOT.parent / "shared" / "data")
    drawn = commands.add_parser("curves")
    drawn.add_argument("runs", type=Path, nargs="*")
    drawn.add_argument("--on", nargs="+", required=True, metavar="NAME=IMAGES")
    drawn.add_argument("--count", type=int, default=300)
    drawn.add_argument("--picture", type=Path)
    shown = commands.add_parser("table")
    shown.add_argument("--print", action="store_true", help="on the terminal, not into docs/results.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.command == "photos":
        np.savez(given.out, x_train=photographs(given.datasets))
    elif given.command == "curves":
        sets = {name: Path(place) for name, place in (word.split("=", 1) for word in given.on)}
        curves(given.runs, sets, given.count)
        if given.picture is not None:
            largest = max((held_out(place, 24) for place in sets.values()), key=lambda images: images[0].size)
            picture(given.runs, largest[-1], (120, 60, 248, 188), given.picture)
    elif given.print:
        print(table(load()))
    else:
        write_section(table(load()))


if __name__ == "__main__":
    main()
