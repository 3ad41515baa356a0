"""Every kind of picture comes out as the pixels it shows, and every broken one as a plain refusal."""

import io
import struct
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from kallima.data.images import PIXEL_LIMIT, Survey, decode, measure, with_channels
from kallima.data.source import Problem
from kallima.data.spec import Image
from kallima.data.view import View
from kallima.errors import DataError, UsageError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
RGBA = RNG.integers(0, 256, (5, 7, 4), dtype=np.uint8)


def encode(image: Pillow.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def grey_alpha(alpha: np.ndarray) -> Pillow.Image:
    return Pillow.merge("LA", [Pillow.fromarray(GREY), Pillow.fromarray(alpha)])


def palette(transparent: bool) -> tuple[Pillow.Image, np.ndarray]:
    index = RNG.integers(0, 4, (5, 7), dtype=np.uint8)
    colours = np.array([[255, 0, 0], [0, 255, 0], [1, 2, 3], [9, 9, 200]], np.uint8)
    image = Pillow.fromarray(index).convert("P")
    image.putdata(index.ravel().tolist())
    image.putpalette(colours.ravel().tolist())
    shown = colours[index]
    if transparent:
        image.info["transparency"] = 2
        shown = np.dstack([shown, np.where(index == 2, 0, 255).astype(np.uint8)])
    return image, shown


def exact_cases() -> dict[str, tuple[bytes, np.ndarray]]:
    halves = (np.arange(35).reshape(5, 7) % 2).astype(bool)
    wide = np.linspace(0, 65535, 35).astype(np.uint16).reshape(5, 7)
    clear, opaque = RNG.integers(0, 255, (5, 7), dtype=np.uint8), np.full((5, 7), 255, np.uint8)
    plain, plain_shown = palette(False)
    holed, holed_shown = palette(True)
    unit = np.linspace(0, 1, 35, dtype=np.float32).reshape(5, 7)
    sixteen = np.rint(wide / 257).astype(np.uint8)
    other_frame = Pillow.fromarray(255 - RGB)
    keyed = GREY.copy()
    keyed[0, 0] = 77
    return {
        "grey png": (encode(Pillow.fromarray(GREY)), GREY),
        "grey bmp": (encode(Pillow.fromarray(GREY), "BMP"), GREY),
        "grey pgm": (encode(Pillow.fromarray(GREY), "PPM"), GREY),
        "rgb png": (encode(Pillow.fromarray(RGB)), RGB),
        "rgb tiff": (encode(Pillow.fromarray(RGB), "TIFF"), RGB),
        "rgb webp": (encode(Pillow.fromarray(RGB), "WEBP", lossless=True), RGB),
        "rgba png": (encode(Pillow.fromarray(RGBA)), RGBA),
        "one bit": (encode(Pillow.fromarray(halves)), halves.astype(np.uint8) * 255),
        "palette": (encode(plain), plain_shown),
        "palette with transparency": (encode(holed), holed_shown),
        "palette gif": (encode(plain, "GIF"), plain_shown),
        "grey with alpha": (encode(grey_alpha(clear)), np.dstack([GREY, GREY, GREY, clear])),
        "grey, opaque alpha": (encode(grey_alpha(opaque)), GREY),
        "grey, one value clear": (
            encode(Pillow.fromarray(keyed), transparency=77),
            np.dstack([keyed] * 3 + [np.where(keyed == 77, 0, 255)]),
        ),
        "16-bit png": (encode(Pillow.fromarray(wide)), sixteen),
        "16-bit tiff": (encode(Pillow.fromarray(wide), "TIFF"), sixteen),
        "16-bit pgm": (b"P5 7 5 65535\n" + wide.astype(">u2").tobytes(), sixteen),
        "32-bit tiff": (encode(Pillow.fromarray(wide.astype(np.int32)), "TIFF"), sixteen),
        "floats to 1": (encode(Pillow.fromarray(unit), "TIFF"), np.rint(unit * 255)),
        "floats to 255": (encode(Pillow.fromarray(unit * 255), "TIFF"), np.rint(unit * 255)),
        "first frame": (
            encode(Pillow.fromarray(RGB), "PNG", save_all=True, append_images=[other_frame], duration=9),
            RGB,
        ),
    }


@pytest.mark.parametrize("case", exact_cases())
def test_pixels_come_out_as_they_went_in(case, tmp_path):
    data, shown = exact_cases()[case]
    shown = shown.astype(np.uint8).reshape(5, 7, -1)
    path = tmp_path / "image"
    path.write_bytes(data)
    for given_as in (data, io.BytesIO(data), path):
        decoded = decode(given_as)
        assert decoded.dtype == np.uint8
        assert decoded.flags.writeable
        np.testing.assert_array_equal(decoded, shown)
    assert measure(data) == measure(path) == measure(io.BytesIO(data)) == shown.shape


def test_every_16_bit_value_is_rounded_to_the_nearest_of_8():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    decoded = decode(encode(Pillow.fromarray(values)))[:, :, 0]
    np.testing.assert_array_equal(decoded, np.rint(values / 257))


def test_lossy_colour_modes_stay_near():
    smooth = np.add.outer(np.arange(32) * 3, np.arange(32) * 4).astype(np.uint8)
    image = Pillow.fromarray(np.dstack([smooth, smooth[::-1], smooth[:, ::-1]]))
    want = np.asarray(image).astype(int)
    for data in (encode(image, "JPEG", quality=98), encode(image.convert("CMYK"), "JPEG", quality=98)):
        assert measure(data) == (32, 32, 3)
        assert np.abs(decode(data) - want).mean() < 3


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_undone(orientation, kind):
    stored = np.kron(RGB[:2, :3] // 2 + 60, np.ones((16, 16, 1), np.uint8))
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    data = encode(Pillow.fromarray(stored), kind, exif=exif, **options)
    upright = UPRIGHT[orientation](stored)
    assert measure(data) == upright.shape
    np.testing.assert_allclose(decode(data), upright, atol=4 if kind == "JPEG" else 0)


def png(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is this large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("look", [decode, measure])
@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "^is empty$"),
        (b"hello, I am no image", "^is not an image$"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "^is not an image$"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIC.*convert"),
        (encode(Pillow.fromarray(RGB))[:20], "cut short"),
        (png(10_000, 9_000), f"^is 10000×9000 pixels, more than the limit of {PIXEL_LIMIT:,}$"),
        (png(30_000, 30_000), f"^is 900,000,000 pixels, more than the limit of {PIXEL_LIMIT:,}$"),
    ],
)
def test_unusable_images_are_refused_by_cause(data, cause, look):
    start = time.perf_counter()
    with pytest.raises(DataError, match=cause):
        look(data)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(("size", "refused"), [((8000, 8000), False), ((8000, 8001), True)])
def test_the_limit_is_exact(size, refused):
    if refused:
        with pytest.raises(DataError, match="more than the limit"):
            measure(png(*size))
    else:
        assert measure(png(*size)) == (*size, 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "PPM", "TIFF", "WEBP"])
