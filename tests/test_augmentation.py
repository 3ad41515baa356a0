import math

import pytest
import torch

from kallima.errors import UsageError
from kallima.layers import adaptive_augmentation, diffaugment
from kallima.layers.adaptive_augmentation import AdaptiveAugmentation, adapted, augmented, colour, geometry
from kallima.layers.diffaugment import DiffAugment
from kallima.layers.resampling import resample


def images(count=4, channels=3, height=8, width=6, seed=0, dtype=torch.float32):
    rng = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(count, channels, height, width, generator=rng, dtype=dtype) - 1


def maps(*rows, count=4):
    return torch.tensor(rows, dtype=torch.float32).expand(count, 2, 3)


def always(images):
    return augmented(images, 1.0)


AUGMENTATIONS = pytest.mark.parametrize("augment", [DiffAugment(), always], ids=["diffaugment", "ada"])


def test_maps_between_pixel_centres_copy_exactly():
    x = images(height=7, width=7)
    assert torch.equal(resample(x, maps((1, 0, 0), (0, 1, 0))), x)
    assert torch.equal(resample(x, maps((-1, 0, 0), (0, 1, 0))), x.flip(3))
    assert torch.equal(resample(x, maps((0, 1, 0), (-1, 0, 0))), torch.rot90(x, -1, (2, 3)))
    moved = resample(x, maps((1, 0, 2), (0, 1, -1)))  # each pixel shows what is 2 to its right, 1 above
    assert torch.equal(moved[:, :, 1:, :-2], x[:, :, :-1, 2:])
    even = images()
    assert torch.equal(resample(even, maps((-1, 0, 0), (0, -1, 0))), even.flip(2, 3))


def test_the_border_is_mirrored_at_the_last_pixel():
    x = images()
    mirrored = torch.nn.functional.pad(x, (0, 3, 0, 0), mode="reflect")[:, :, :, 3:]
    assert torch.equal(resample(x, maps((1, 0, 3), (0, 1, 0))), mirrored)
    assert torch.equal(resample(x[:, :, :1, :1], maps((1, 0, 5), (0, 1, -7))), x[:, :, :1, :1])


def test_between_pixels_images_are_bilinear():
    ramp = (torch.arange(8.0)[:, None] * 3 - torch.arange(6.0) * 2)[None, None]
    moved = resample(ramp, maps((1, 0, 0.25), (0, 1, -0.5), count=1))
    assert torch.allclose(moved[:, :, 1:, :-1], (ramp - 2 * 0.25 - 3 * 0.5)[:, :, 1:, :-1], atol=1e-5)
    grid = maps((0.8, 0.3, 0.1), (-0.2, 1.1, 0.4))
    x = images(height=9, width=9)
    inner = torch.nn.functional.grid_sample(
        x, grid_of(grid, 9), mode="bilinear", padding_mode="reflection", align_corners=True
    )
    assert torch.allclose(resample(x, grid), inner, atol=1e-5)


def grid_of(to_source, size):
    """The same maps in the coordinates of grid_sample, where the centres of the border's pixels are at -1 and 1."""
    places = torch.arange(size) - (size - 1) / 2
    y, x = torch.meshgrid(places, places, indexing="ij")
    source = torch.einsum("nij,jhw->nhwi", to_source, torch.stack([x, y, torch.ones_like(x)]))
    return source / ((size - 1) / 2)


def test_probability_0_is_the_identity():
    for channels in (1, 3):
        x = images(64, channels)
        assert torch.equal(augmented(x, 0.0), x)
        assert torch.equal(AdaptiveAugmentation()(x), x)  # where it starts


def test_the_share_of_images_that_are_met_is_that_of_the_draws():
    torch.manual_seed(0)
    p, count, side = 0.3, 40_000, 32
    like = torch.zeros(count)
    # of those met, a flip's coin and a quarter turn may come out as nothing, as may a move of less than half a pixel
    nothing_moved = (1 - p / 2) * (1 - 3 * p / 4) * (1 - p * (1 - (1 / 8) ** 2)) * (1 - p) ** 4
    unmoved = (geometry(like, side, side, p) == torch.eye(3)).flatten(1).all(1)
    error = math.sqrt(nothing_moved * (1 - nothing_moved) / count)
    assert float(unmoved.float().mean()) == pytest.approx(nothing_moved, abs=4 * error)
    for channels, kept in ((1, (1 - p) ** 2 * (1 - p / 2)), (3, (1 - p) ** 4 * (1 - p / 2))):
        same = (colour(like, channels, p) == torch.eye(4)).flatten(1).all(1)
        assert float(same.float().mean()) == pytest.approx(kept, abs=4 * math.sqrt(kept * (1 - kept) / count))


