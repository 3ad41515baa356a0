"""Models with an encoder that are trained by descent alone: autoencoders, variational and not."""
