"""What games with an encoder have in common: codes of examples, and what becomes of them."""

import torch
from torch import Tensor

from kallima.layers.modes import evaluating
from kallima.networks.encoder import GaussianEncoder, PointEncoder
from kallima.systems.adversarial.game import TwoPlayerGame


class EncodingGame(TwoPlayerGame):
    """A game with an `encoder` E beside the generator G, from examples to latents."""

    encoder: PointEncoder | GaussianEncoder

    @torch.no_grad()
    def encode(self, examples: Tensor) -> Tensor:
        """Return the codes (N, d) of examples (N, …), means where they are drawn: latents that `decode` takes."""
        with evaluating(self):
            return self.encoder(examples)

    def reconstruct(self, examples: Tensor) -> Tensor:
        """Return G(E(x)) of examples (N, …): (N, …)."""
        return self.decode(self.encode(examples))
