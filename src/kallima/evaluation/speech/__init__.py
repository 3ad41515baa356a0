"""Speech: word and character error rates, segmental SNR, PESQ and STOI."""
