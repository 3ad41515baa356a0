"""TGAN (Saito et al. 2017): a clip is a path through the latents of images."""

from kallima.data.spec import Spec, Video
from kallima.networks.clips import ClipDiscriminator, TemporalGenerator
from kallima.objectives.adversarial import non_saturating
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.settings import Play


@recipe(
    "tgan",
    family="video",
    paper="Saito et al. 2017, arXiv:1611.06624",
    needs={"video": Video},
    steps=6_000,
    batch_size=32,
)
def tgan(
    spec: Spec,
    *,
    latent_dim: int = 64,
    motion: int = 8,
    width: int = 32,
    play: Play = Play(learning_rate=3e-4, schedule="cosine"),
) -> GAN:
    """A temporal generator draws a path, and an image generator paints each of its points: one thing that moves.

        G(z₀) = G₁(z₀, z_1), …, G₁(z₀, z_T),     z_1, …, z_T = G₀(z₀)
        discriminator   minimises  −E log D(x) − E log(1 − D(G(z)))
        generator       minimises  −E log D(G(z))

    All frames are told the same z₀, so that what is in them need not be invented again in each. The discriminator
    sees whole clips. The paper plays Wasserstein's game and clips singular values; this one is spectrally normalised.
    On moving digits it fell to one clip in both trainings of 2,500 steps: try --pack 2, or `video-gan`.

    Args:
        latent_dim: dimensions of the latent z₀.
        motion: dimensions of what differs from frame to frame, z_t.
        width: channels at half the size of a frame.
    """
    video = spec["video"]
    assert isinstance(video, Video)
    generator = TemporalGenerator(latent_dim, video, width=width, motion=motion)
    return GAN(spec, generator, ClipDiscriminator(video, width=width), objective=non_saturating, play=play)
