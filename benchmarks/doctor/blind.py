"""The blind cases: new causes, recipes, data and seeds, with the symptoms that are accepted of each.

They were written, all of them, before any was run. What is told of a case counts only if its scores say that it failed.
"""

from typing import Any

from case import (
    BLIND,
    BOARD,
    BY_HEART,
    COLLAPSE,
    DEAD,
    DROPPING,
    EXPLODING,
    FEW,
    FEWER,
    NAN,
    RISING,
    SIXTEEN,
    STOPPED,
    SWINGS,
    VANISHING,
    WINS,
    WORSE,
    Case,
)

_ILL: list[tuple[tuple[str, ...], str, str, str, dict[str, Any]]] = [
    ((NAN,), "a penalty around the data that overflows", "dragan", "ring", {"gradient_penalty": 1e38, "steps": 300}),
    ((NAN, EXPLODING), "R1 that overflows", "gan-r1", "digits", {"r1": 1e38, "steps": 300}),
    (
        (WINS, VANISHING),
        "15 steps a turn against a generator that hardly moves",
        "gan",
        "ring",
        {"discriminator_steps": 15, "learning_rate": 1e-7, "steps": 700},
    ),
    (
        (WINS, VANISHING),
        "a generator 100,000 times as slow",
        "relativistic",
        "spiral",
        {"learning_rate": 1e-8, "discriminator_learning_rate": 1e-3},
    ),
    (
        (WINS, VANISHING),
        "a slow generator, least squares",
        "lsgan",
        "digits",
        {"learning_rate": 1e-8, "discriminator_learning_rate": 1e-3},
    ),
    ((BLIND,), "noise drowns all, hinge", "geometric-gan", "ring", {"instance_noise": 300.0, "noise_until": 1e9}),
    (
        (BLIND, COLLAPSE),
        "8 steps of the generator a turn against tiny ones",
        "gan",
        "spiral",
        {"generator_steps": 8, "learning_rate": 2e-3, "discriminator_learning_rate": 1e-7, "steps": 600},
    ),
    (
        (COLLAPSE, DROPPING),
        "10 large steps of the generator a turn",
        "relativistic",
        "ring",
        {"generator_steps": 10, "learning_rate": 2e-3, "discriminator_learning_rate": 1e-4, "steps": 1200},
    ),
    (
        (COLLAPSE, DROPPING),
        "a generator 300 times as fast, least squares",
        "lsgan",
        "digits",
        {"learning_rate": 0.03, "discriminator_learning_rate": 1e-4, "width": 64},
    ),
    ((DROPPING, COLLAPSE), "a latent of one number, hinge", "geometric-gan", "grid", {"latent_dim": 1}),
    (
        (DROPPING, COLLAPSE),
        "momentum of both",
        "gan",
        "grid",
        {"beta1": 0.9, "learning_rate": 3e-3, "discriminator_learning_rate": 3e-3},
    ),
    (
        (DROPPING, COLLAPSE),
        "least squares, large steps",
        "lsgan",
        "ring",
        {"learning_rate": 5e-3, "discriminator_learning_rate": 5e-3},
    ),
    (
        (SWINGS, COLLAPSE),
        "momentum, hinge, no average",
        "geometric-gan",
        "ring",
        {"beta1": 0.95, "learning_rate": 2e-3, "discriminator_learning_rate": 2e-3, "average": 0.0},
    ),
    (
        (SWINGS, WORSE),
        "simultaneous, momentum, least squares",
        "lsgan",
        "two-moons",
        {
            "beta1": 0.95,
            "simultaneous": True,
            "learning_rate": 3e-3,
            "discriminator_learning_rate": 3e-3,
            "average": 0.0,
        },
    ),
    (
        (WORSE,),
        "rates that rise too far, least squares",
        "lsgan",
        "two-moons",
        {"learning_rate": 0.1, "discriminator_learning_rate": 0.1, "average": 0.99} | RISING,
    ),
    (
        (WORSE,),
        "rates that rise too far, on images",
        "relativistic",
        "digits",
        {"learning_rate": 0.05, "discriminator_learning_rate": 0.05, "average": 0.9} | RISING,
    ),
    (
        (BY_HEART,),
        "100 examples, relativistic",
        "relativistic",
        FEW,
        {"learning_rate": 1e-3, "width": 64, "steps": 1500},
    ),
    ((BY_HEART,), "40 examples, least squares", "lsgan", FEWER, {"width": 64, "batch_size": 32, "steps": 1500}),
    ((EXPLODING, WORSE, STOPPED), "R2 far too heavy", "gan", "spiral", {"r2": 1e8, "steps": 1200}),
    (
        (EXPLODING, WORSE, NAN, STOPPED),
        "exponentials of Kullback and Leibler, large steps",
        "f-gan",
        "ring",
        {"divergence": "kl", "learning_rate": 0.05, "discriminator_learning_rate": 0.05, "steps": 1200},
    ),
    (
        (VANISHING, WINS),
        "minimax, far ahead",
        "gan-minimax",
        "spiral",
        {"discriminator_steps": 15, "learning_rate": 1e-6, "steps": 700},
    ),
    ((VANISHING, DEAD), "seven layers within narrow bounds", "wgan", "gaussian", {"weight_clip": 1e-4, "depth": 7}),
    (
        (DEAD, VANISHING),
        "large steps, differences of scores",
        "relativistic-average",
        "two-moons",
        {"learning_rate": 0.3, "discriminator_learning_rate": 1e-3, "steps": 1300},
    ),
    (
        (DEAD, VANISHING),
        "enormous steps, on images",
        "gan",
        "digits",
        {"optimizer": "rmsprop", "learning_rate": 0.2, "width": 64},
    ),
    (
        (STOPPED, BLIND),
        "steps far too small",
        "lsgan",
        "ring",
        {"learning_rate": 1e-8, "discriminator_learning_rate": 1e-8},
    ),
    (
        (STOPPED, BLIND),
        "weights held at their mean, hinge",
        "geometric-gan",
        "ring",
        {"historical_averaging": 1e6},
    ),
    ((BOARD, STOPPED), "an average that lags, hinge", "sngan", "digits", SIXTEEN | {"average": 0.99999}),
    (
        (BOARD,),
        "a generator that hardly moves, least squares",
        "lsgan",
        "digits",
        SIXTEEN | {"generator": "dcgan", "learning_rate": 1e-6, "discriminator_learning_rate": 1e-4},
    ),
]

