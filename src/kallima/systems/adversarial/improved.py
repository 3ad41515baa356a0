"""Improved techniques (Salimans et al. 2016): feature matching and minibatch discrimination."""

from kallima.data.spec import Image, Points, Spec
from kallima.objectives.adversarial import non_saturating
from kallima.objectives.feature_matching import feature_matching
from kallima.recipe import recipe
from kallima.systems.adversarial.gan import GAN
from kallima.systems.adversarial.pair import pair
from kallima.systems.adversarial.settings import Networks, Play, Stabilisers


@recipe(
    "feature-matching",
    family="adversarial",
    paper="Salimans et al. 2016, arXiv:1606.03498",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def feature_matching_gan(
    spec: Spec,
    *,
    networks: Networks = Networks(),
    play: Play = Play(learning_rate=1e-3),
    stabilisers: Stabilisers = Stabilisers(),
) -> GAN:
    """The generator matches the mean of the discriminator's features over the data (section 3.1).

        discriminator   minimises  −E log D(x) − E log(1 − D(G(z)))
        generator       minimises  ‖E f(x) − E f(G(z))‖²

    f are the features before the last layer. Steady, but means alone do not make samples sharp: its fame is in
    semi-supervised learning.
    """
    return GAN(spec, *pair(spec, networks, stabilisers), objective=feature_matching, play=play, stabilisers=stabilisers)


@recipe(
    "minibatch-discrimination",
    family="adversarial",
    paper="Salimans et al. 2016, arXiv:1606.03498",
    needs=({"points": Points}, {"image": Image}),
    steps=5_000,
    batch_size=256,
)
def minibatch_discrimination(
    spec: Spec,
    *,
    networks: Networks = Networks(generator="mlp"),
    play: Play = Play(learning_rate=1e-3),
    stabilisers: Stabilisers = Stabilisers(minibatch_discrimination=16),
) -> GAN:
    """The discriminator sees how close each example is to the others of its batch (section 3.2): against mode collapse.

        discriminator   minimises  −E log D(x | batch) − E log(1 − D(G(z) | batch))
        generator       minimises  −E log D(G(z) | batch)
        o(x_i)_b = Σ_{j≠i} exp(−‖M_{i,b} − M_{j,b}‖₁),   M = f(x) T

    The o are appended to the features f(x); `--minibatch-discrimination` is their number. Real and fake examples are in
    batches of their own.
    """
    return GAN(spec, *pair(spec, networks, stabilisers), objective=non_saturating, play=play, stabilisers=stabilisers)