def test_cut_files_are_called_cut_short(kind):
    noise = Pillow.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encode(noise, kind)
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(DataError, match=r"cut short|damaged"):
            decode(data[: int(len(data) * share)])


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read \(No such file"):
        decode(tmp_path / "nowhere.png")


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        (np.array([[-1, 5]], np.int32), "from -1 to 5"),
        (np.array([[0, 70_000]], np.int32), "to 70000"),
        (np.array([[0.0, np.nan]], np.float32), "nan"),
        (np.array([[0.0, 300.0]], np.float32), "300"),
    ],
)
def test_values_without_a_meaning_are_refused(values, cause):
    with pytest.raises(DataError, match=cause):
        decode(encode(Pillow.fromarray(values), "TIFF"))


CORPUS = [data for data, _ in exact_cases().values()] + [encode(Pillow.fromarray(RGB), "JPEG")]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(CORPUS), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6), st.data())
def test_damaged_bytes_give_an_image_or_a_refusal_in_one_line(data, changes, draw):
    broken = bytearray(data[: draw.draw(st.integers(0, len(data)))])
    for place, value in changes:
        if broken:
            broken[place % len(broken)] = value
    try:
        outcome: object = decode(bytes(broken)).shape[2]
    except DataError as error:
        outcome = len(str(error).splitlines())
    assert outcome in (1, 3, 4)


def test_many_threads_leave_the_warning_filters_as_they_were():
    before = list(warnings.filters)
    data = encode(Pillow.fromarray(RGB))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, [data] * 200))
    assert list(warnings.filters) == before


def checkerboard(size: int) -> np.ndarray:
    return (np.indices((size, size)).sum(0) % 2 * 255).astype(np.uint8)[:, :, None]


@pytest.mark.parametrize(("size", "to"), [(256, 32), (256, 100), (96, 7)])
def test_shrinking_is_antialiased(size, to):
    small = View(size=to).apply(checkerboard(size)).astype(float)
    # without a low-pass filter the squares would come out as 0 and 255; the frame's window is cut off
    assert np.abs(small[2:-2, 2:-2] - 127.5).max() < 4


def test_shrinking_keeps_the_mean():
    image = np.random.default_rng(2).integers(64, 192, (96, 96, 3), dtype=np.uint8)
    np.testing.assert_allclose(View(size=12).apply(image).mean((0, 1)), image.mean((0, 1)), atol=1.5)


