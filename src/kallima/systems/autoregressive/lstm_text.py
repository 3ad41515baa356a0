"""Language models on an LSTM (Graves 2013; Zaremba et al. 2014), free and under conditions."""

import torch.nn.functional as F
from torch import Tensor

from kallima.conditions import Conditions
from kallima.data.spec import Attributes, Label, Spec, Text, Values
from kallima.layers.lstm import LSTM
from kallima.recipe import recipe
from kallima.systems.autoregressive.text import TextModel
from kallima.systems.autoregressive.text_settings import Layers
from kallima.systems.descent import Descent


class LSTMTextModel(TextModel):
    """A recurrent network that reads a text token by token and says at each what comes next.

    Graves 2013, "Generating sequences with recurrent neural networks", arXiv:1308.0850; with the dropout of Zaremba et
    al. 2014, "Recurrent neural network regularization", arXiv:1409.2329.

        log p(x | c) = Σᵢ log p(xᵢ | x₁ … xᵢ₋₁, c),     minimised  −E log p(x | c)
        h⁰ᵢ = E[xᵢ₋₁] + C c,     hˡᵢ, sˡᵢ = LSTMˡ(hˡ⁻¹ᵢ, hˡᵢ₋₁, sˡᵢ₋₁),     p(xᵢ | …) = softmax(E hᴸᵢ + b)

    Symbols: x a text of tokens xᵢ, the last its end, which stands before the first too; c its condition; E the
    embedding, a vector a token, which also weighs the outputs (Press & Wolf 2017, arXiv:1608.05859); hˡ and sˡ outputs
    and cells of layer l of L. Dropout falls on what goes up from layer to layer, the embedding and the last outputs
    among it, and not on what goes on in time. The loss is a sum over the tokens and a mean over the texts, in nats a
    text, and the gradient's norm is bounded by 5, as in the papers.

    What to watch: "likelihood" over the mean length is nats a token; `kallima evaluate RUN --data held-out.txt
    --metrics token-perplexity` says what it is on texts that it has not seen. Where that rises while the training loss
    falls it learns by heart: more `--dropout`, fewer steps.

    Where we deviate: every text is read from its own beginning with an empty state, where the papers cut one long
    stream into pieces and carry the state over.
    """

    def __init__(self, spec: Spec, layers: Layers, *, descent: Descent, conditions: Conditions | None = None):
        super().__init__(spec, layers, deviation=0.1, descent=descent, conditions=conditions)
        self.lstm = LSTM(layers.width, layers.width, layers.depth, dropout=layers.dropout)

    def logits_of(self, before: Tensor, condition: Tensor | None) -> Tensor:
        """Return the logits (N, T, K) at each place of codes (N, T) that stand before them."""
        return self.say(self.lstm(self.read(before, self.hint(condition)))[0])

    def steps(self, count: int, condition: Tensor | None) -> "LSTMSteps":
        """Start on the way through `count` texts."""
        return LSTMSteps(self, count, self.hint(condition))

    def read(self, codes: Tensor, hint: Tensor | None) -> Tensor:
        """Return what the first layer is given of codes (N, T): (N, T, width)."""
        embedded = self.vocabulary(codes)
        return F.dropout(embedded if hint is None else embedded + hint, self.dropout, self.training)

    def say(self, outputs: Tensor) -> Tensor:
        """Return the logits (..., K) of what the last layer gives (..., width)."""
        return self.vocabulary.logits(F.dropout(outputs, self.dropout, self.training))


class LSTMSteps:
    """One step of the network a token: all that it has read is in its state."""

    def __init__(self, model: LSTMTextModel, count: int, hint: Tensor | None):
        self.model, self.hint, self.state = model, hint, model.lstm.start(count)

    def next(self, codes: Tensor) -> Tensor:
        """Take one more code of each text (N,) and return the logits of the one that follows, (N, K)."""
        outputs, self.state = self.model.lstm(self.model.read(codes[:, None], self.hint), self.state)
        return self.model.say(outputs[:, 0])

    def select(self, rows: Tensor) -> None:
        """Go on with these of the texts."""
        h, c = self.state
        self.state = h[:, rows], c[:, rows]
        self.hint = None if self.hint is None else self.hint[rows]


@recipe(
    "lstm-lm",
    family="autoregressive",
    paper="Graves 2013, arXiv:1308.0850; Zaremba et al. 2014, arXiv:1409.2329",
    needs={"text": Text},
    steps=5_000,
    batch_size=64,
)
def lstm_lm(
    spec: Spec,
    *,
    layers: Layers = Layers(),
    descent: Descent = Descent(learning_rate=2e-3, schedule="cosine", clip=5.0),
) -> LSTMTextModel:
    """A language model of characters or words on an LSTM, which writes texts and goes on from any beginning.

    minimised   −E Σᵢ log p(xᵢ | x₁ … xᵢ₋₁)     over the tokens of each text and its end
    """
    return LSTMTextModel(spec, layers, descent=descent)


@recipe(
    "conditional-lstm-lm",
    family="autoregressive",
    paper="Graves 2013, arXiv:1308.0850; Zaremba et al. 2014, arXiv:1409.2329",
    needs=(
        {"text": Text, "label": Label},
        {"text": Text, "attributes": Attributes},
        {"text": Text, "values": Values},
    ),
    steps=5_000,
    batch_size=64,
)
def conditional_lstm_lm(
    spec: Spec,
    *,
    condition_on: tuple[str, ...] = (),
    layers: Layers = Layers(),
    descent: Descent = Descent(learning_rate=2e-3, schedule="cosine", clip=5.0),
) -> LSTMTextModel:
    """A language model on an LSTM that is told label, attributes or values, such as the mood of what it writes.

    minimised   −E Σᵢ log p(xᵢ | x₁ … xᵢ₋₁, c)     over the tokens of each text and its end

    Args:
        condition_on: which of label, attributes and values to condition on; by default all that the data has.
    """
    return LSTMTextModel(spec, layers, descent=descent, conditions=Conditions(spec, condition_on))
