"""Language models on a causal transformer (Vaswani et al. 2017; Radford et al. 2018), free and under conditions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kallima.conditions import Conditions
from kallima.data.spec import Attributes, Label, Spec, Text, Values
from kallima.networks.causal_transformer import CausalTransformer
from kallima.recipe import recipe
from kallima.systems.autoregressive.text import TextModel
from kallima.systems.autoregressive.text_settings import Layers
from kallima.systems.descent import Descent

START = 0.02  # the deviation of embeddings and positions at the start, as in GPT-2


class TransformerTextModel(TextModel):
    """A transformer that looks back at every token that it has read to say what comes next.

    Vaswani et al. 2017, "Attention is all you need", arXiv:1706.03762; as a language model Radford et al. 2018,
    "Improving language understanding by generative pre-training"; with the norms first as in Radford et al. 2019.

        log p(x | c) = Σᵢ log p(xᵢ | x₁ … xᵢ₋₁, c),     minimised  −E log p(x | c)
        h⁰ᵢ = E[xᵢ₋₁] + Pᵢ + C c,   h ← h + Attention(LN h),   h ← h + MLP(LN h),   p(xᵢ | …) = softmax(E LN(hᴸᵢ) + b)

    Symbols: x a text of tokens xᵢ, the last its end, which stands before the first too; c its condition; E the
    embedding, which also weighs the outputs (Press & Wolf 2017, arXiv:1608.05859); P a vector a place, learned; place i
    attends to places 1 … i, which hold the tokens x₀ … xᵢ₋₁. The loss is a sum over the tokens and a mean over the
    texts, in nats a text.

    Sampling keeps the keys and values of all places (the key-value cache): a token costs one place of each layer, and
    attention over what came before, where without them the whole text would be read again.

    What to watch: "likelihood" over the mean length is nats a token; `kallima evaluate RUN --data held-out.txt
    --metrics token-perplexity` says what it is on texts that it has not seen. A transformer learns by heart sooner than
    an LSTM: on small sets more `--dropout`, fewer steps.

    Where we deviate: no warm-up of the learning rate, which pre-norm layers do without; dropout on what layers add and
    on the embedding, none on the attention.
    """

    def __init__(
        self, spec: Spec, layers: Layers, *, heads: int, descent: Descent, conditions: Conditions | None = None
    ):
        super().__init__(spec, layers, deviation=START, descent=descent, conditions=conditions)
        self.positions = nn.Embedding(self.count, layers.width)
        nn.init.normal_(self.positions.weight, std=START)
        self.body = CausalTransformer(layers.width, layers.depth, heads, dropout=layers.dropout)

    def logits_of(self, before: Tensor, condition: Tensor | None) -> Tensor:
        """Return the logits (N, T, K) at each place of codes (N, T) that stand before them."""
        places = torch.arange(before.shape[1], device=before.device)
        return self.vocabulary.logits(self.body(self.read(before, places, self.hint(condition))))

    def steps(self, count: int, condition: Tensor | None) -> "TransformerSteps":
        """Start on the way through `count` texts."""
        return TransformerSteps(self, count, self.hint(condition))

    def read(self, codes: Tensor, places: Tensor, hint: Tensor | None) -> Tensor:
        """Return what the first layer is given of codes (N, T) before `places` (T,): (N, T, width)."""
        embedded = self.vocabulary(codes) + self.positions(places)
        return F.dropout(embedded if hint is None else embedded + hint, self.dropout, self.training)


class TransformerSteps:
    """One place of the network a token, with the keys and values of those before it kept."""

    def __init__(self, model: TransformerTextModel, count: int, hint: Tensor | None):
        self.model, self.hint, self.cache = model, hint, model.body.start(count, model.count)
        self.places = torch.arange(model.count, device=model.device)

    def next(self, codes: Tensor) -> Tensor:
        """Take one more code of each text (N,) and return the logits of the one that follows, (N, K)."""
        here = self.places[self.cache.place : self.cache.place + 1]
        read = self.model.read(codes[:, None], here, self.hint)
        return self.model.vocabulary.logits(self.model.body.step(read[:, 0], self.cache))

    def select(self, rows: Tensor) -> None:
        """Go on with these of the texts."""
        self.cache.select(rows)
        self.hint = None if self.hint is None else self.hint[rows]


@recipe(
    "transformer-lm",
    family="autoregressive",
    paper="Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2018",
    needs={"text": Text},
    steps=5_000,
    batch_size=64,
)
def transformer_lm(
    spec: Spec,
    *,
    layers: Layers = Layers(depth=4),
    heads: int = 4,
    descent: Descent = Descent(learning_rate=1e-3, beta2=0.98, schedule="cosine", clip=5.0),
) -> TransformerTextModel:
    """A language model of characters or words on a causal transformer, with a key-value cache for writing.

    minimised   −E Σᵢ log p(xᵢ | x₁ … xᵢ₋₁)     over the tokens of each text and its end

    Args:
        heads: parts of the width that attend each for itself.
    """
    return TransformerTextModel(spec, layers, heads=heads, descent=descent)


@recipe(
    "conditional-transformer-lm",
    family="autoregressive",
    paper="Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2018",
    needs=(
        {"text": Text, "label": Label},
        {"text": Text, "attributes": Attributes},
        {"text": Text, "values": Values},
    ),
    steps=5_000,
    batch_size=64,
)
def conditional_transformer_lm(
    spec: Spec,
    *,
    condition_on: tuple[str, ...] = (),
    layers: Layers = Layers(depth=4),
    heads: int = 4,
    descent: Descent = Descent(learning_rate=1e-3, beta2=0.98, schedule="cosine", clip=5.0),
) -> TransformerTextModel:
    """A language model on a causal transformer that is told label, attributes or values of what it writes.

    minimised   −E Σᵢ log p(xᵢ | x₁ … xᵢ₋₁, c)     over the tokens of each text and its end

    Args:
        condition_on: which of label, attributes and values to condition on; by default all that the data has.
        heads: parts of the width that attend each for itself.
    """
    conditions = Conditions(spec, condition_on)
    return TransformerTextModel(spec, layers, heads=heads, descent=descent, conditions=conditions)
