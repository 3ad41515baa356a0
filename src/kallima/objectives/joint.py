"""A game over pairs: of an example and the code found for it, and of a latent and the example made of it.

`encoded` holds the discriminator's logits (N,) for pairs (x, E(x)), `generated` those for pairs (G(z), z).
"""

import torch.nn.functional as F
from torch import Tensor

from kallima.objectives.adversarial import Terms


def joint_discriminator(encoded: Tensor, generated: Tensor) -> Terms:
    """-E log D(x, E(x)) - E log(1 - D(G(z), z)) (Donahue et al. 2017, Eq. 2).

    Its minimum over D is log 4 - 2 JS of the two joint distributions: log 4 = 1.3863 where they are one.
    """
    return {"encoded": F.softplus(-encoded).mean(), "generated": F.softplus(generated).mean()}


def joint_inference(encoded: Tensor, generated: Tensor) -> Terms:
    """-E log(1 - D(x, E(x))) - E log D(G(z), z): the same labels swapped, on both sides (section 3.4).

    Swapping only the generator's side would leave the encoder with the saturating loss.
    """
    return {"encoded": F.softplus(encoded).mean(), "generated": F.softplus(-generated).mean()}
