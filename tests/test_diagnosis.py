"""The doctor's judgement: series of known illness and onset, healthy ones, logs of other programs, samples."""

import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import kallima
from kallima.arguments import from_options
from kallima.data.batch import Batch
from kallima.data.spec import Image, Label, Spec
from kallima.diagnosis import shapes
from kallima.diagnosis.doctor import SYMPTOMS, diagnose
from kallima.diagnosis.finding import IN_WORDS, Finding, Remedy
from kallima.diagnosis.reading import read_log
from kallima.diagnosis.record import MOST_POINTS, Record, direction_of, is_gradient_of, is_loss_of, record_of
from kallima.diagnosis.spectrum import checkerboard, peaks
from kallima.diagnosis.symptoms import (
    checkerboard as checkerboard_symptom,
)
from kallima.diagnosis.symptoms import (
    dead_units,
    discriminator_overfitting,
    discriminator_wins,
    divergence,
    exploding_gradients,
    generator_wins,
    latent_ignored,
    learning_stopped,
    mode_collapse,
    mode_dropping,
    non_finite,
    oscillation,
    vanishing_gradients,
)
from kallima.diagnosis.vital_signs import EXPLAINED, Reference
from kallima.errors import DataError, UsageError
from kallima.options import TrainingOptions
from kallima.recipe import get_recipe

STEPS = np.arange(50, 4001, 50)
LOOKS = np.arange(100, 4001, 100)
TURN = 2000  # where an illness begins


def record(**series: tuple[np.ndarray, np.ndarray]) -> Record:
    """Make a record of (steps, values) by name; `__` stands for the slash."""
    events = [
        (float(step), name.replace("__", "/"), float(value))
        for name, (steps, values) in series.items()
        for step, value in zip(steps, values, strict=True)
    ]
    return record_of(sorted(events, key=lambda event: event[0]))


def healthy(seed: int = 0, **changed: tuple[np.ndarray, np.ndarray]) -> Record:
    """A training as it should be: losses near equilibrium, gradients steady, samples that come to the data."""
    rng = np.random.default_rng(seed)
    n, looks = len(STEPS), len(LOOKS)
    early = np.exp(-LOOKS / 300)
    series = {
        "discriminator__real": (STEPS, 0.62 + 0.03 * rng.standard_normal(n)),
        "discriminator__fake": (STEPS, 0.61 + 0.03 * rng.standard_normal(n)),
        "discriminator__gradient_norm": (STEPS, 1.0 + 0.1 * rng.random(n)),
        "generator__adversarial": (STEPS, 0.85 + 0.04 * rng.standard_normal(n)),
        "generator__gradient_norm": (STEPS, 0.6 + 0.1 * rng.random(n)),
        "notes__accuracy": (STEPS, 0.66 + 0.03 * rng.standard_normal(n)),
        "samples__diversity": (LOOKS, 1 - 0.9 * early + 0.01 * rng.standard_normal(looks)),
        "samples__within": (LOOKS, 1 - 0.95 * early + 0.05 * rng.standard_normal(looks)),
        "samples__forgotten": (LOOKS, 0.9 * early + 0.01 * rng.random(looks)),
        "samples__stray": (LOOKS, 0.9 * early + 0.01 * rng.random(looks)),
        "samples__energy": (LOOKS, 0.6 * early + 0.01 * rng.random(looks)),
        "samples__centre_1": (LOOKS, 0.1 * rng.standard_normal(looks)),
        "samples__centre_2": (LOOKS, 0.1 * rng.standard_normal(looks)),
        "samples__dead_units": (LOOKS, 0.2 + 0.02 * rng.random(looks)),
        "samples__nearest": (LOOKS, 1 + early + 0.02 * rng.random(looks)),
        "samples__held_out_gap": (LOOKS, 0.53 + 0.02 * rng.random(looks)),
        "samples__saturated": (LOOKS, -0.1 + 0.02 * rng.random(looks)),
        "samples__checkerboard": (LOOKS, 0.1 + 0.05 * rng.random(looks)),
    }
    return record(**(series | changed))