def test_geometry_has_the_papers_strengths(monkeypatch):
    torch.manual_seed(0)
    kept = []
    monkeypatch.setattr(adaptive_augmentation, "_met", lambda matrix, chance: kept.append((matrix, chance)) or matrix)
    geometry(torch.zeros(40_000), 32, 64, 0.36)
    assert [round(float(chance), 6) for _, chance in kept] == [0.36] * 4 + [0.2, 0.36, 0.2, 0.36]  # 1 - 0.8² = 0.36
    flip, quarter, whole, scale, turn, stretch, _, shift = (matrix for matrix, _ in kept)
    assert flip[:, 0, 0].unique(return_counts=True)[0].tolist() == [-1.0, 1.0]
    assert torch.equal(quarter @ quarter.mT, torch.eye(3).expand_as(quarter))
    assert quarter.flatten(1).unique(dim=0).shape[0] == 4
    assert torch.equal(whole, whole.round())
    assert (whole[:, 0, 2].abs().max(), whole[:, 1, 2].abs().max()) == (8, 4)
    for log in (scale[:, 0, 0].log2(), stretch[:, 0, 0].log2()):
        assert float(log.mean()) == pytest.approx(0, abs=0.005)
        assert float(log.std()) == pytest.approx(0.2, rel=0.02)
    assert torch.equal(scale[:, 0, 0], scale[:, 1, 1])
    assert torch.allclose(torch.linalg.det(stretch), torch.ones(40_000), atol=1e-5)
    assert float(turn[:, 0, 0].mean()) == pytest.approx(0, abs=0.02)  # all around
    assert float(shift[:, 0, 2].std()) == pytest.approx(8, rel=0.02)
    assert float(shift[:, 1, 2].std()) == pytest.approx(4, rel=0.02)


def test_colours_have_the_papers_strengths(monkeypatch):
    torch.manual_seed(0)
    kept = []
    monkeypatch.setattr(adaptive_augmentation, "_met", lambda matrix, chance: kept.append(matrix) or matrix)
    colour(torch.zeros(40_000), 3, 1.0)
    brightness, contrast, luma, hue, saturation = kept
    grey, ones = torch.tensor([1.0, 1.0, 1.0, 0.0]) / math.sqrt(3), torch.eye(4)
    assert float(brightness[:, 1, 3].std()) == pytest.approx(0.2, rel=0.02)
    assert float(contrast[:, 1, 1].log2().std()) == pytest.approx(0.5, rel=0.02)
    flipped = luma[~torch.isclose(luma, ones).flatten(1).all(1)]
    assert len(flipped) / len(luma) == pytest.approx(0.5, abs=0.02)
    assert torch.allclose(flipped @ grey, -grey.expand(len(flipped), 4), atol=1e-6)
    sideways = torch.tensor([1.0, -1.0, 0.0, 0.0])
    assert torch.allclose(flipped @ sideways, sideways.expand(len(flipped), 4), atol=1e-6)
    assert torch.allclose(hue @ grey, grey.expand(len(hue), 4), atol=1e-6)  # a turn about the greys
    assert torch.allclose(hue @ hue.mT, ones.expand_as(hue), atol=1e-5)
    assert torch.allclose(torch.linalg.det(hue), torch.ones(len(hue)), atol=1e-5)
    assert float((hue @ sideways @ sideways / 2).mean()) == pytest.approx(0, abs=0.02)
    assert torch.allclose(saturation @ grey, grey.expand(len(hue), 4), atol=1e-5)
    assert float((saturation @ sideways)[:, 0].log2().std()) == pytest.approx(1.0, rel=0.02)


def test_grey_images_stay_grey_and_one_channel_fares_as_three_equal_ones():
    grey = images(32, channels=1)
    torch.manual_seed(5)
    three = augmented(grey.expand(-1, 3, -1, -1), 0.8)
    assert (three - three.mean(1, keepdim=True)).abs().max() < 1e-5
    torch.manual_seed(5)
    one = augmented(grey, 0.8)
    assert one.shape == grey.shape
    # hue and saturation, drawn last, do nothing to grey
    assert torch.allclose(one, three[:, :1], atol=1e-4)


@AUGMENTATIONS
def test_gradients_reach_the_images_once_and_twice(augment):
    x = images(2, height=4, width=5, dtype=torch.float64).requires_grad_()

    def once(x):
        torch.manual_seed(3)
        return augment(x)

    assert torch.autograd.gradcheck(once, x)
    # twice: what a gradient penalty behind an augmentation needs
    assert torch.autograd.gradgradcheck(lambda x: once(x).square(), x, fast_mode=True)


@AUGMENTATIONS
def test_images_of_a_batch_are_augmented_independently(augment):
    torch.manual_seed(0)
    same = augment(images(1, height=16, width=16).expand(16, -1, -1, -1))
    assert len(same.flatten(1).unique(dim=0)) == 16
    assert not torch.equal(augment(images()), augment(images()))  # real and fake: two calls, two draws


@AUGMENTATIONS
@pytest.mark.parametrize("shape", [(2, 1, 5, 9), (2, 3, 8, 8), (1, 3, 1, 1)])
def test_any_size_is_taken(augment, shape):
    x = torch.rand(shape) * 2 - 1
    assert augment(x).shape == shape
    assert torch.isfinite(augment(x)).all()


