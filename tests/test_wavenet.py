"""WaveNet: what it sees, that its likelihoods are exact, that it samples as it says, and that it learns."""

import json
import math
import wave
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from kallima.cli import main
from kallima.data.batch import Batch
from kallima.data.spec import Attributes, Audio, Label, Spec
from kallima.decoding import Decoding
from kallima.errors import UsageError
from kallima.networks.dilated import DilatedNetwork
from kallima.objectives.companding import LEVELS, compressed, expanded
from kallima.objectives.logistic_mixture import level_logits
from kallima.recipe import recipes
from kallima.sampling.drawing import to_units
from kallima.system import Completes, Conditional, Samples, ScoresLikelihood
from kallima.systems.autoregressive.ground import NaiveWalk
from kallima.systems.autoregressive.voices import LogisticMixture
from kallima.systems.autoregressive.wavenet import WaveNet
from tests.test_sound_data import wav

SMALL = {"width": 6, "said": 10, "depth": 3, "stacks": 2}


def spec(samples: int, **more: Label | Attributes) -> Spec:
    return Spec({"audio": Audio(8000, samples), **more})


def build(samples: int = 30, name: str = "wavenet", seed: int = 0, **arguments: object) -> WaveNet:
    torch.manual_seed(seed)
    more = {} if name == "wavenet" else {"label": Label(("a", "b")), "attributes": Attributes(("x y", "z"))}
    system = recipes()[name].build(spec(samples, **more), **{**SMALL, **arguments})
    assert isinstance(system, WaveNet)
    return system


