"""Text: BLEU, self-BLEU, distinct-n, ROUGE, perplexity."""