@pytest.mark.parametrize("module", [DiffAugment(), AdaptiveAugmentation()], ids=["diffaugment", "ada"])
def test_augmentations_compile_in_one_piece(module):
    if isinstance(module, AdaptiveAugmentation):
        module.probability.fill_(0.7)
    x = images(5, height=16, width=16)
    whole = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.manual_seed(1)
    eager = module(x)
    torch.manual_seed(1)
    assert torch.allclose(whole(x), eager, atol=1e-5)
    torch._dynamo.reset()


def test_ada_refuses_other_numbers_of_channels():
    with pytest.raises(UsageError, match="1 or 3 channels, not 4"):
        augmented(images(channels=4), 0.5)


def test_the_controller_goes_towards_0_6_and_stays_a_probability():
    most = torch.tensor([1.0] * 9 + [-1.0])  # r_t = 0.8
    half = torch.tensor([1.0, -1.0])  # r_t = 0
    assert float(adapted(torch.tensor(0.5), most)) == pytest.approx(0.5 + 10 / 500_000)
    assert float(adapted(torch.tensor(0.5), half)) == pytest.approx(0.5 - 2 / 500_000)
    assert float(adapted(torch.tensor(0.5), torch.tensor([1.0] * 4 + [-1.0]))) == 0.5  # r_t = 0.6: it is there
    assert float(adapted(torch.tensor(0.0), half)) == 0.0
    assert float(adapted(torch.tensor(1.0), most)) == 1.0
    module = AdaptiveAugmentation()
    for _ in range(100):
        module.adapt({"real_signs": torch.ones(5_000)})
    assert float(module.probability) == pytest.approx(1, abs=1e-5)
    assert "probability" in module.state_dict()


def test_diffaugment_changes_colours_as_told():
    torch.manual_seed(0)
    x = images(4000, height=2, width=2)
    y = diffaugment.colour(x)
    brighter = y.mean((1, 2, 3)) - x.mean((1, 2, 3))
    assert brighter.abs().max() <= 0.5 + 1e-6
    assert float(brighter.std()) == pytest.approx(1 / math.sqrt(12), rel=0.05)

    def contrast(x):
        return x.mean(1) - x.mean((1, 2, 3))[:, None, None]

    ratio = (contrast(y) / contrast(x)).flatten(1)  # of grey values: what saturation cannot change
    assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-2, atol=1e-2)
    assert 0.49 < ratio.quantile(0.01) < ratio.quantile(0.99) < 1.51

    def saturation(x):
        return (x - x.mean(1, keepdim=True)).flatten(1).norm(dim=1)

    strength = saturation(y) / saturation(x) / ratio[:, 0]
    assert 0 <= strength.min() < 0.05
    assert 1.95 < strength.quantile(0.99) < 2.05
    assert float(strength.mean()) == pytest.approx(1, abs=0.03)


def test_diffaugment_moves_by_whole_pixels_up_to_an_eighth():
    torch.manual_seed(0)
    x = torch.zeros(4000, 1, 16, 24)
    x[:, :, 8, 12] = 1
    y = diffaugment.translation(x)
    _, _, rows, columns = y.nonzero(as_tuple=True)
    assert len(rows) == 4000
    for offsets, most in ((rows - 8, 2), (columns - 12, 3)):
        values, counts = offsets.unique(return_counts=True)
        assert values.tolist() == list(range(-most, most + 1))
        assert counts.float().std() / counts.float().mean() < 0.1
    full = diffaugment.translation(torch.ones(500, 2, 16, 16))
    shares = full.mean((1, 2, 3))  # what came in is 0
    assert shares.max() == 1
    assert float(shares.min()) == pytest.approx((14 / 16) ** 2)
    for edge in (full[:, 0, 0, 8], full[:, 0, -1, 8], full[:, 0, 8, 0], full[:, 0, 8, -1]):
        assert float((edge == 0).float().mean()) == pytest.approx(2 / 5, abs=0.07)  # moved away from: two ways of five


def test_diffaugment_cuts_half_by_half():
    torch.manual_seed(0)
    y = diffaugment.cutout(torch.ones(4000, 2, 16, 12))
    assert torch.equal(y[:, 0], y[:, 1])
    blank = (y[:, 0] == 0).sum((1, 2))
    assert blank.max() == 8 * 6
    assert blank.min() == 4 * 3  # a centre in a corner
    somewhere = (y[:, 0] == 0).float().mean(0)
    # a centre lies on one of the 17 x 13 lines between pixels; 8 x 6 of them blank an inner pixel, 5 x 4 the corner
    assert float(somewhere[8, 6]) == pytest.approx(8 / 17 * 6 / 13, abs=0.02)
    assert float(somewhere[0, 0]) == pytest.approx(5 / 17 * 4 / 13, abs=0.02)