def told(count: int) -> dict[str, Tensor]:
    return {"label": torch.arange(count) % 2, "attributes": torch.eye(2)[torch.arange(count) // 2 % 2]}


def noise(count: int, samples: int) -> Tensor:
    return torch.rand(count, samples, generator=torch.Generator().manual_seed(5)) * 1.8 - 0.9


# The scale of the μ-law


def test_every_level_of_the_mu_law_comes_back_also_through_16_bits():
    levels = torch.arange(LEVELS)
    sounds = expanded(levels)
    assert torch.equal(compressed(sounds), levels)
    assert torch.equal(compressed((sounds * 32768).round().clamp(-32768, 32767) / 32768), levels)
    assert (sounds.diff() > 0).all()
    assert sounds[128] == 0
    assert sounds[0] == -1


def test_levels_are_those_nearest_on_the_bent_scale():
    sounds = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    bent = sounds.sign() * torch.log(1 + 255 * sounds.abs()) / math.log(256)
    nearest = (bent[:, None] - (torch.arange(256) - 128) / 128).abs().argmin(1)
    assert torch.equal(compressed(sounds), nearest)


def test_the_mixture_has_all_levels_of_16_bits_and_they_sum_to_one():
    voice = LogisticMixture(4, mixtures=3)
    levels = torch.tensor([0, 1, 32767, 32768, 65535])
    assert torch.equal(voice.components(voice.sounds(levels)), levels)
    for scale in (0.0, -6.0, -20.0):  # below the least it is taken for the least
        said = torch.cat(
            [torch.randn(2, 3), torch.tensor([[-1.0, 0.0, 0.3], [1.2, -1.3, 0]]), torch.full((2, 3), scale)], 1
        )
        every = voice.log_probabilities(
            torch.arange(voice.levels)[None].expand(2, -1), said[:, None].expand(-1, 65536, -1)
        )
        torch.testing.assert_close(every.double().exp().sum(1), torch.ones(2, dtype=torch.float64), atol=1e-4, rtol=0)


def test_a_mixture_that_is_sure_has_gradients():
    voice = LogisticMixture(4, mixtures=2)
    said = torch.tensor([[0.0, 0.0, 0.1, 0.2, -90.0, -90.0]], requires_grad=True)
    voice.log_probabilities(torch.tensor([7]), said).sum().backward()
    assert said.grad.isfinite().all()


def test_a_mixture_is_drawn_as_it_is_likely():
    voice = LogisticMixture(4, mixtures=2)
    said = torch.tensor([[0.5, -0.5, -0.3, 0.4, -3.0, -2.0]])
    drawn = voice.choose(said.expand(20_000, -1), Decoding(), torch.Generator().manual_seed(0))
    mixture = torch.cat([said[:, :2].log_softmax(1), said[:, 2:]], 1)
    expected = level_logits(mixture, voice.levels)[0].exp().view(16, -1).sum(1)
    found = torch.bincount(drawn // 4096, minlength=16) / 20_000
    torch.testing.assert_close(found, expected, atol=0.012, rtol=0)
    likeliest = voice.choose(said, Decoding(temperature=0), torch.Generator())
    assert voice.sounds(likeliest).item() == pytest.approx(-0.3, abs=1e-4)
    with pytest.raises(UsageError, match="--temperature alone"):
        voice.choose(said, Decoding(top_k=3), torch.Generator())


# What is in view


def test_the_receptive_field_is_the_papers():
    assert build(depth=10, stacks=1).receptive_field == 1024
    assert build(depth=10, stacks=3).receptive_field == 1 + 3 * 1023
    assert build().receptive_field == 1 + 2 * 7


@pytest.mark.parametrize("output", ["mu-law", "mixture"])
def test_a_sample_depends_on_those_before_it_as_far_as_the_receptive_field_and_on_no_other(output: str):
    model = build(40, output=output).double()
    components = model.components_of(noise(1, 40))
    kept: list[Tensor] = []

    def keep(_: object, __: object, heard: Tensor) -> None:
        heard.retain_grad()
        kept.append(heard)

    model.voice.register_forward_hook(keep)
    for place in (0, 1, 14, 15, 16, 39):
        kept.clear()
        model.parameters_of(components, None)[0, place].square().sum().backward()
        influence = kept[0].grad.abs().sum((0, 2)) > 0  # of the samples 0 to 38
        first = max(0, place - model.receptive_field)
        assert influence.tolist() == [first <= each < place for each in range(39)]


def test_the_paper_sized_network_sees_1023_places_back():
    torch.manual_seed(0)
    network = DilatedNetwork([2**place for place in range(10)], width=4, said=4, outputs=2).double()
    inputs = torch.randn(1, 1100, 4, dtype=torch.float64, requires_grad=True)
    network(inputs, None)[0, -1].sum().backward()
    seen = (inputs.grad[0].abs().sum(1) > 0).nonzero()[:, 0]
    assert (seen.min(), seen.max(), len(seen)) == (1099 - 1023, 1099, 1024)


# Likelihoods


def test_the_probabilities_of_all_short_sounds_sum_to_one():
    model = build(2, depth=2, stacks=1).double()
    every = torch.tensor(list(product(range(LEVELS), repeat=2)))
    with torch.no_grad():
        scores = model.log_probabilities(every, model.parameters_of(every, None))
        batch = Batch({"audio": model.examples_of(every[::9001])})
        torch.testing.assert_close(model.log_likelihood(batch), scores[::9001].sum(1), check_dtype=False)
    assert scores.sum(1).exp().sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["wavenet", "conditional-wavenet"])
@pytest.mark.parametrize("output", ["mu-law", "mixture"])
def test_the_ways_agree_and_draw_the_same(name: str, output: str):
    """Cached and naive, sample for sample: in double precision, as rounding to 65,536 levels forgives no difference."""
    model = build(40, name, output=output).double()
    condition = model.condition_of(Batch(told(4)))
    condition = None if condition is None else condition.double()
    ways = [model.walk(4, condition), NaiveWalk(model, 4, condition)]
    rngs = [torch.Generator().manual_seed(3) for _ in ways]
    with torch.no_grad():
        for _ in range(model.count):
            said = [way.parameters() for way in ways]
            torch.testing.assert_close(*said, atol=1e-9, rtol=0)
            drawn = [model.choose(each, Decoding(), rng) for each, rng in zip(said, rngs, strict=True)]
            assert torch.equal(*drawn)
            for way, components in zip(ways, drawn, strict=True):
                way.take(components)


def test_the_ways_agree_in_single_precision():
    model = build(60, width=16)
    given, fixed = torch.zeros(6, 60, dtype=torch.int64), torch.zeros(6, 60, dtype=torch.bool)
    with torch.no_grad():
        ways = [model.walk(6, None), NaiveWalk(model, 6, None)]
        one, other = (model.follow(way, given, fixed, Decoding(), torch.Generator().manual_seed(1)) for way in ways)
    assert torch.equal(one, other)
    assert len(one.unique()) > 50


def test_the_likelihood_is_the_sum_of_the_conditionals_walked_over_the_sounds_own_samples():
    model = build(40, "conditional-wavenet").double()
    audio, own = noise(4, 40), torch.tensor([40, 1, 17, 33])
    batch = Batch({"audio": audio, "audio_length": own, **told(4)})
    components = model.components_of(audio)
    walk, total = model.walk(4, model.condition_of(batch).double()), torch.zeros(4, dtype=torch.float64)
    with torch.no_grad():
        for place in range(40):
            chances = walk.parameters().log_softmax(-1)
            total += chances.gather(1, components[:, place, None])[:, 0] * (place < own)
            walk.take(components[:, place])
        model.conditions = model.conditions.double()
        batch.fields["attributes"] = batch["attributes"].double()
        found = model.double().parameters_of(components, model.condition_of(batch).double())
        scores = model.log_probabilities(components, found)
        torch.testing.assert_close((scores * (torch.arange(40) < own[:, None])).sum(1), total)


@pytest.mark.parametrize("window", [1, 7, 16, 29])
def test_likelihoods_by_windows_are_those_of_whole_sounds(window: int):
    whole, cut = build(30), build(30, window=window)
    batch = Batch({"audio": noise(5, 30), "audio_length": torch.tensor([30, 1, 15, 29, 16])})
    with torch.no_grad():
        torch.testing.assert_close(cut.log_likelihood(batch), whole.log_likelihood(batch), atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("own", [30, 3, 11])
def test_the_mean_over_all_places_of_the_window_is_the_loss_of_whole_sounds(own: int, monkeypatch: pytest.MonkeyPatch):
    whole, cut = build(30, depth=2), build(30, depth=2, window=8)
    batch = Batch({"audio": noise(1, 30), "audio_length": torch.tensor([own])})
    ways = min(30, own + whole.receptive_field + 1) + 7
    every = torch.arange(ways)
    many = Batch({name: value.expand(ways, *value.shape[1:]) for name, value in batch.fields.items()})
    monkeypatch.setattr(torch, "rand", lambda *_, **__: (every + 0.5) / ways)
    with torch.no_grad():
        mean, right = cut.loss(many), whole.loss(batch)
    assert set(mean) == set(right) == {"likelihood", "silence"}
    for name in right:
        torch.testing.assert_close(mean[name], right[name], rtol=1e-5, atol=1e-4)
    assert (right["silence"] == 0) == (own == 30)


def test_windows_are_drawn_of_every_place():
    model = build(30, window=8)
    starts = []
    model.scores = lambda components, condition, begin: (
        starts.append(begin),
        WaveNet.scores(model, components, condition, begin),
    )[1]  # type: ignore[method-assign]
    batch = Batch({"audio": noise(300, 30), "audio_length": torch.full((300,), 30)})
    torch.manual_seed(0)
    with torch.no_grad():
        model.loss(batch)
    assert sorted(set(starts[0].tolist())) == list(range(-7, 30))


def test_sounds_shorter_than_the_receptive_field_and_silent_ones_have_likelihoods():
    model = build(5, depth=9)
    with torch.no_grad():
        found = model.log_likelihood(Batch({"audio": torch.zeros(2, 5), "audio_length": torch.tensor([5, 1])}))
    assert torch.isfinite(found).all()
    assert found[0] < found[1]


# What can be done with it


def test_it_can_what_it_should_and_conditions_matter():
    model = build(30, "conditional-wavenet")
    for capability in (Samples, Completes, ScoresLikelihood, Conditional):
        assert isinstance(model, capability)
    assert not isinstance(build(), Conditional)
    rows = model.conditions.read("label=a; label=b; label=a,x y=true")
    audio = noise(1, 30)
    likelihoods = []
    for row in rows:
        condition = model.conditions.meet({"x y": False, "z": False, **row}, 1)
        with torch.no_grad():
            components = model.components_of(audio)
            likelihoods.append(model.log_probabilities(components, model.parameters_of(components, condition)).sum())
    assert len(set(likelihoods)) == 3


def test_a_completion_keeps_its_beginning_and_goes_on_as_likely():
    model = build(30)
    given = model.examples_of(model.components_of(noise(1, 30)))
    known = torch.arange(30).expand(3, -1) < 12
    made = model.complete(given.expand(3, -1), known, rng=torch.Generator().manual_seed(0))
    assert torch.equal(made[:, :12], given[:, :12].expand(3, -1))
    assert len({tuple(row) for row in made.tolist()}) == 3
    again = model.complete(
        torch.cat([given[:, :12], -given[:, 12:]], 1).expand(3, -1), known, rng=torch.Generator().manual_seed(0)
    )
    assert torch.equal(made, again)  # what lies after the beginning has no say
    assert to_units(made, model.spec).shape == (3, 30)


def test_wrong_settings_are_refused():
    for arguments in ({"depth": 0}, {"window": 0}, {"stacks": 0}, {"depth": 30}):
        with pytest.raises(UsageError, match="--"):
            build(**arguments)


# Learning


def tones(count: int, samples: int, rng: torch.Generator) -> Batch:
    """Tones of one of two pitches and any phase, with silence after a while: nearly all is known after some samples."""
    label = torch.randint(2, (count,), generator=rng)
    own = torch.randint(samples // 2, samples + 1, (count,), generator=rng)
    phase = torch.rand(count, 1, generator=rng) * 2 * math.pi
    places = torch.arange(samples)
    audio = 0.5 * torch.sin((0.35 + 0.4 * label[:, None]) * places + phase) * (places < own[:, None])
    return Batch({"audio": audio, "audio_length": own, "label": label, "attributes": torch.zeros(count, 2)})


def test_it_learns_tones_what_it_is_told_of_them_and_where_they_end():
    rng = torch.Generator().manual_seed(0)
    model = build(64, "conditional-wavenet", width=16, said=24, depth=4, stacks=1, window=40)
    known, test = tones(400, 64, rng), tones(64, 64, rng)

    def own(batch: Batch) -> Tensor:
        return model.components_of(batch["audio"])[torch.arange(64) < batch["audio_length"][:, None]]

    def nats(batch: Batch) -> float:
        return -(model.log_likelihood(batch).sum() / batch["audio_length"].sum()).item()

    counts = torch.bincount(own(known), minlength=256) + 1
    unigram = -(counts / counts.sum()).log()[own(test)].mean()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    torch.manual_seed(1)
    for _ in range(150):
        terms, _ = model.loss(tones(16, 64, rng))
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    with torch.no_grad():
        assert nats(test) < 0.45 * unigram
        assert nats(Batch({**test.fields, "label": 1 - test["label"]})) > nats(test) + 0.5
    made = model.sample(24, rng=torch.Generator().manual_seed(2))
    assert (made[:, -1] == 0).float().mean() > 0.5
    assert (made[:, 0] != 0).float().mean() > 0.8


def test_the_commands_train_sample_and_complete(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    tone = np.rint(9000 * np.sin(np.arange(900) * 0.3)).astype(np.int16)
    for name, start in (("low/1", 0), ("low/2", 300), ("high/1", 100), ("high/2", 500)):
        path = tmp_path / "in" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav(tone[start : start + 160], rate=4000))
    run, made = tmp_path / "run", tmp_path / "made"
    small = ["--width", "8", "--said", "8", "--depth", "3", "--window", "20", "--batch-size", "4", "--steps", "2"]
    data = ["--data", str(tmp_path / "in"), "--rate", "8000", "--seconds", "0.03"]
    assert main(["train", "conditional-wavenet", *data, *small, "--out", str(run)]) == 0
    assert "4 of 4 sounds are resampled from 4,000 to 8,000" in caplog.text
    assert "data:audio/wav" in (run / "report.html").read_text()
    assert main(["sample", str(run), "-n", "2", "--condition", "label=high", "--out", f"{made}/"]) == 0
    with wave.open(str(made / "00001.wav")) as file:
        assert (file.getnframes(), file.getframerate(), file.getsampwidth()) == (240, 8000, 2)
    whole = str(tmp_path / "in" / "low" / "1.wav")
    assert main(["complete", str(run), whole, "--keep", "0.5", "-n", "2", "--out", str(tmp_path / "c.npz")]) == 0
    with np.load(tmp_path / "c.npz") as found:
        assert found["samples"].shape == (1, 2, 240)
        assert found["kept"].sum() == 120
        step = np.abs(found["samples"][0, :, :120] - found["originals"][0, None, :120])
        assert step.max() < 0.02  # the levels of the μ-law nearest to it
    assert main(["complete", str(run), str(tmp_path / "in"), "-n", "1", "--out", f"{tmp_path}/c/"]) == 0
    assert main(["evaluate", str(run), "--metrics", "nats-per-sample,nll", "--out", str(tmp_path / "s.json")]) == 0
    capsys.readouterr()
    for words in (["complete", str(run), "digits"], ["evaluate", str(run), "--data", "digits"]):
        assert main(words) == 1
        assert capsys.readouterr().err == "error: digits holds images, and the run makes sounds\n"
    each, whole = (score["value"] for score in json.loads((tmp_path / "s.json").read_text())["scores"])
    assert each == pytest.approx(whole / 240, rel=1e-5)
