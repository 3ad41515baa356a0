"""VGAN (Vondrick et al. 2016): whole clips from one latent, what moves painted before what does not."""

from kallima.data.spec import Spec, Video
from kallima.networks.clips import ClipDiscriminator, TwoStreamGenerator
from kallima.objectives.adversarial import non_saturating
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.settings import Play


@recipe(
    "video-gan",
    family="video",
    paper="Vondrick et al. 2016, arXiv:1609.02612",
    needs={"video": Video},
    steps=6_000,
    batch_size=64,
)
def video_gan(
    spec: Spec,
    *,
    latent_dim: int = 64,
    width: int = 32,
    play: Play = Play(learning_rate=5e-4, discriminator_learning_rate=5e-4, schedule="cosine"),
) -> GAN:
    """Whole clips from one latent by convolutions over time and space: a moving foreground before a still background.

        G(z) = m(z) f(z) + (1 − m(z)) b(z)
        discriminator   minimises  −E log D(x) − E log(1 − D(G(z)))
        generator       minimises  −E log D(G(z))

    f, the foreground, and m, its mask, are clips, b is one image. The discriminator sees whole clips, spectrally
    normalised where the paper's is batch-normalised; the paper's penalty on the mask is left out.

    Args:
        latent_dim: dimensions of the latent z.
        width: channels at half the size of a frame.
    """
    video = spec["video"]
    assert isinstance(video, Video)
    generator = TwoStreamGenerator(latent_dim, video, width=width)
    return GAN(spec, generator, ClipDiscriminator(video, width=width), objective=non_saturating, play=play)
