"""What is heard in a sound, against implementations that are not ours."""

import numpy as np
import pytest
import torch
from scipy.fft import dct
from scipy.signal import stft

from kallima.layers.acoustic import FLOOR, LogMel, cepstrum, mel_bands

RATE, WINDOW, HOP, MELS = 8000, 256, 128, 40
SOUNDS = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (2, 2048))).float()


def test_bands_are_the_triangles_of_another_library():
    audio_utils = pytest.importorskip("transformers.audio_utils")
    for rate, bins, mels in ((8000, 129, 40), (16000, 257, 80)):
        theirs = audio_utils.mel_filter_bank(bins, mels, 0.0, rate / 2, rate, norm=None, mel_scale="htk")
        np.testing.assert_allclose(mel_bands(rate, bins, mels).numpy(), theirs.T, atol=1e-6)


def test_power_is_that_of_scipys_transform():
    layer = LogMel(RATE, window=WINDOW, hop=HOP, mels=MELS)
    _, _, spectrum = stft(
        np.pad(SOUNDS.double().numpy(), ((0, 0), (WINDOW // 2, WINDOW // 2)), mode="reflect"),
        window="hann",  # periodic, and divided by its sum
        nperseg=WINDOW,
        noverlap=WINDOW - HOP,
        boundary=None,
        padded=False,
    )
    expected = 10 * np.log10(
        np.maximum(mel_bands(RATE, WINDOW // 2 + 1, MELS).double().numpy() @ np.abs(spectrum) ** 2, FLOOR)
    )
    assert layer(SOUNDS).shape == (2, MELS, layer.frames(2048)) == (2, MELS, 17)
    np.testing.assert_allclose(layer(SOUNDS).numpy(), expected, atol=2e-3)


def test_ten_times_the_amplitude_is_twenty_decibels_more_in_every_band():
    layer = LogMel(RATE, window=WINDOW, hop=HOP, mels=MELS)
    torch.testing.assert_close(layer(10 * SOUNDS), layer(SOUNDS) + 20, atol=1e-3, rtol=0)


def test_a_tone_is_loudest_in_its_own_band():
    layer = LogMel(RATE, window=WINDOW, hop=HOP, mels=MELS)
    for hertz in (300, 1000, 2500):
        tone = torch.sin(2 * torch.pi * hertz * torch.arange(4000) / RATE)[None]
        heard = layer(tone).mean(2).argmax().item()
        assert heard == mel_bands(RATE, WINDOW // 2 + 1, MELS)[:, round(hertz * WINDOW / RATE)].argmax().item()


def test_silence_is_at_the_floor():
    assert torch.equal(LogMel(RATE, window=64, hop=32, mels=8)(torch.zeros(1, 320)), torch.full((1, 8, 11), -100.0))


def test_the_cepstrum_is_scipys_cosine_transform():
    picture = torch.randn(3, MELS, 7, generator=torch.Generator().manual_seed(0))
    expected = dct(picture.numpy(), type=2, axis=1, norm="ortho")[:, :13]
    np.testing.assert_allclose(cepstrum(picture, 13).numpy(), expected, atol=1e-5)
