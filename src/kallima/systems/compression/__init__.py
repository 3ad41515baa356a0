"""Learned image compression: transforms whose latents are coded by what is expected of them."""
