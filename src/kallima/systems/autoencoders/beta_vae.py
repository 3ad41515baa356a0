"""β-VAE (Higgins et al. 2017): the variational autoencoder with a dearer code, at the values of the papers on it."""

from kallima.data.spec import Image, Spec
from kallima.recipe import recipe
from kallima.systems.autoencoders.settings import Charge, Coders, Pixels
from kallima.systems.autoencoders.vae import VAE, likelihood_of
from kallima.systems.descent import Descent


@recipe(
    "beta-vae",
    family="autoencoders",
    paper="Higgins et al. 2017, ICLR; Burgess et al. 2018, arXiv:1804.03599",
    needs={"image": Image},
    steps=30_000,
    batch_size=64,
)
def beta_vae(
    spec: Spec,
    *,
    pixels: Pixels = Pixels(),
    networks: Coders = Coders(network="convolutional", width=32, latent_dim=10),
    charge: Charge = Charge(beta=4.0),
    descent: Descent = Descent(learning_rate=5e-4),
) -> VAE:
    """A variational autoencoder whose code is so dear that each of its numbers comes to stand for one factor.

    minimised   −E log p(x | z) + β KL(q(z | x) ‖ N(0, I)),     β = 4, ten numbers of code

    For sets of few independent factors (`sprites`, `glyphs`). `kallima evaluate --metrics disentanglement,mig` says how
    nearly a number is a factor, where the data knows them; `vae` with these networks is what to hold it against.
    """
    return VAE(spec, networks, likelihood_of(pixels), descent=descent, charge=charge)
