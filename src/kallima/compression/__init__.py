"""Images to files and back, by any system that `Compresses`: entropy coding, the container, and the codec of both."""
