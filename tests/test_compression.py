"""Learned compression: numbers to bytes and back, files that are whole or refused, codecs, the command, learning."""

import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor

import kallima
from kallima.cli import main
from kallima.compression import coder as coding
from kallima.compression.codec import Codec, fingerprint
from kallima.compression.coder import MOST, Tables
from kallima.compression.container import OVERHEAD, Content, pack, unpack
from kallima.data.batch import Batch
from kallima.data.spec import Image, Spec
from kallima.errors import DataError, UsageError
from kallima.layers.factorised_density import FLOOR
from kallima.layers.frequencies import scale_of, tabulate
from kallima.networks.transform_coding import HyperSynthesis
from kallima.objectives.rate_distortion import normal_bin
from kallima.recipe import get_recipe
from kallima.system import Compresses, capabilities
from tests.test_learning import QUIET

RECIPES = ["factorised-prior", "scale-hyperprior"]
every_recipe = pytest.mark.parametrize("name", RECIPES)


def build(name: str = "factorised-prior", colours: int = 3, seed: int = 0, gain: float = 6.0, **arguments: Any) -> Any:
    """A codec that has learned nothing, but whose latents spread far enough to have something to code."""
    torch.manual_seed(seed)
    arguments = {"width": 8, "latent_dim": 6, "levels": 3, **arguments}
    system: Any = get_recipe(name).build(Spec({"image": Image(colours, 32, 32)}), **arguments)
    with torch.no_grad():
        system.analysis.layers[-1].weight.mul_(gain if name == "factorised-prior" else 0.4 * gain)
        if name == "scale-hyperprior":
            system.hyper_analysis.layers[-1].weight.mul_(3)
            system.hyper_synthesis.layers[-1].bias.fill_(35.0)  # deviations of about 8, as the latents have
    return system.eval().requires_grad_(False)


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def ideal_bits(system: Any, parts: Sequence[Tensor]) -> float:
    """−Σ log2 p of the parts of images, stacked (N, …), by the likelihoods that training uses."""
    y = parts[-1].float()
    chances = [system.density(parts[0].float())]
    if len(parts) > 1:
        levels = system.hyper_synthesis(parts[0].float())[:, :, : y.shape[2], : y.shape[3]]
        chances.append(normal_bin(y, scale_of(levels)) + FLOOR)
    return -sum(each.double().log2().sum().item() for each in chances)


def rounded(patch: pytest.MonkeyPatch) -> None:
    """Round where training adds noise."""
    for module in ("factorised_prior", "scale_hyperprior"):
        patch.setattr(f"kallima.systems.compression.{module}.noised", torch.round)


