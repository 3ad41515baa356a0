"""Deep feature consistent variational autoencoders (Hou et al. 2017): images are compared by what a network sees."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.data.spec import Image, Label, Spec
from kallima.errors import UsageError
from kallima.layers.latent import NormalPrior
from kallima.layers.modes import evaluating
from kallima.networks.perceptual import SmallFeatures, VGG19Features
from kallima.objectives.gaussian import reparameterised, standard_normal_divergence
from kallima.objectives.perceptual import unlikeness
from kallima.recipe import recipe
from kallima.system import Batch, Phase, System, Terms
from kallima.systems.autoencoders.coding import coders
from kallima.systems.autoencoders.settings import Coders
from kallima.systems.descent import Descent, player


class DFCVAE(System):
    """A variational autoencoder that need not get each pixel right, but what a classifier's layers make of them.

    Hou et al. 2017, "Deep feature consistent variational autoencoder", arXiv:1610.00513.

        minimised   λ Σ_l ½ E (f_l(x) − f_l(x̂))² / Var f_l + β KL(q(z | x) ‖ N(0, I)),     x̂ = G(z), z ~ q(z | x)

    Symbols: x an image, z its code, q(z | x) = N(μ(x), diag σ²(x)) the encoder, G the decoder, f_l the maps of layer l
    of a feature network, which this game does not move. λ is what images cost, in nats, whose features say half of
    nothing of the original; the divergence is in nats too. A shift by one pixel changes all pixels of a stroke and
    hardly its features: so blur costs more than it does with pixels, and a slight displacement less.

    Features. `labels`: a small classifier, which learns the data's labels in the first part of the run and then stands
    still. `random`: the same network, never trained; even so its layers tell edges from areas. A file of VGG-19's
    weights in torchvision's layout (vgg19-dcbb9e9d.pth of its releases): the paper's, of relu1_1, relu2_1, … by
    `--layers`. `auto` is labels where the data has them, else random. In Python, `DFCVAE` takes any network from images
    to a list of maps; an ONNX file will not do, as no gradient comes back through it.

    What to watch: "layer_1" …, each λ/2 at the start: a layer that stays there is one that the code does not carry.
    "divergence" near 0 says that λ is too small. There is no likelihood of pixels, so no bound to report: hold it
    against `vae` by what samples look like (`kallima evaluate --metrics fid`).

    Where we deviate: the paper divides by the size of a map and not by its variance, and weighs Caffe's features by ½
    and KL by 1; torchvision's weights make features of another scale, the variance none of any.
    """

    def __init__(
        self,
        spec: Spec,
        networks: Coders,
        features: nn.Module,
        *,
        study: float,
        likeness: float,
        beta: float,
        descent: Descent,
    ):
        super().__init__()
        self.spec, self.study, self.likeness, self.beta, self.descent = spec, study, likeness, beta, descent
        self.prior = NormalPrior(networks.latent_dim)
        self.parts = {"z": slice(0, networks.latent_dim)}
        self.encoder, self.decoder = coders(spec, networks, outputs=2 * networks.latent_dim, inputs=networks.latent_dim)
        self.features = features
        self.frozen = () if study else (features,)

    def game(self) -> list[Phase]:
        """The classifier first, where it has to learn, then the autoencoder."""
        if isinstance(self.features, VGG19Features):
            self.features.check()
        phases = []
        if self.study:
            student = player("features", self.features, descent=Descent())
            phases.append(Phase("features", student, self.features_loss, during=(0.0, self.study)))
        both = player("autoencoder", self.encoder, self.decoder, descent=self.descent)
        return [*phases, Phase("autoencoder", both, self.loss, during=(self.study, 1.0))]

    def features_loss(self, batch: Batch) -> tuple[Terms, Mapping[str, Tensor]]:
        """Know the classes of the batch."""
        logits, labels = self.features.logits(batch["image"]), batch["label"]  # type: ignore[operator]
        accuracy = (logits.argmax(1) == labels).to(torch.float32).mean()
        return {"classification": F.cross_entropy(logits, labels)}, {"accuracy": accuracy}

    def loss(self, batch: Batch) -> Terms:
        """What the features of the batch and of its reconstructions differ by, and what the codes cost."""
        images = batch["image"]
        mean, log_variance = self.moments(images)
        rebuilt = self.images_of(reparameterised(mean, log_variance, torch.randn_like(mean)))
        with torch.no_grad():
            wanted = self.features(images)
        costs = unlikeness(wanted, self.features(rebuilt))
        terms = {f"layer_{place}": self.likeness * cost for place, cost in enumerate(costs, 1)}
        return terms | {"divergence": self.beta * standard_normal_divergence(mean, log_variance).mean()}

    def moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance (N, d) of the codes of images (N, C, H, W)."""
        mean, log_variance = self.encoder(images).chunk(2, 1)
        return mean, log_variance

    def images_of(self, codes: Tensor) -> Tensor:
        """Return G(z) of codes (N, d): (N, C, H, W) in [-1, 1]."""
        return torch.tanh(0.5 * self.decoder(codes))  # as the mean of `vae`, whose decoder gives logits

    @torch.no_grad()
    def latents(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
        """Draw `count` codes (count, d) from the prior; `rng` is a generator on the CPU."""
        return self.prior.draw(count, self.device, rng or torch.default_generator)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return G(z) of codes (N, d): (N, C, H, W) in [-1, 1]."""
        with evaluating(self):
            return self.images_of(latents)

    @torch.no_grad()
    def sample(self, count: int, *, rng: torch.Generator | None = None) -> Tensor:
        """Return G(z) of `count` fresh codes: (count, C, H, W) in [-1, 1]; `rng` is a generator on the CPU."""
        return self.decode(self.latents(count, rng=rng))

    @torch.no_grad()
    def encode(self, examples: Tensor) -> Tensor:
        """Return the mean codes (N, d) of images (N, C, H, W)."""
        with evaluating(self):
            return self.moments(examples)[0]

    def reconstruct(self, examples: Tensor) -> Tensor:
        """Return G(μ(x)) of images (N, C, H, W): (N, C, H, W) in [-1, 1]."""
        return self.decode(self.encode(examples))


@recipe(
    "dfc-vae",
    family="autoencoders",
    paper="Hou et al. 2017, arXiv:1610.00513",
    needs={"image": Image},
    steps=24_500,
    batch_size=100,
)
def dfc_vae(
    spec: Spec,
    *,
    features: str = "auto",
    layers: tuple[int, ...] = (1, 2, 3),
    likeness: float = 200.0,
    beta: float = 1.0,
    study: float = 0.1,
    networks: Coders = Coders(),
    descent: Descent = Descent(),
) -> DFCVAE:
    """A variational autoencoder that compares images by a network's features and not by their pixels.

    minimised   λ Σ_l ½ E (f_l(x) − f_l(x̂))² / Var f_l + β KL(q(z | x) ‖ N(0, I))

    Args:
        features: auto, labels (a classifier that learns first), random, or a file of VGG-19's weights.
        layers: whose maps are compared, from the image up: 1 to 3, of VGG-19 1 to 5.
        likeness: λ, nats for what features differ by.
        beta: weight of the divergence of the codes from the prior.
        study: share of the training in which the classifier of `--features labels` learns.
    """
    if not 0 < study < 1 or min(likeness, beta) < 0:
        raise UsageError("--study is a share of the training between 0 and 1; --likeness and --beta are not negative")
    image, label = spec["image"], spec.get("label")
    assert isinstance(image, Image)
    classes = len(label.classes) if isinstance(label, Label) else 0
    learned = features == "labels" or (features == "auto" and classes > 1)
    if learned and classes < 2:
        raise UsageError("--features labels needs data with two classes or more: take random, or VGG-19's weights")
    network: nn.Module
    if features in ("auto", "labels", "random"):
        network = SmallFeatures(image, classes=classes if learned else 0, layers=layers)
    else:
        network = VGG19Features(image, features, layers=layers)
    return DFCVAE(
        spec,
        networks,
        network,
        study=study if learned else 0.0,
        likeness=likeness,
        beta=beta,
        descent=descent,
    )
