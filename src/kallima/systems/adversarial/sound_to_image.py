"""Sound to image (Wan et al. 2018): a picture of what is heard."""

from kallima.data.spec import Audio, Image, Spec
from kallima.recipe import recipe
from kallima.systems.adversarial.gan_cls import MatchingAwareGAN, matching_aware_gan
from kallima.systems.adversarial.sense_settings import Senses
from kallima.systems.adversarial.settings import Networks, Play


@recipe(
    "sound-to-image",
    family="adversarial",
    paper="Wan et al. 2018, arXiv:1808.04108",
    needs={"image": Image, "audio": Audio},
    steps=6_000,
    batch_size=64,
)
def sound_to_image(
    spec: Spec,
    *,
    condition_on: tuple[str, ...] = ("audio",),
    senses: Senses = Senses(),
    networks: Networks = Networks(generator="resnet", discriminator="plain", width=32, latent_dim=64),
    play: Play = Play(learning_rate=1e-3, beta1=0.0, beta2=0.99, schedule="cosine"),
) -> MatchingAwareGAN:
    """Images of what is heard: `gan-cls` with a sound, such as a spoken digit, in the place of a caption.

    `kallima sample RUN --condition three.wav` draws what the file sounds like, `"three.wav, gain=-20"` the same 20 dB
    softer. The paper's discriminator also names the class of a sound, for which ours needs no labels.

    Args:
        condition_on: which of audio, text, label, attributes, values and domain to condition on.
    """
    return matching_aware_gan(spec, condition_on, senses, networks, play)