class TestNumbers:
    """Whole numbers to bytes and back."""

    tables = (
        (-2, torch.tensor([1 << 18] * 4)),
        (10, torch.tensor([(1 << 20) - 2, 1, 1])),
        tabulate(-3, torch.full((7,), 0.1, dtype=torch.float64)),
    )

    def both_ways(self, *parts: tuple[Sequence[int], Sequence[int]]) -> bytes:
        arrays = [(np.array(values, np.int64), np.array(which)) for values, which in parts]
        data = Tables(self.tables).write(arrays)
        reader = Tables(self.tables).reader(data)
        for values, which in arrays:
            assert np.array_equal(reader.read(which), values)
        return data

    def test_numbers_come_back_from_tables_in_any_order(self):
        rng = np.random.default_rng(0)
        which = rng.integers(0, 3, 5000)
        values = np.where(which == 1, 10, rng.integers(-3, 3, 5000))
        self.both_ways((values.tolist(), which.tolist()), (values[:7].tolist(), which[:7].tolist()))

    @pytest.mark.parametrize("value", [1, 2, -3, -4, 12, 500, -66_000, 1 << 17, MOST, -MOST])
    def test_what_no_table_has_escapes(self, value: int):
        self.both_ways(([0, value, value, -1], [0, 0, 1, 0]), ([value], [2]))

    @pytest.mark.parametrize("value", [MOST + 1, -MOST - 1, int(np.iinfo(np.int64).min)])
    def test_numbers_that_no_model_gives_are_refused(self, value: int):
        with pytest.raises(DataError, match="diverged"):
            Tables(self.tables).write([(np.array([0, value]), np.array([0, 0]))])

    def test_what_is_expected_takes_no_bytes(self):
        assert self.both_ways(([10] * 1000, [1] * 1000)) == b""
        assert len(self.both_ways(([-1, 0, -2, 0] * 100, [0] * 400))) == 100

    def test_the_coder_is_asked_for_where_it_is_missing(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(coding, "EXTRA", ("no_such_coder", "compression"))
        with pytest.raises(UsageError, match=r"pip install 'kallima\[compression\]'"):
            Tables(self.tables)


class TestLength:
    """Files are as long as the model says."""

    @every_recipe
    def test_a_thousand_images_take_what_the_model_says_and_come_back(self, name: str):
        system = build(name)
        codec = Codec(system)
        rng = np.random.default_rng(0)
        images = torch.from_numpy(rng.uniform(-1, 1, (1000, 1, 3, 16, 16)).astype(np.float32))
        described = [system.describe(image) for image in images]
        parts = [
            (part.numpy(), system.expect(said[:number], 16, 16).numpy())
            for said in described
            for number, part in enumerate(said)
        ]
        data = codec.tables.write(parts)
        ideal = ideal_bits(system, [torch.stack(part) for part in zip(*described, strict=True)])
        assert ideal > 100_000
        assert 8 * len(data) == pytest.approx(ideal, rel=0.02)
        reader = codec.tables.reader(data)
        assert all(np.array_equal(reader.read(which), values) for values, which in parts)

    @every_recipe
    def test_each_image_alone_ends_within_two_bytes(self, name: str):
        system = build(name)
        codec = Codec(system)
        for seed in range(25):
            written = codec.write(picture(8 + seed, 40 - seed, seed=seed))
            ideal = ideal_bits(system, [part[None] for part in written.parts])
            assert 0.98 * ideal - 8 <= 8 * written.payload <= 1.02 * ideal + 16
            assert len(written.data) == written.payload + OVERHEAD


class TestFiles:
    """Whole, or refused in one line."""

    @every_recipe
    @pytest.mark.parametrize("size", [(1, 1), (1, 40), (17, 31), (32, 32), (65, 7)])
    def test_any_size_comes_back_as_it_is_reconstructed(self, name: str, size: tuple[int, int]):
        for colours in (1, 3):
            system, image = build(name, colours), picture(*size, colours)
            codec = Codec(system)
            back = codec.read(codec.write(image).data)
            shown = torch.from_numpy(image)[None].permute(0, 3, 1, 2) / 127.5 - 1
            made = (127.5 * (system.reconstruct(shown) + 1)).round()[0].permute(1, 2, 0)
            assert back.shape == image.shape
            assert np.abs(back.astype(int) - made.numpy()).max() <= 1
            assert back.std() > 0 or size == (1, 1)

    def test_every_truncation_and_every_changed_byte_is_refused(self):
        codec = Codec(build())
        data = codec.write(picture(17, 31)).data
        assert len(data) > 60
        for length in range(len(data)):
            with pytest.raises(DataError, match=r"^(is|was) [^\n]*$"):
                codec.read(data[:length])
        for place in range(len(data)):
            for flip in (0x01, 0x80, 0xFF):
                changed = bytearray(data)
                changed[place] ^= flip
                with pytest.raises(DataError):
                    codec.read(bytes(changed))
        with pytest.raises(DataError, match="checksum"):
            codec.read(data + b"\0")

    @every_recipe
    def test_numbers_changed_under_a_new_checksum_are_refused_all_the_same(self, name: str):
        codec = Codec(build(name))
        data = codec.write(picture(24, 24)).data
        content, image, refusals = unpack(data), codec.read(data), []
        for place in range(len(content.payload)):
            changed = bytearray(content.payload)
            changed[place] ^= 0x10
            try:  # the last bits may say the same numbers
                assert np.array_equal(codec.read(pack(content._replace(payload=bytes(changed)))), image)
            except DataError as error:
                refusals.append(str(error))
        assert len(refusals) >= len(content.payload) - 2
        assert all("damaged" in refusal for refusal in refusals)
        with pytest.raises(DataError, match="damaged"):
            codec.read(pack(content._replace(width=32)))

    def test_another_version_or_kind_is_named(self):
        data = bytearray(Codec(build()).write(picture(8, 8)).data)
        with pytest.raises(DataError, match=r"not a \.klm file"):
            unpack(b"\x89PNG" + bytes(data[4:]))
        with pytest.raises(DataError, match="is empty"):
            unpack(b"")
        data[3] = 2
        with pytest.raises(DataError, match="version 2"):
            unpack(bytes(data))

    @pytest.mark.parametrize(("height", "width"), [(0xFFFF, 0xFFFF), (4097, 4096), (0, 5)])
    def test_sizes_are_refused_before_anything_is_made_of_them(self, height: int, width: int):
        head = struct.pack("<3sB8sHHBI", b"KLM", 1, bytes(8), height, width, 3, 0)
        with pytest.raises(DataError, match=r"limit|shape"):
            unpack(head + struct.pack("<I", zlib.crc32(head)))

    def test_what_is_too_large_is_not_written(self):
        huge = np.broadcast_to(np.zeros(3, np.uint8), (1 << 13, 1 << 12, 3))
        with pytest.raises(DataError, match="more than the limit"):
            Codec(build()).write(huge)
        with pytest.raises(DataError, match="more than the limit"):
            pack(Content(bytes(8), 1, 1 << 16, 3, 0, b""))

    @every_recipe
    def test_other_weights_are_refused(self, name: str):
        data = Codec(build(name)).write(picture(16, 16)).data
        assert Codec(build(name)).read(data).shape == (16, 16, 3)
        for other in (build(name, seed=1), build(name, gain=6.001)):
            with pytest.raises(DataError, match="other weights"):
                Codec(other).read(data)

    def test_the_fingerprint_tells_weights_and_tables_but_not_steps(self):
        system = build()
        tables = system.tables()
        first = fingerprint(system, tables)
        system.step += 7
        assert fingerprint(system, tables) == first
        first_value, counts = tables[0]
        moved = counts.clone()
        moved[0] += 1
        assert fingerprint(system, [(first_value, moved), *tables[1:]]) != first

    def test_an_image_that_may_not_be_written_to_is_read_all_the_same(self):
        image = picture(9, 9)
        image.flags.writeable = False
        assert Codec(build()).write(image[:, ::-1]).payload > 0

    def test_weights_that_are_not_finite_write_nothing(self):
        system = build()
        system.analysis.layers[-1].weight[0] = float("nan")
        with pytest.raises(DataError, match="diverged"):
            Codec(system).write(picture(16, 16))

    def test_grey_stays_grey_and_nothing_is_lost_unsaid(self):
        codec, grey = Codec(build()), Codec(build(colours=1))
        assert codec.read(codec.write(picture(9, 9, 1)).data).shape == (9, 9, 1)
        clear = picture(9, 9, 4)
        with pytest.raises(DataError, match="is RGBA, and the run codes RGB images"):
            codec.write(clear)
        clear[:, :, 3] = 255
        assert np.array_equal(codec.read(codec.write(clear).data), codec.read(codec.write(clear[:, :, :3]).data))
        with pytest.raises(DataError, match="is RGB, and the run codes grey images"):
            grey.write(picture(9, 9, 3))


class TestSystems:
    """The games, and what is known of both ends."""

    @every_recipe
    def test_it_compresses_and_others_do_not(self, name: str):
        assert {"Compresses", "Reconstructs"} <= set(capabilities(build(name)))
        other = get_recipe("vae").build(Spec({"image": Image(1, 8, 8)}))
        assert not isinstance(other, Compresses)
        with pytest.raises(UsageError, match="does not compress"):
            Codec(other)

    @every_recipe
    def test_the_loss_by_hand(self, name: str, monkeypatch: pytest.MonkeyPatch):
        system = build(name, trade=0.02, gain=1.0)
        if name == "scale-hyperprior":
            system.hyper_synthesis.layers[-1].bias.fill_(10.0)  # narrow: it matters where in its bin a latent is taken
        images = torch.rand(3, 3, 20, 13) * 2 - 1
        rounded(monkeypatch)
        terms = system.loss(Batch({"image": images}))
        bits = 0.0
        for image in images:
            latents = system.latents(image[None])
            y = latents.round()
            if name == "factorised-prior":
                bits -= system.density(y).log2().sum().item()
            else:
                z = system.hyper_analysis(latents).round()
                levels = system.hyper_synthesis(z)[:, :, : y.shape[2], : y.shape[3]]
                normal = torch.distributions.Normal(0.0, 0.11 * (256 / 0.11) ** (levels.double() / 63))
                chance = normal.cdf(y + 0.5) - normal.cdf(y - 0.5)
                bits -= chance.clamp_min(1e-9).log2().sum().item() + system.density(z).log2().sum().item()
        assert terms["rate"].item() == pytest.approx(bits / 3 / (20 * 13), rel=2e-3)
        made = system.images(torch.cat([system.latents(image[None]).round() for image in images]), images)
        grey_levels = 255 * ((made + 1) / 2 - (images + 1) / 2)
        assert terms["distortion"].item() == pytest.approx(0.02 * grey_levels.square().mean().item(), rel=1e-4)

    def test_the_noise_of_training_is_uniform_in_a_half_to_either_side(self):
        system = build()
        latents = torch.zeros(4, 6, 50, 50)
        noise = system.likelihoods(latents)[0]
        assert noise.abs().max() <= 0.5
        assert noise.var().item() == pytest.approx(1 / 12, rel=0.02)
        assert noise.mean().item() == pytest.approx(0, abs=0.01)

    def test_both_ends_expect_the_same_of_what_was_said(self, monkeypatch: pytest.MonkeyPatch):
        system = build("scale-hyperprior")
        monkeypatch.delattr(HyperSynthesis, "forward")  # whose sums of floats differ between machines
        z, y = system.describe(torch.rand(1, 3, 40, 24) * 2 - 1)
        assert z.shape == (8, 2, 1)
        assert y.shape == (6, 5, 3)
        first = system.expect([], 40, 24)
        assert torch.equal(first[:, 0, 0], torch.arange(8))
        then = system.expect([z], 40, 24)
        assert then.shape == y.shape
        assert then.min() >= 8
        assert then.max() < 8 + 64
        assert not torch.equal(then, system.expect([z + 3], 40, 24))
        assert system.expect([z, y], 40, 24) is None
        tables = system.tables()
        assert len(tables) == 8 + 64

    def test_numbers_out_of_range_are_one_line(self):
        for wrong in ({"trade": 0.0}, {"levels": 7}, {"latent_dim": 0}):
            with pytest.raises(UsageError):
                build(**wrong)
        spec = {size: Spec({"image": Image(3, size, size)}) for size in (32, 64)}
        small, large = (get_recipe("factorised-prior").build(spec[size], width=2, latent_dim=2) for size in (32, 64))
        assert (small.stride, large.stride) == (8, 16)  # type: ignore[attr-defined]

    @every_recipe
    def test_gradients_reach_every_parameter(self, name: str):
        system = build(name).train().requires_grad_(True)
        terms = system.loss(Batch({"image": torch.rand(2, 3, 32, 32) * 2 - 1}))
        sum(terms.values(), torch.zeros(())).backward()
        assert [n for n, p in system.named_parameters() if p.grad is None or not p.grad.any()] == []


def hills(count: int, seed: int) -> np.ndarray:
    """Smooth grey images, uint8 (N, 16, 16, 1): sums of two waves and a slope."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16] / 16
    a, b, c = rng.normal(size=(3, count, 1, 1))
    k, m = rng.uniform(1, 6, (2, count, 1, 1))
    p, q = rng.uniform(0, 2 * np.pi, (2, count, 1, 1))
    height = a * np.sin(k * x + p) + b * np.sin(m * y + q) + c * x * y
    return np.clip(128 + 50 * height, 0, 255).astype(np.uint8)[..., None]


def train(name: str, folder: Path, steps: int) -> Path:
    np.savez(folder / "hills.npz", x_train=hills(500, 0))
    options: dict[str, Any] = {**QUIET, "width": 16, "latent_dim": 12, "levels": 2, "learning_rate": 4e-3}
    data, out = folder / "hills.npz", folder / "run"
    kallima.train(name, data=data, steps=steps, batch_size=16, trade=0.01, out=out, **options)
    return out


@every_recipe
def test_a_trained_codec_takes_a_tenth_of_the_bits_of_pixels_coded_alone(name: str, tmp_path: Path):
    codec = Codec(kallima.load(train(name, tmp_path, 250), device="cpu"))
    images = hills(60, 1)
    written = [codec.write(image) for image in images]
    made = np.stack([codec.depict(each.parts, 16, 16, 1) for each in written]).astype(float)
    error = np.mean((made - images) ** 2)
    assert error < 100
    step = 1.0  # coarse enough that pixels, coded by their histogram, are no better
    while np.mean((step * np.round(images / step) - images) ** 2) < error:
        step *= 1.05
    _, counts = np.unique(np.round(images / step), return_counts=True)
    share = counts / counts.sum()
    by_histogram = -(share * np.log2(share)).sum() * images.size
    assert 8 * sum(each.payload for each in written) < 0.2 * by_histogram


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec that has barely been trained."""
    return train("factorised-prior", tmp_path_factory.mktemp("codec"), 3)


class TestRuns:
    """A run's codec, from the library and from the command."""

    def test_the_command_compresses_and_decompresses(
        self, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        image, file, back = (str(tmp_path / name) for name in ("in.png", "out.klm", "back.png"))
        Pillow.fromarray(picture(20, 30, 1)[:, :, 0]).save(image)
        assert main(["compress", str(run), image, file, "--json", "--device", "cpu"]) == 0
        said = json.loads(capsys.readouterr().out)
        size = Path(file).stat().st_size
        assert (said["bytes"], said["bits"], said["width"], said["height"]) == (size, 8 * size, 30, 20)
        assert said["bpp"] == pytest.approx(8 * size / 600)
        assert said["payload_bpp"] == pytest.approx(8 * (size - OVERHEAD) / 600)
        assert main(["decompress", str(run), file, back, "--device", "cpu"]) == 0
        with Pillow.open(back) as picture_back:
            assert (picture_back.size, picture_back.mode) == ((30, 20), "L")
            shown = np.asarray(picture_back).astype(float)
        squared = np.mean((shown - picture(20, 30, 1)[:, :, 0]) ** 2)
        assert said["psnr"] == pytest.approx(10 * np.log10(255**2 / squared))
        capsys.readouterr()
        assert main(["compress", str(run), image, file]) == 0
        assert "bits a pixel" in capsys.readouterr().out
        assert np.array_equal(kallima.decompress(run, file), shown.astype(np.uint8)[:, :, None])

    def test_mistakes_are_one_line(self, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        (tmp_path / "words.png").write_text("no image")
        (tmp_path / "cut.klm").write_bytes(b"KLM\x01")
        out = str(tmp_path / "out.png")
        for words in (
            ["compress", str(run), str(tmp_path / "none.png"), out],
            ["compress", str(run), str(tmp_path / "words.png"), out],
            ["decompress", str(run), str(tmp_path / "cut.klm"), out],
            ["decompress", str(run), str(tmp_path / "none.klm"), out],
            ["decompress", str(run), str(tmp_path / "cut.klm"), str(tmp_path / "out.jpg")],
        ):
            assert main(words) in (1, 2)
            error = capsys.readouterr().err
            assert error.startswith("error: ")
            assert error.count("\n") == 1
            assert "--debug" not in error
        assert not Path(out).exists()

    def test_its_rate_is_a_score_of_bits_that_were_written(self, run: Path):
        (score,) = kallima.evaluate(run, metrics=["bits-per-pixel"], device="cpu")
        assert score.real == 300
        assert score.direction == "lower"
        codec = Codec(kallima.load(run, device="cpu"))
        lengths = [8 * codec.write(image).payload / 256 for image in hills(500, 0)]
        assert min(lengths) < score.value < max(lengths)
        assert score.value == pytest.approx(np.mean(lengths), rel=0.02)
        assert any("left out" in note for note in score.notes)


def test_without_the_coder_the_rate_is_left_out_and_says_why(run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kallima.evaluation.capability.rate.EXTRA", ("no_such_coder", "compression"))
    with pytest.raises(UsageError, match=r"needs no_such_coder: pip install 'kallima\[compression\]'"):
        kallima.evaluate(run, metrics=["bits-per-pixel"], device="cpu")


def test_a_part_is_a_tensor_of_whole_numbers():
    parts: list[Tensor] = build("scale-hyperprior").describe(torch.zeros(1, 3, 9, 9))
    assert [part.dtype for part in parts] == [torch.int64] * 2