_WELL: list[tuple[str, str, dict[str, Any]]] = [
    ("gan", "gaussian", {"label_smoothing": 0.1}),
    ("lsgan", "mixture", {}),
    ("geometric-gan", "mixture", {}),
    ("relativistic", "two-moons", {}),
    ("relativistic-average", "gaussian", {}),
    ("gan-r1", "gaussian", {}),
    ("gan-r1", "ring", {"r1": 0.3}),
    ("r3gan", "two-moons", {}),
    ("r3gan", "ring", {"width": 96}),
    ("r3gan", "grid", {"width": 96}),
    ("dragan", "gaussian", {}),
    ("dragan", "spiral", {}),
    ("pacgan", "two-moons", {}),
    ("wgan", "gaussian", {"steps": 1000}),
    ("wgan-gp", "gaussian", {"steps": 1000}),
    ("f-gan", "mixture", {"divergence": "jensen-shannon"}),
    ("f-gan", "gaussian", {"divergence": "pearson"}),
    ("sinkhorn", "gaussian", {"steps": 600}),
    ("bgan", "mixture", {}),
    ("gan", "spiral", {"r1": 0.1}),
    ("dcgan", "digits", {"r1": 0.1}),
    ("relativistic", "digits", {"r1": 0.1, "width": 32}),
    ("geometric-gan", "digits", {"spectral_norm": True, "width": 32}),
    ("gan", "digits", {"width": 32}),
]

PROVOKED = [
    Case(f"{symptoms[0]}: {cause} (blind)", "blind", recipe, data, arguments, symptoms, seed=7)
    for symptoms, cause, recipe, data, arguments in _ILL
]
HEALTHY = [
    Case(f"{recipe} on {data} (blind)", "blind", recipe, data, arguments, seed=8) for recipe, data, arguments in _WELL
]
