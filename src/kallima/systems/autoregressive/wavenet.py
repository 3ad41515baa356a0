"""WaveNet (van den Oord et al. 2016): sample after sample, by convolutions whose reach doubles from layer to layer."""

import torch
from torch import Tensor

from kallima.conditions import Conditions
from kallima.data.sound import AUDIO_LENGTH
from kallima.data.spec import Attributes, Audio, Label, Spec, Values
from kallima.decoding import Decoding
from kallima.networks.dilated import DilatedNetwork, DilatedSteps
from kallima.recipe import recipe
from kallima.system import Batch, Terms
from kallima.systems.autoregressive.ground import Autoregressive
from kallima.systems.autoregressive.sound_settings import Waves
from kallima.systems.autoregressive.voices import LogisticMixture, MuLaw, Voice
from kallima.systems.descent import Descent

TOGETHER = 16  # sounds whose likelihood is computed at once: what is said of a sample takes a kilobyte


class WaveNet(Autoregressive):
    """Every sample of a sound by one stack of dilated causal convolutions, which sees a long time back.

    van den Oord et al. 2016, "WaveNet: a generative model for raw audio", arXiv:1609.03499.

        log p(x | c) = Σₜ log p(xₜ | xₜ₋ᵣ, …, xₜ₋₁, c),     R = 1 + Σ dilations samples in view, 1,024 for 1, 2, …, 512
        z = tanh(W_f ∗ h + V_f c) ⊙ σ(W_g ∗ h + V_g c)      in each layer; W_r z is added to h, W_s z is said
        p(xₜ | …) = softmax of 256 numbers, for the levels of the μ-law; or a mixture of logistics over 16 bits
        minimised  −E log p(x | c) − E log p(silence after x | x, c)

    The loss of a step is that of `window` samples of each sound, at a random place, with all that they have in view
    computed besides: places are drawn so that every sample is in the window equally often, and the sum is scaled so
    that its mean is the whole sound's. The likelihood is that of a sound's own samples, without the zeros that fill up
    the batch. Those that follow it are learned, as a second term, until nothing but silence is in view: so a
    sample falls silent where a word ends, instead of talking until its time is over.

    Sampling keeps of every layer the `dilation` places that it will see again, in a ring, and computes one column.

    Where we deviate: the first layer hears single samples, where the paper has one more convolution of kernel 2, so the
    reach is the paper's own figure; silence is a level of the μ-law; there is no local conditioning, for no data has a
    field of it yet.
    """

    def __init__(
        self,
        spec: Spec,
        waves: Waves,
        *,
        descent: Descent,
        conditions: Conditions | None = None,
    ):
        audio = spec["audio"]
        assert isinstance(audio, Audio)
        super().__init__(spec, count=audio.shape[0], descent=descent, conditions=conditions)
        self.voice, self.window = voice_of(waves), waves.window
        self.network = DilatedNetwork(
            waves.dilations,
            width=waves.width,
            said=waves.said,
            outputs=self.voice.numbers,
            condition_size=0 if conditions is None else conditions.size,
        )

    @property
    def receptive_field(self) -> int:
        """How many samples before it a sample depends on."""
        return self.network.reach + 1

    def components_of(self, examples: Tensor) -> Tensor:
        """Return the levels (N, T) of sounds."""
        return self.voice.components(examples)

    def examples_of(self, components: Tensor) -> Tensor:
        """Return the sounds of levels (N, T)."""
        return self.voice.sounds(components)

    def parameters_of(self, components: Tensor, condition: Tensor | None) -> Tensor:
        """Return what is said of every sample given those before it: (N, T, K)."""
        heard = self.voice(components[:, :-1])
        return self.network(torch.nn.functional.pad(heard, (0, 0, 1, 0)), condition)

    def log_probabilities(self, components: Tensor, parameters: Tensor) -> Tensor:
        """Return log p of each sample, in nats."""
        return self.voice.log_probabilities(components, parameters)

    def choose(self, parameters: Tensor, decoding: Decoding, rng: torch.Generator) -> Tensor:
        """Draw a sample."""
        return self.voice.choose(parameters, decoding, rng)

    def walk(self, count: int, condition: Tensor | None) -> "SoundWalk":
        """Start through the samples of `count` sounds."""
        return SoundWalk(self, count, condition)

    def loss(self, batch: Batch) -> Terms | tuple[Terms, dict[str, Tensor]]:
        """Return −log p(x | c) and that of the silence after it, nats an example."""
        components, condition, own = self.components_of(batch["audio"]), self.condition_of(batch), self._own(batch)
        taught = (own + self.receptive_field + 1).clamp_max(self.count)
        if self.window >= self.count:
            places, scores = self._all(components, condition)
            weight = torch.ones_like(own, dtype=scores.dtype)
        else:
            ways = taught + self.window - 1  # the places of a window that holds something
            drawn = (torch.rand(len(own), device=own.device) * ways).long().minimum(ways - 1)
            places, scores = self.scores(components, condition, drawn - (self.window - 1))
            weight = ways / self.window
        sound, silence = (places >= 0) & (places < own[:, None]), (places >= own[:, None]) & (places < taught[:, None])
        terms = {
            name: -((scores * where).sum(1) * weight).mean()
            for name, where in (("likelihood", sound), ("silence", silence))
        }
        return terms if condition is None else (terms, {"condition": condition})

    def log_likelihood(self, batch: Batch) -> Tensor:
        """Return log p(x | c) of the batch's own samples: (N,), nats."""
        condition, groups = self.condition_of(batch), torch.arange(len(batch), device=self.device).split(TOGETHER)
        told = [None] * len(groups) if condition is None else [condition[group] for group in groups]
        components, own = self.components_of(batch["audio"]), self._own(batch)
        each = [self._own_score(components[i], c, own[i]) for i, c in zip(groups, told, strict=True)]
        return torch.cat(each)

    def _own_score(self, components: Tensor, condition: Tensor | None, own: Tensor) -> Tensor:
        """Return log p of the first `own` samples (N,) of sounds, window after window."""
        if self.window >= self.count:
            places, scores = self._all(components, condition)
            return (scores * (places < own[:, None])).sum(1)
        total = torch.zeros(len(own), device=own.device)
        for start in range(0, self.count, self.window):
            places, scores = self.scores(components, condition, torch.full_like(own, start))
            total = total + (scores * (places < own[:, None])).sum(1)
        return total

    @property
    def likelihood_notes(self) -> tuple[str, ...]:
        """What the nats are of."""
        return (self.voice.note,)

    def scores(self, components: Tensor, condition: Tensor | None, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Return `window` places of each sound from `starts` (N,) on, and log p of the samples there, both (N, window).

        A start may be negative, and a window end after the sound; what is said of such places means nothing.
        """
        back = min(self.network.reach, self.count)
        places = starts[:, None] + torch.arange(-back, self.window, device=starts.device)
        heard = self.voice(components.gather(1, (places - 1).clamp(0, self.count - 1)))
        heard = heard * (places > 0)[..., None]  # nothing was heard before the first sample
        said = self.network(heard, condition, there=places >= 0, last=self.window)
        own = places[:, back:]
        return own, self.log_probabilities(components.gather(1, own.clamp(0, self.count - 1)), said)

    def _all(self, components: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the places (1, T) of whole sounds, and log p of all samples (N, T)."""
        places = torch.arange(self.count, device=components.device)[None]
        return places, self.log_probabilities(components, self.parameters_of(components, condition))

    def _own(self, batch: Batch) -> Tensor:
        """Return how many samples are the sounds' own, (N,)."""
        if AUDIO_LENGTH in batch:
            return batch[AUDIO_LENGTH]
        return torch.full((len(batch),), self.count, device=batch["audio"].device)


class SoundWalk:
    """A WaveNet's way from sample to sample."""

    def __init__(self, model: WaveNet, count: int, condition: Tensor | None):
        self.voice, self.steps = model.voice, DilatedSteps(model.network, count, condition)
        self.heard = model.network.output.weight.new_zeros(count, model.network.width)
        self.said: Tensor | None = None

    def parameters(self) -> Tensor:
        """Return what is said of the next sample: (N, K)."""
        if self.said is None:
            self.said = self.steps.step(self.heard)
        return self.said

    def take(self, components: Tensor) -> None:
        """Hear a sample, int64 (N,)."""
        self.parameters()
        self.heard, self.said = self.voice(components), None


def voice_of(waves: Waves) -> Voice:
    """Build what a sample is to the model."""
    return MuLaw(waves.width) if waves.output == "mu-law" else LogisticMixture(waves.width, waves.mixtures)


@recipe(
    "wavenet",
    family="autoregressive",
    paper="van den Oord et al. 2016, arXiv:1609.03499",
    needs={"audio": Audio},
    steps=20_000,
    batch_size=8,
)
def wavenet(
    spec: Spec,
    *,
    waves: Waves = Waves(),
    descent: Descent = Descent(learning_rate=3e-3, schedule="cosine", average=0.999),
) -> WaveNet:
    """Sounds sample by sample, by dilated convolutions that see a thousand samples back: exact likelihoods.

    minimised   −E Σₜ log p(xₜ | xₜ₋ᵣ, …, xₜ₋₁)
    """
    return WaveNet(spec, waves, descent=descent)


@recipe(
    "conditional-wavenet",
    family="autoregressive",
    paper="van den Oord et al. 2016, arXiv:1609.03499",
    needs=(
        {"audio": Audio, "label": Label},
        {"audio": Audio, "attributes": Attributes},
        {"audio": Audio, "values": Values},
    ),
    steps=20_000,
    batch_size=8,
)
def conditional_wavenet(
    spec: Spec,
    *,
    condition_on: tuple[str, ...] = (),
    waves: Waves = Waves(),
    descent: Descent = Descent(learning_rate=3e-3, schedule="cosine", average=0.999),
) -> WaveNet:
    """A WaveNet that is told what to say and who says it: label, attributes and values shift the gates of every layer.

    minimised   −E Σₜ log p(xₜ | xₜ₋ᵣ, …, xₜ₋₁, c)

    Args:
        condition_on: which of label, attributes and values to condition on; by default all that the data has.
    """
    return WaveNet(spec, waves, descent=descent, conditions=Conditions(spec, condition_on))