@pytest.mark.parametrize("shape", [(6, 10), (10, 6), (7, 7), (5, 8)])
def test_a_centre_crop_at_native_size_is_a_slice(shape):
    image = np.random.default_rng(3).integers(0, 256, (*shape, 3), dtype=np.uint8)
    side = min(shape)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    np.testing.assert_array_equal(View(size=side).apply(image), image[top : top + side, left : left + side])


def test_random_crops_reach_every_place_and_follow_the_generator():
    image = np.arange(9, dtype=np.uint8).reshape(1, 9, 1)
    view = View(size=1, crop="random")
    rng = np.random.default_rng(4)
    assert {int(view.apply(image, rng).item()) for _ in range(200)} == set(range(9))
    assert view.apply(image, np.random.default_rng(5)) == view.apply(image, np.random.default_rng(5))
    with pytest.raises(ValueError, match="rng"):
        view.apply(image)


def test_no_crop_squeezes_the_whole_into_the_square():
    image = np.zeros((8, 32, 1), np.uint8)
    image[:, 16:] = 200
    squeezed = View(size=8, crop="none").apply(image)[:, :, 0]
    assert squeezed.shape == (8, 8)
    assert (squeezed[:, :2] < 8).all()
    assert (np.abs(squeezed[:, 6:].astype(int) - 200) < 8).all()
    assert View(size=8).apply(image).std() > 50  # the middle holds the edge


def test_growing_keeps_flat_colour():
    for colour, tolerance in (((10, 20, 30, 255), 0), ((10, 20, 30, 128), 1)):  # Pillow multiplies by alpha in bytes
        grown = View(size=16).apply(np.full((3, 5, 4), colour, np.uint8))
        np.testing.assert_allclose(grown, np.broadcast_to(colour, (16, 16, 4)), atol=tolerance)


def test_transparent_pixels_do_not_bleed_into_their_neighbours():
    image = np.zeros((8, 8, 4), np.uint8)
    image[:, :] = (255, 0, 0, 0)
    image[2:6, 2:6] = (0, 0, 255, 255)
    small = View(size=4).apply(image)
    assert small[1, 1, 0] < 30  # red was nowhere to be seen


def test_channels_are_converted():
    grey, clear = np.full((1, 1, 1), 90, np.uint8), np.array([[[200, 100, 0, 51]]], np.uint8)
    assert with_channels(grey, 3).tolist() == [[[90, 90, 90]]]
    assert with_channels(grey, 4).tolist() == [[[90, 90, 90, 255]]]
    assert with_channels(clear, 4) is clear
    # a fifth of the colour, the rest white
    over_white = np.array([200, 100, 0]) / 5 + 255 * 4 / 5
    np.testing.assert_allclose(with_channels(clear, 3)[0, 0], over_white, atol=1)
    np.testing.assert_allclose(with_channels(clear, 1).item(), over_white @ [0.299, 0.587, 0.114], atol=1.5)
    assert with_channels(np.zeros((1, 1, 4), np.uint8), 3).tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [None, 4])
def test_a_view_gives_what_its_field_says(channels, size):
    for have in (1, 3, 4):
        field = View(size=size, channels=channels).field(Image(have, 6, 9))
        image = View(size=size, channels=channels).apply(np.zeros((6, 9, have), np.uint8))
        assert image.shape == (field.height, field.width, field.channels)


def test_views_that_leave_the_choice_open_are_refused_by_what_there_is():
    survey = Survey.of([(80, 120, 3)] * 30 + [(3000, 4000, 1)] * 120 + [(500, 500, 1)])
    assert survey.image == Image(3, None, None)
    with pytest.raises(DataError, match=r"differ in size \(from 120×80 to 4000×3000\): choose one with --size 64"):
        View().field(survey.image, survey)
    with pytest.raises(DataError, match=r"\(121 grey, 30 RGB\): choose with --channels 1, 3 or 4"):
        View(size=64).field(survey.image, survey)
    assert View(size=64, channels=1).field(survey.image, survey) == Image(1, 64, 64)
    alike = Survey.of([(8, 9, 4)] * 3)
    assert View().field(alike.image, alike) == Image(4, 8, 9)


def test_a_survey_of_nothing_readable_names_the_first_problem():
    survey = Survey.of([Problem("a.png", "is empty"), Problem("b.png", "is not an image")])
    with pytest.raises(DataError, match=r"a\.png is empty"):
        View(size=64, channels=3).field(survey.image, survey)
    assert Survey.from_json(survey.to_json()) == survey


@pytest.mark.parametrize("view", [{"size": 0}, {"crop": "middle"}, {"channels": 2}])
def test_impossible_views_are_usage_errors(view):
    with pytest.raises(UsageError, match=f"--{next(iter(view))}"):
        View(**view)
