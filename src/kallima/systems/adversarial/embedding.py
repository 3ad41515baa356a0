"""The networks of games of transport: the generator, and a critic that gives embeddings instead of scores."""

from torch import nn

from kallima.data.spec import Spec
from kallima.systems.adversarial.pair import build_discriminator, build_generator
from kallima.systems.adversarial.settings import Networks


def embedding_pair(spec: Spec, networks: Networks, dimensions: int) -> tuple[nn.Module, nn.Module]:
    """Build the generator, and a critic from examples (N, …) to embeddings (N, dimensions).

    The critic is the body of the discriminator that `networks` names, with a linear layer in the place of its head.
    """
    discriminator = build_discriminator(spec, networks)
    assert isinstance(discriminator.head, nn.Linear)
    critic = nn.Sequential(discriminator.body, nn.Linear(discriminator.head.in_features, dimensions))
    return build_generator(spec, networks), critic
