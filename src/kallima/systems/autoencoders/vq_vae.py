"""The vector-quantised autoencoder (van den Oord et al. 2017): a code is a map of words from a book, with a prior."""

from collections.abc import Mapping

import torch
from torch import Tensor

from kallima.data.spec import Image, Spec
from kallima.errors import DataError, UsageError
from kallima.layers.modes import evaluating
from kallima.layers.quantiser import Quantiser
from kallima.networks.feature_maps import MapDecoder, MapEncoder
from kallima.objectives.likelihood import Likelihood
from kallima.recipe import recipe
from kallima.system import Batch, Phase, System, Terms
from kallima.systems.autoencoders.settings import Pixels
from kallima.systems.autoencoders.vae import likelihood_of
from kallima.systems.autoregressive.gated_pixel_cnn import GatedPixelCNN
from kallima.systems.descent import Descent, player


class VQVAE(System):
    """An autoencoder whose code is discrete: at each place of a small map the index of a vector in a codebook.

    van den Oord, Vinyals & Kavukcuoglu 2017, "Neural discrete representation learning", arXiv:1711.00937.

        k(u) = argmin_j ‖E(x)_u − e_j‖²,     z(u) = e_k(u)                                       (Eq. 1, 2)
        minimised   −log p(x | z) + β Σ_u ‖E(x)_u − sg[z(u)]‖²                                   (Eq. 3)
        e_j         follows the mean of the E(x)_u that chose it                                 (appendix A.1)

    Symbols: x an image, u a place of the map at a quarter of its size, E the encoder, e_j the codes, sg[·] without a
    gradient, β the price of a vector that strays from its code. The gradient of the first term goes straight through
    from z to E(x). The second is summed over the numbers of a code and over places, as −log p is over pixels.

    The training's first part, `--autoencoding` of it, finds the codes. The rest is the prior's (section 4.1): with
    encoder, decoder and codebook at rest, a gated PixelCNN learns the maps k of the training images as they are,

        minimised   −E Σ_u log p(k(u) | k(1), …, k(u − 1)),     places row by row

    and new images are what the decoder makes of maps drawn from it. As k is certain given x, log p(x | z(k)) + log p(k)
    is a lower bound on log p(x), in whatever nats the likelihood has: `kallima evaluate --metrics elbo`.

    What to watch: the note "perplexity", e to the entropy of how often codes are chosen in a batch: how many are
    in use. At 1 the code says nothing. Codes that lie idle are put on vectors of the batch. "prior" is in nats a map.

    What can be done with it: `reconstruct`, `sample`, and `words`, the map of indices.
    """

    def __init__(
        self,
        spec: Spec,
        likelihood: Likelihood,
        *,
        codes: int,
        dimensions: int,
        width: int,
        commitment: float,
        autoencoding: float,
        prior_width: int,
        prior_depth: int,
        descent: Descent,
    ):
        super().__init__()
        if not 0 < autoencoding <= 1:
            raise UsageError(f"--autoencoding is a share above 0, not {autoencoding:g}")
        image = spec["image"]
        assert isinstance(image, Image)
        colours, height, columns = image.shape
        if height % 4 or columns % 4:
            raise DataError(f"{height}x{columns} pixels cannot be halved twice: give --size {4 * max(2, height // 4)}")
        if codes < 2 or commitment < 0 or min(dimensions, width) < 2:
            raise UsageError("--codes, --dimensions and --width count from 2, and --commitment is not negative")
        self.spec, self.likelihood, self.commitment, self.descent = spec, likelihood, commitment, descent
        self.encoder = MapEncoder(colours, dimensions, width=width)
        self.decoder = MapDecoder(dimensions, likelihood.numbers * colours, width=width)
        self.quantiser = Quantiser(codes, dimensions)
        self.autoencoding = autoencoding
        # a map of words is an image of few colours: the word's number in base 256
        words = tuple((word // 256, word % 256, 0) for word in range(codes))
        maps = Spec({"image": Image(3, height // 4, columns // 4, words)})
        self.prior = GatedPixelCNN(
            maps, levels=None, width=prior_width, depth=prior_depth, kernel=5, descent=Descent(learning_rate=1e-3)
        )

    def game(self) -> list[Phase]:
        """One player finds the codes, after each of whose steps the codebook follows; then another learns their law."""
        both = player("autoencoder", self.encoder, self.decoder, self.quantiser, descent=self.descent)
        prior = player("prior", *self.prior.children(), descent=self.prior.descent)
        start = self.autoencoding
        return [
            Phase("autoencoder", both, self.loss, during=(0.0, start), after=self.follow),
            Phase("prior", prior, self.prior_loss, during=(start, 1.0)),
        ]

    def prior_loss(self, batch: Batch) -> Terms:
        """−log p of the maps of words of the batch's images, nats a map."""
        with torch.no_grad():
            features = self.encoder(self.likelihood.target(batch["image"]))
            words = self.quantiser(features.movedim(1, 3).flatten(0, 2)).indices.view(len(features), -1)
        return {"prior": -self.log_prior(words).mean()}

    def log_prior(self, words: Tensor) -> Tensor:
        """Return log p of maps of words (N, h · w), row by row: (N,), nats."""
        return self.prior.log_probabilities(words, self.prior.parameters_of(words, None)).sum(1)

    def loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """The error of the batch's images as the codebook can say them, and how far they strayed from it."""
        images = self.likelihood.target(batch["image"])
        features = self.encoder(images)  # (N, D, h, w)
        vectors = features.movedim(1, 3).flatten(0, 2)
        snapped = self.quantiser(vectors)
        shape = (len(images), *features.shape[2:], features.shape[1])
        parameters = self.decoder(snapped.vectors.view(shape).movedim(3, 1))
        strayed = snapped.distances.view(len(images), -1).sum(1).mean()
        frequency = torch.zeros_like(self.quantiser.counts).index_add(
            0, snapped.indices, torch.ones_like(snapped.distances)
        ) / len(vectors)
        notes = {
            "perplexity": torch.exp(-(frequency * frequency.clamp_min(1e-12).log()).sum()),
            "vectors": vectors.detach(),
            "indices": snapped.indices,
        }
        error = -self.likelihood.log_probability(parameters, images).mean()
        return {"reconstruction": error, "commitment": self.commitment * strayed}, notes

    def follow(self, notes: Mapping[str, Tensor]) -> None:
        """Move the codebook."""
        self.quantiser.follow(notes["vectors"], notes["indices"])

    @torch.no_grad()
    def words(self, examples: Tensor) -> Tensor:
        """Return the indices of the codes of images (N, C, H, W): int64 (N, H/4, W/4)."""
        with evaluating(self):
            features = self.encoder(examples)
            indices = self.quantiser(features.movedim(1, 3).flatten(0, 2)).indices
            return indices.view(len(examples), *features.shape[2:])

    @torch.no_grad()
    def spell(self, words: Tensor) -> Tensor:
        """Return the images of maps of indices (N, H/4, W/4): (N, C, H, W) in [-1, 1]."""
        with evaluating(self):
            return self.likelihood.mean(self.decoder(self.quantiser.lookup(words).movedim(3, 1)))

    def reconstruct(self, examples: Tensor) -> Tensor:
        """Return what the decoder makes of the words of images (N, C, H, W): likewise."""
        return self.spell(self.words(examples))

    def sample(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
        """Return what the decoder makes of `count` maps drawn from the prior: (count, C, H, W) in [-1, 1]."""
        return self.spell(self._read(self.prior.sample(count, rng=rng)))

    @torch.no_grad()
    def log_weights_of(self, batch: Batch, draws: int) -> Tensor:
        """Return log p(x | z(k)) + log p(k) of the batch's images and their words: (1, N), a bound in nats."""
        with evaluating(self):
            images = self.likelihood.target(batch["image"])
            features = self.encoder(images)
            words = self.quantiser(features.movedim(1, 3).flatten(0, 2)).indices.view(len(images), *features.shape[2:])
            parameters = self.decoder(self.quantiser.lookup(words).movedim(3, 1))
            return (self.likelihood.log_probability(parameters, images) + self.log_prior(words.flatten(1)))[None]

    @property
    def likelihood_notes(self) -> tuple[str, ...]:
        """What the nats are of."""
        return (self.likelihood.note, "of one map of words an image, the one that the encoder gives")

    def _read(self, maps: Tensor) -> Tensor:
        """Return the words (N, h, w) of what the prior makes."""
        return self.prior.components_of(maps).view(-1, self.prior.rows, self.prior.columns)


@recipe(
    "vq-vae",
    family="autoencoders",
    paper="van den Oord et al. 2017, arXiv:1711.00937",
    needs={"image": Image},
    steps=20_000,
    batch_size=64,
)
def vq_vae(
    spec: Spec,
    *,
    codes: int = 256,
    dimensions: int = 32,
    width: int = 64,
    commitment: float = 0.25,
    autoencoding: float = 0.5,
    prior_width: int = 48,
    prior_depth: int = 6,
    pixels: Pixels = Pixels(likelihood="fixed-gaussian", deviation=0.2),
    descent: Descent = Descent(learning_rate=5e-4),
) -> VQVAE:
    """An autoencoder whose code is a small map of words from a book of vectors; then a PixelCNN learns their law.

    minimised   −log p(x | z) + β Σ_u ‖E(x)_u − sg[z(u)]‖²,     z(u) the code nearest to E(x)_u
                −Σ_u log p(k(u) | k(1), …, k(u − 1)),           k(u) its number

    Args:
        codes: how many vectors K the codebook has.
        dimensions: numbers of each of them.
        width: channels of encoder and decoder at a quarter of the image's size.
        commitment: β, the price of straying from the codebook.
        autoencoding: share of the training that finds the codes; the rest learns their prior.
        prior_width: channels of the prior's stacks.
        prior_depth: layers of the prior after the first.
    """
    return VQVAE(
        spec,
        likelihood_of(pixels),
        codes=codes,
        dimensions=dimensions,
        width=width,
        commitment=commitment,
        autoencoding=autoencoding,
        prior_width=prior_width,
        prior_depth=prior_depth,
        descent=descent,
    )
