"""Whole clips from one latent: two streams, and a discriminator who sees time."""

from functools import partial
from pathlib import Path

import pytest
import torch

import kallima
from kallima.data.batch import Batch
from kallima.data.spec import Spec, Video
from kallima.errors import UsageError
from kallima.networks.clips import ClipDiscriminator, TemporalGenerator, TwoStreamGenerator, time_halvings
from kallima.recipe import get_recipe
from kallima.training.trainer import Trainer

VIDEOS = [Video(1, 1, 8, 8), Video(2, 1, 8, 8), Video(3, 3, 8, 16), Video(12, 1, 16, 16), Video(7, 1, 32, 32)]


GENERATORS = [TwoStreamGenerator, partial(TemporalGenerator, motion=2)]


@pytest.mark.parametrize("generator", GENERATORS, ids=["two streams", "path"])
@pytest.mark.parametrize("video", VIDEOS, ids=str)
def test_clips_have_the_shape_of_the_data_and_are_judged(video, generator):
    torch.manual_seed(0)
    clips = generator(5, video, width=4)(torch.randn(3, 5))
    assert clips.shape == (3, *video.shape)
    assert clips.abs().max() <= 1
    assert ClipDiscriminator(video, width=4)(clips).shape == (3,)


def test_time_is_halved_until_two_or_three_frames_are_left():
    assert [time_halvings(frames, 9) for frames in (1, 2, 3, 4, 7, 8, 12, 16)] == [0, 0, 0, 1, 1, 2, 2, 3]
    assert time_halvings(16, 2) == 2


def test_a_clip_is_what_moves_before_what_stands_still():
    torch.manual_seed(0)
    generator = TwoStreamGenerator(5, Video(4, 3, 8, 8), width=4)
    latent = torch.randn(2, 5)
    foreground, mask, background = generator.streams(latent)
    assert (foreground.shape, mask.shape, background.shape) == ((2, 4, 3, 8, 8), (2, 4, 1, 8, 8), (2, 1, 3, 8, 8))
    assert 0 <= mask.min() <= mask.max() <= 1
    torch.testing.assert_close(generator(latent), mask * foreground + (1 - mask) * background)
    with torch.no_grad():
        last = generator.clip[-1]
        last.weight[:, -1], last.bias[-1] = 0, -50.0  # the mask is closed: only the background is seen
    still = generator(latent)
    torch.testing.assert_close(still, still[:, :1].expand_as(still))
    assert foreground.diff(dim=1).abs().max() > 1e-4


def test_frames_differ_by_the_path_alone():
    torch.manual_seed(0)
    generator = TemporalGenerator(5, Video(7, 1, 8, 8), width=4, motion=2).eval()
    latent = torch.randn(2, 5)
    path = generator.path(latent)[..., :7]
    assert path.shape == (2, 2, 7)
    assert path.abs().max() <= 1
    clips = generator(latent)
    assert (clips.diff(dim=1).abs().amax((2, 3, 4)) > 1e-6).all()
    frame = generator.frame(torch.cat([latent, path[:, :, 3]], 1))  # the fourth frame, painted by itself
    torch.testing.assert_close(clips[:, 3], frame)
    with torch.no_grad():
        generator.path[-2].weight.zero_()
    still = generator(latent)
    torch.testing.assert_close(still, still[:, :1].expand_as(still))
    assert not torch.allclose(still[0, 0], still[1, 0], atol=1e-4)  # but each clip is of its own


def test_the_discriminator_sees_every_frame_and_their_order():
    torch.manual_seed(0)
    discriminator = ClipDiscriminator(Video(6, 1, 8, 8), width=4).eval()
    clips = torch.randn(2, 6, 1, 8, 8, requires_grad=True)
    scores = discriminator(clips)
    (gradient,) = torch.autograd.grad(scores.sum(), clips)
    assert (gradient.abs().amax((2, 3, 4)) > 0).all()
    assert not torch.allclose(discriminator(clips.flip(1)), scores, atol=1e-4)


class Steps:
    """A white bar that is on the left, then on the right, and stays where it is from clip to clip."""

    position = 0

    def next(self) -> Batch:
        self.position += 1
        video = torch.full((32, 2, 1, 8, 8), -1.0)
        video[:, 0, :, :, 1:3] = 1
        video[:, 1, :, :, 5:7] = 1
        flip = torch.rand(32, generator=torch.Generator().manual_seed(self.position)) < 0.5
        video[flip] = video[flip].transpose(-1, -2)
        return Batch({"video": video})

    def seek(self, position: int) -> None:
        self.position = position


def nearest(clips: torch.Tensor) -> torch.Tensor:
    """Return the mean absolute distance of each clip from the nearer of the two that there are."""
    data = Steps().next()["video"]
    return (clips[:, None] - data[None]).abs().flatten(2).mean(2).amin(1)


def test_it_learns_what_moves_and_how():
    torch.manual_seed(0)
    spec = Spec({"video": Video(2, 1, 8, 8)})
    system = get_recipe("video-gan").build(
        spec, latent_dim=4, width=16, learning_rate=4e-3, discriminator_learning_rate=1e-3, average=0.9
    )
    assert nearest(system.sample(64)).mean() > 0.7
    trainer = Trainer(system, {"data": Steps()}, steps=200)
    for _ in range(200):
        trainer.play()
    assert nearest(trainer.average.system.sample(64)).mean() < 0.35


def test_a_score_that_nothing_gives_is_refused_before_training(tmp_path: Path):
    with pytest.raises(UsageError, match="--evaluate-every: there is no score of video-gan"):
        kallima.train("video-gan", data="moving-digit", steps=2, evaluate_every=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