def turned(steps: np.ndarray, before: float, after: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A series that changes its level at TURN, with some noise."""
    rng = np.random.default_rng(seed)
    return steps, np.where(steps < TURN, before, after) * (1 + 0.02 * rng.standard_normal(len(steps)))


ILL = {
    non_finite: {"generator__adversarial": (STEPS, np.where(STEPS < TURN, 0.8, math.nan))},
    discriminator_wins: {
        "discriminator__real": turned(STEPS, 0.6, 1e-4),
        "discriminator__fake": turned(STEPS, 0.6, 1e-4),
        "notes__accuracy": (STEPS, np.where(STEPS < TURN, 0.7, 0.9995)),
        "generator__gradient_norm": turned(STEPS, 0.6, 0.01),
        "samples__energy": turned(LOOKS, 0.3, 0.6),
    },
    generator_wins: {
        "notes__accuracy": turned(STEPS, 0.65, 0.1),
        "samples__energy": turned(LOOKS, 0.3, 0.6),
    },
    mode_collapse: {
        "samples__diversity": turned(LOOKS, 0.95, 0.05),
        "samples__forgotten": turned(LOOKS, 0.05, 0.9),
    },
    latent_ignored: {"samples__within": turned(LOOKS, 0.9, 0.05)},
    mode_dropping: {"samples__forgotten": turned(LOOKS, 0.01, 0.25)},
    oscillation: {"samples__centre_1": (LOOKS, 1.2 * np.sin(2 * np.pi * LOOKS / 400) * (LOOKS >= 400))},
    divergence: {"score__fid": (LOOKS, np.where(LOOKS < TURN, 20 + 4000 / LOOKS, 20 + (LOOKS - TURN) / 20 + 12))},
    discriminator_overfitting: {"samples__held_out_gap": turned(LOOKS, 0.53, 0.95)},
    exploding_gradients: {"discriminator__gradient_norm": turned(STEPS, 1.0, 5e3)},
    vanishing_gradients: {
        "generator__gradient_norm": turned(STEPS, 0.6, 1e-4),
        "samples__energy": turned(LOOKS, 0.3, 0.5),
    },
    dead_units: {"samples__dead_units": turned(LOOKS, 0.2, 0.9)},
    learning_stopped: {"samples__energy": turned(LOOKS, 1.5, 0.7)},
    checkerboard_symptom: {"samples__checkerboard": turned(LOOKS, 0.2, 1.6)},
}


def test_every_symptom_has_a_case():
    assert set(ILL) == set(SYMPTOMS)


@pytest.mark.parametrize("symptom", ILL, ids=lambda symptom: symptom.SYMPTOM)
def test_an_illness_is_found_with_its_onset(symptom):
    found = symptom.find(healthy(**ILL[symptom]))
    assert isinstance(found, Finding)
    assert found.symptom == symptom.SYMPTOM
    assert 0.5 <= found.confidence <= 1
    # a swing shows after it has swung once
    assert found.since == (pytest.approx(600, abs=200) if symptom is oscillation else pytest.approx(TURN, abs=200))
    names = {name.replace("__", "/") for name in ILL[symptom]}
    assert names & set(found.evidence) or symptom in (discriminator_wins,)


@pytest.mark.parametrize("symptom", ILL, ids=lambda symptom: symptom.SYMPTOM)
def test_the_healthy_are_left_alone(symptom):
    for seed in range(20):
        assert symptom.find(healthy(seed)) is None


@pytest.mark.parametrize("symptom", ILL, ids=lambda symptom: symptom.SYMPTOM)
def test_nothing_is_concluded_from_nothing(symptom):
    assert symptom.find(Record()) is None
    assert symptom.find(record(d_loss=(np.array([1.0]), np.array([0.01])))) is None


def test_what_a_healthy_critic_says_is_no_illness():
    """Wasserstein losses are signed and of any size; a hinge loss lies near 2; both were always so."""
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.standard_normal(len(STEPS)))
    wasserstein = record(d_loss=(STEPS, -30 + 3 * walk), g_loss=(STEPS, 200 + 20 * walk))
    assert diagnose(wasserstein) == []
    hinge = record(
        d_loss=(STEPS, 1.95 + 0.05 * rng.standard_normal(len(STEPS))),
        g_loss=(STEPS, -0.1 + 0.2 * rng.standard_normal(len(STEPS))),
    )
    assert diagnose(hinge) == []


def test_the_start_of_a_training_is_no_collapse():
    slow = np.minimum(1, LOOKS / 1500)
    for end in range(1, len(LOOKS)):
        steps = LOOKS[:end]
        seen = record(
            samples__diversity=(steps, slow[:end]),
            samples__forgotten=(steps, 1 - slow[:end]),
            samples__stray=(steps, 1 - slow[:end]),
        )
        assert mode_collapse.find(seen) is None


# logs of other programs


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_dcgan_that_went_from_fid_49_to_137_is_told_so(tmp_path: Path):
    rng = np.random.default_rng(3)
    fids = {2000: 88.1, 4000: 61.0, 6000: 52.3, 8000: 49.2, 10000: 58.9, 14000: 79.0, 18000: 101.5, 20000: 137.2}
    rows = ["step,d_loss,g_loss,fid"]
    for step in range(200, 20001, 200):
        d, g = 0.9 + 0.1 * rng.standard_normal(), 2 + 0.3 * rng.standard_normal()
        rows.append(f"{step},{d:.4f},{g:.4f},{fids.get(step, '')}")
    found = kallima.diagnose(write(tmp_path / "log.csv", "\n".join(rows)))
    assert [finding.symptom for finding in found] == [divergence.SYMPTOM]
    assert found[0].evidence["best step"] == 8000
    assert found[0].evidence["fid"] == 137.2
    assert 10000 <= found[0].since <= 14000
    assert "49.2 at step 8,000" in found[0].evidence[IN_WORDS]
    falling = [row for row in rows if int(row.split(",")[0].replace("step", "0")) <= 8000]
    assert kallima.diagnose(write(tmp_path / "early.csv", "\n".join(falling))) == []


def test_a_fid_that_wobbles_about_its_best_is_no_divergence():
    rng = np.random.default_rng(0)
    steps = np.arange(1000, 40001, 1000)
    for _ in range(50):
        fid = 20 + 80 * np.exp(-steps / 4000) + 1.5 * rng.standard_normal(len(steps))
        assert divergence.find(record(fid=(steps, fid))) is None


def test_scores_know_their_direction():
    steps = np.arange(1000, 12001, 1000)
    falling = np.array([2, 4, 6, 7, 7.2, 7.1, 6, 5, 4, 3, 2.5, 2])
    assert divergence.find(record(inception_score=(steps, falling))) is not None
    assert divergence.find(record(inception_score=(steps, falling[::-1]))) is None or falling[::-1].argmax() > 3
    lower = ["fid", "FID", "FID_50k", "fid50k_full", "score/fid", "metrics/kid", "score/energy-distance"]
    higher = ["precision", "recall", "IS", "inception_score", "score/coverage"]
    assert {direction_of(name) for name in lower} == {"lower"}
    assert {direction_of(name) for name in higher} == {"higher"}
    assert {direction_of(n) for n in ("d_loss", "samples/energy", "is_training", "notes/recall", "time")} == {None}


def test_names_are_understood():
    for name in ("d_loss", "D_loss", "Loss_D", "loss/D", "errD", "dis_loss", "critic_loss", "discriminator/real"):
        assert is_loss_of(name, "discriminator"), name
        assert not is_loss_of(name, "generator"), name
    for name in ("g_loss", "Loss/G/loss", "errG", "gen_loss", "generator_loss", "generator/adversarial"):
        assert is_loss_of(name, "generator"), name
    assert not is_loss_of("discriminator/gradient_norm", "discriminator")
    assert is_gradient_of("discriminator/gradient_norm", "discriminator")
    assert is_gradient_of("g_grad_norm", "generator")
    assert not is_gradient_of("g_grad_norm", "discriminator")


def test_tables_are_read_as_they_come(tmp_path: Path):
    plain = write(tmp_path / "a.csv", "10,0.5,1.5,\n20,,nan,30.5\n\n30,0.7,1.25\nrubbish,1,2,3\n")
    with pytest.raises(UsageError, match="--columns"):
        read_log(plain)
    read = read_log(plain, ["step", "d_loss", "g_loss", "fid"])
    assert read.series("d_loss").steps.tolist() == [10, 30]
    assert read.series("g_loss").values.tolist() == [1.5, 1.25]
    assert np.isnan(read.raw("g_loss").values[1])
    assert read.series("fid").values.tolist() == [30.5]
    titled = write(tmp_path / "b.csv", "epoch;Loss_D;Loss_G;lr\n1;0.5;1;0.1\n2;0.6;2;0.1\n")
    assert read_log(titled).loss("discriminator").values.tolist() == [0.5, 0.6]
    assert read_log(titled, ["epoch", "Loss_G"]).names == ["Loss_G"]
    assert read_log(titled, ["step", "d_loss"]).names == ["d_loss"]
    with pytest.raises(UsageError, match="has 4"):
        read_log(titled, ["step", "a", "b", "c", "d"])
    with pytest.raises(UsageError, match="is a step"):
        read_log(titled, ["when", "d_loss"])
    for text in ("", "a,b\n", "step,d_loss\n"):
        with pytest.raises((DataError, UsageError)):
            read_log(write(tmp_path / "empty.csv", text))
    with pytest.raises(DataError, match="cannot read"):
        read_log(tmp_path / "absent.csv")


def test_json_lines_of_others_are_read(tmp_path: Path):
    lines = [
        {"step": 10, "d_loss": 0.5, "note": "x", "nested": {"mean": 2.0}},
        {"step": 20, "d_loss": None, "fid": 30.0},
        {"step": 10, "name": "generator/adversarial", "value": 1.0},
        {"step": 20, "name": "generator/adversarial", "value": None},
    ]
    text = "\n".join(map(json.dumps, lines)) + '\n{"step": 30, "d_lo'
    read = read_log(write(tmp_path / "log.jsonl", text))
    assert read.series("d_loss").values.tolist() == [0.5]
    assert read.series("nested").values.tolist() == [2]
    assert read.scores()["fid"][1] is True
    assert np.isnan(read.raw("generator/adversarial").values[-1])
    assert non_finite.find(read) is not None
    with pytest.raises(UsageError, match="goes with a table"):
        read_log(tmp_path / "log.jsonl", ["step"])


def test_a_score_that_was_not_taken_is_not_broken():
    assert (
        non_finite.find(record(fid=(STEPS, np.full(len(STEPS), np.nan)), d_loss=(STEPS, np.ones(len(STEPS))))) is None
    )
    once = np.ones(len(STEPS))
    once[20] = np.nan  # a step that mixed precision left out
    assert non_finite.find(record(d_loss=(STEPS, once))) is None
    late = np.ones(len(STEPS))
    late[-1] = np.inf
    assert non_finite.find(record(d_grad_norm=(STEPS, late))) is None
    assert non_finite.find(record(d_loss=(STEPS, late))).since == STEPS[-1]
    # half precision logs the loss of that step too; a training that it ends logs nothing more
    loss = np.ones(len(STEPS))
    assert non_finite.find(record(d_loss=(STEPS, loss), d_grad_norm=(STEPS, late))) is None
    assert non_finite.find(record(d_loss=(STEPS[:-1], loss[:-1]), d_grad_norm=(STEPS, late))).since == STEPS[-1]

    assert non_finite.find(record(d_grad_norm=(STEPS[:1], np.array([np.inf])))).since == STEPS[0]


def test_samples_of_the_first_looks_do_not_say_that_the_discriminator_has_won():
    for looks, told in ((3, False), (8, True)):
        at, logged = LOOKS[:looks], STEPS[: 2 * looks]
        sure = {"notes__accuracy": (logged, logged * 0 + 1.0), "samples__energy": (at, at * 0 + 0.6)}
        assert (discriminator_wins.find(record(**sure)) is not None) == told


@pytest.mark.parametrize(("energy", "told"), [(0.25, False), (0.34, True)])
def test_samples_that_stay_in_the_middle_of_the_data_are_far_from_it(energy, told):
    """The point in the middle of a Gaussian has an energy distance of √2 − 1, a clump there a little less."""
    middle = (LOOKS, np.full(len(LOOKS), energy))
    sure = {"notes__accuracy": (STEPS, np.ones(len(STEPS))), "samples__energy": middle}
    assert (discriminator_wins.find(record(**sure)) is not None) == told
    for looks in range(1, 20):
        stuck = record(samples__energy=(LOOKS[:looks], middle[1][:looks]))
        stopped = told and looks >= learning_stopped.LEAST_POINTS
        assert (learning_stopped.find(stuck) is not None) == stopped


def test_samples_that_leave_the_data_are_told_however_wildly_they_move():
    rng = np.random.default_rng(0)
    for turn in (1, 5, 12):
        wild = np.where(np.arange(40) < turn, 0.1, 10 ** rng.uniform(0, 3, 40))
        for looks in range(turn + 1, 40):
            found = divergence.find(record(samples__energy=(LOOKS[:looks], wild[:looks])))
            if looks - turn >= divergence.LEAST_AWAY and looks > 2 * divergence.LEAST_AFTER_ENERGY:
                assert found is not None
                assert found.since in (LOOKS[turn], LOOKS[turn + 2])
            elif looks - turn < divergence.LEAST_AFTER_ENERGY:
                assert found is None
        wild[divergence.LEAST_AWAY + turn :: divergence.LEAST_AWAY] = 0.1  # they come back now and then
        assert divergence.find(record(samples__energy=(LOOKS, wild))) is None


def test_gradients_that_are_huge_from_the_start_are_told_where_the_samples_are_bad():
    norm = (STEPS, np.full(len(STEPS), 5e4))
    for energy, told in ((0.01, False), (0.6, True)):
        found = exploding_gradients.find(
            healthy(critic__gradient_norm=norm, samples__energy=(LOOKS, LOOKS * 0 + energy))
        )
        assert (found is not None) == told
    assert found.since == STEPS[0]
    assert exploding_gradients.find(healthy(critic__gradient_norm=(STEPS, np.full(len(STEPS), 5e3)))) is None


# the record


def test_a_record_is_bounded_and_a_function_of_what_it_was_told():
    events = [(float(step), "d_loss", math.sin(step / 50)) for step in range(3 * MOST_POINTS)]
    whole, again = record_of(events), record_of(events)
    assert len(whole.raw("d_loss")) <= MOST_POINTS
    assert np.array_equal(whole.raw("d_loss").values, again.raw("d_loss").values)
    steps, values = whole.raw("d_loss")
    assert np.abs(values - np.sin(steps / 50)).max() < np.diff(steps).max() / 50  # means over so many steps
    assert (np.diff(steps) > 0).all()


def test_what_is_told_again_after_a_resumption_replaces_what_was():
    told = [(1.0, "x", 1.0), (2.0, "x", 2.0), (3.0, "x", 3.0), (2.0, "x", 20.0), (3.0, "x", 30.0)]
    assert record_of(told).raw("x").values.tolist() == [1, 20, 30]


def test_a_loss_is_the_sum_of_its_terms():
    steps = np.arange(3.0)
    seen = record(discriminator__real=(steps, steps), discriminator__fake=(steps[1:], np.ones(2)))
    assert seen.loss("discriminator").steps.tolist() == [1, 2]
    assert seen.loss("discriminator").values.tolist() == [2, 3]


def test_shapes():
    assert shapes.onset(np.array([0, 1, 0, 0, 1, 1, 1, 1], bool)) == 4
    assert shapes.onset(np.array([1, 1, 0], bool)) == 0 or shapes.onset(np.array([1, 1, 0, 0], bool)) is None
    assert shapes.onset(np.zeros(5, bool)) is None
    assert shapes.onset(np.zeros(0, bool)) is None
    rng = np.random.default_rng(0)
    assert shapes.noise(rng.standard_normal(4000) + np.linspace(0, 30, 4000)) == pytest.approx(1, rel=0.05)
    place = np.arange(80)
    share, period = shapes.swing(np.sin(2 * np.pi * place / 10) + 0.05 * place, oscillation.CYCLES)
    assert share > 0.95
    assert period == pytest.approx(10, rel=0.05)
    white = [shapes.swing(rng.standard_normal(80), oscillation.CYCLES)[0] for _ in range(500)]
    walks = [shapes.swing(np.cumsum(rng.standard_normal(80)), oscillation.CYCLES)[0] for _ in range(500)]
    assert max(white) < oscillation.ONE_FREQUENCY
    assert np.mean(np.array(walks) > oscillation.ONE_FREQUENCY) <= 0.01


# findings


def test_a_finding_as_json_and_as_a_sentence():
    remedies = (Remedy("do this", "--pack 2"), Remedy("or that", "--r1 1"))
    finding = Finding("mode collapse", 1200, 0.9, {"x": 0.123456789, IN_WORDS: "all are alike"}, remedies)
    assert json.loads(json.dumps(finding.to_json())) == {
        "symptom": "mode collapse",
        "since": 1200,
        "confidence": 0.9,
        "evidence": {"x": 0.123457, IN_WORDS: "all are alike"},
        "remedies": [{"advice": "do this", "flags": "--pack 2"}, {"advice": "or that", "flags": "--r1 1"}],
    }
    assert str(finding) == "mode collapse since step 1,200 (90 % sure): all are alike; try --pack 2"


def test_findings_are_sorted_by_confidence():
    found = diagnose(healthy(**ILL[mode_collapse], **ILL[exploding_gradients]))
    assert {mode_collapse.SYMPTOM, exploding_gradients.SYMPTOM} <= {finding.symptom for finding in found}
    assert all(a.confidence >= b.confidence for a, b in itertools.pairwise(found))


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: symptom.SYMPTOM)
def test_remedies_name_flags_that_there_are(symptom):
    known = {p.flag for p in from_options(TrainingOptions)} | {p.flag for p in get_recipe("dcgan").parameters}
    assert len(symptom.REMEDIES) >= 2
    for remedy in symptom.REMEDIES:
        flags = re.findall(r"--[a-z0-9-]+", remedy.flags)
        assert flags, remedy
        assert set(flags) <= known, remedy


# samples


def ring(count: int, seed: int, modes: int = 8) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    angle = torch.randint(modes, (count,), generator=rng) * (2 * math.pi / 8)
    return torch.stack([angle.cos(), angle.sin()], 1) * 2 + 0.02 * torch.randn(count, 2, generator=rng)


def test_vital_signs_of_points():
    seen = Reference(ring(1024, 0))
    well = seen.signs(ring(256, 1))
    assert well["diversity"] == pytest.approx(1, abs=0.05)
    assert well["forgotten"] == well["stray"] == 0
    assert abs(well["energy"]) < 0.02
    half = seen.signs(ring(256, 1, modes=4))
    assert half["forgotten"] == pytest.approx(0.5, abs=0.08)  # the other half of the ring; some of its ends are near
    assert half["stray"] == 0
    one = seen.signs(ring(256, 1, modes=1))
    assert one["diversity"] < 0.05
    assert one["forgotten"] == pytest.approx(7 / 8, abs=0.05)
    off = seen.signs(torch.zeros(256, 2) + 0.01 * torch.randn(256, 2))
    assert off["stray"] > 0.8
    assert seen.signs(torch.full((256, 2), math.nan)) == {"finite": 0.0}
    assert set(well) <= set(EXPLAINED)
    with pytest.raises(DataError, match="of shape"):
        seen.signs(torch.zeros(8, 3))


def test_energy_is_that_of_its_definition():
    x, y = torch.tensor([[0.0], [1.0], [4.0]]), torch.tensor([[0.0], [2.0], [3.0]])
    across = np.abs(x.numpy() - y.numpy().T).mean()
    own = (1 + 4 + 3) / 3  # of the three pairs
    data = (2 + 3 + 1) / 3
    assert Reference(y).signs(x)["energy"] == pytest.approx((2 * across - own - data) / data)
    assert Reference(y).signs(x)["diversity"] == pytest.approx(own / data)


def test_copies_are_told_from_new_examples():
    rng = torch.Generator().manual_seed(0)
    train, unseen, new = (torch.randn(400, 1, 8, 8, generator=rng) for _ in range(3))
    seen = Reference(train, held_out=unseen, complete=True)
    assert seen.signs(new[:256])["nearest"] == pytest.approx(1, abs=0.05)
    assert seen.signs(train[:256])["nearest"] < 1e-6
    near = seen.signs(train[100:356] + 0.05 * torch.randn(256, 1, 8, 8, generator=rng))["nearest"]
    assert near < discriminator_overfitting.COPIES
    assert "nearest" not in Reference(train).signs(new)  # of a part of the data nothing follows


def test_lost_labels_are_counted():
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(500) % 5
    centres = 4 * torch.randn(5, 1, 8, 8, generator=rng)
    real = centres[labels] + torch.randn(500, 1, 8, 8, generator=rng)
    seen = Reference(real, labels=labels)
    assert seen.signs(real[:256])["missing_labels"] == 0
    lost = seen.signs(real[labels < 3][:256])
    assert lost["missing_labels"] == 2
    assert lost["label_distance"] == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("spread", [1.0, 0.1, 0.0])
def test_samples_of_one_condition_are_held_against_examples_of_it(spread: float):
    """They differ by `spread` times what examples of their class do; classes lie apart all the same."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (512,), generator=rng)
    centres = 4 * torch.randn(4, 1, 8, 8, generator=rng)
    real = centres[labels] + torch.randn(512, 1, 8, 8, generator=rng)
    system = get_recipe("cgan").build(Spec({"image": Image(1, 8, 8), "label": Label(("a", "b", "c", "d"))}), width=4)

    def sample(count: int, *, condition: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        return centres[condition.argmax(1)] + spread * torch.randn(count, 1, 8, 8, generator=rng)

    system.sample = sample
    found = Reference(real, told=Batch({"label": labels[:256]})).examine(system, 1)
    assert found["within"] == pytest.approx(spread, abs=0.02)
    assert found["diversity"] > 0.9
    few = Reference(real, told=Batch({"label": labels[:10]})).examine(system, 1)
    assert "within" not in few  # of so few pairs nothing follows
    alike = Reference(centres[labels], told=Batch({"label": labels[:256]})).examine(system, 1)
    assert "within" not in alike  # the class says all


@pytest.mark.parametrize("period", [2, 4])
@pytest.mark.parametrize("size", [8, 32])
def test_a_checkerboard_is_seen_in_the_spectrum(period: int, size: int):
    rng = torch.Generator().manual_seed(0)

    def smooth(count: int) -> torch.Tensor:
        noise = torch.randn(count, 1, size + 4, size + 4, generator=rng)
        return torch.nn.functional.avg_pool2d(noise, 5, 1)

    real, other = smooth(512), smooth(256)
    assert checkerboard(other, peaks(real)) < checkerboard_symptom.STRONG / 2
    row = torch.cos(2 * math.pi * torch.arange(size) / period)
    assert checkerboard(other + 0.3 * row[:, None] * row, peaks(real)) > checkerboard_symptom.STRONG
    assert checkerboard(other + 0.3 * row, peaks(real)) > checkerboard_symptom.STRONG


def test_samples_of_anyone_are_held_against_data():
    steps = np.arange(50, 2001, 50)
    log = {"d_loss": [(int(s), 1.3) for s in steps]}
    with pytest.raises(UsageError, match="real data"):
        kallima.diagnose(log, ring(256, 0).numpy())
    with pytest.raises(UsageError, match="give samples"):
        kallima.diagnose(log, data="ring")
