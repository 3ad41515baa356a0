"""A folder of moving pictures: .gif files, each a video, with class subfolders or tables as a folder of images."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from kallima.data.folder import Folder
from kallima.data.images import SUFFIXES, decode_frames, with_channels
from kallima.data.source import Example, Problem, Source
from kallima.data.spec import Field, Image, Video
from kallima.errors import DataError

SUFFIX = ".gif"


def holds_videos(folder: Path) -> bool:
    """Say whether a folder's pictures are all .gif files, of which the first moves."""
    pictures = []
    for path in folder.rglob("*"):
        name = path.name.lower()
        if name.endswith(SUFFIXES) and not name.endswith(SUFFIX):
            return False
        if name.endswith(SUFFIX):
            pictures.append(path)
    for path in sorted(pictures):
        try:
            return len(decode_frames(path)) > 1
        except DataError:
            continue  # broken, as the source will say
    return False


class VideoFolder(Source):
    """The .gif files below `path`, in the order and with the labels that `Folder` finds; field video.

    All are of one size, and like the first that can be read: as many frames, and grey where that is grey throughout.
    One that is not is a `Problem`. A frame that is shown twice as long as the shortest is two frames.

    Raises:
        DataError: the folder cannot be used, the videos differ in size, or none can be read.
    """

    def __init__(self, path: Path | str, split: str = "train"):
        self._folder = Folder(path, split)
        self.name, self.split, self.splits = self._folder.name, split, self._folder.splits
        image = self._folder.fields["image"]
        assert isinstance(image, Image)
        if image.height is None or image.width is None:
            raise DataError(f"the videos in {path} differ in size: bring them to one size, with as many frames each")
        first = next((each for index in range(len(self)) if not isinstance(each := self._frames(index), Problem)), None)
        if first is None:
            raise DataError(f"not one of the videos in {path} can be used: 'kallima data check' tells of each")
        channels = 1 if _is_grey(first) else image.channels
        video = Video(len(first), channels, image.height, image.width)
        more = {name: field for name, field in self._folder.fields.items() if name != "image"}
        self.fields: Mapping[str, Field] = {"video": video, **more}

    def __len__(self) -> int:
        return len(self._folder)

    def read(self, index: int) -> Example | Problem:
        """Decode example `index`, or return what is wrong with it."""
        example, frames, video = self._folder.read(index), self._frames(index), self.fields["video"]
        assert isinstance(video, Video)
        if isinstance(example, Problem):
            return example
        if isinstance(frames, Problem):
            return frames
        where = str(self._folder.path(index))
        if len(frames) != video.frames:
            return Problem(where, f"has {len(frames)} frames and the first video {video.frames}: cut all to one number")
        if video.channels == 1 and not _is_grey(frames):
            return Problem(where, "is in colour and the first video is grey: make all alike")
        del example["image"]
        return {"video": np.stack([with_channels(frame, video.channels) for frame in frames]), **example}

    def examples(self) -> Iterator[Example | Problem]:
        """Yield every example in order."""
        return (self.read(index) for index in range(len(self)))

    def fingerprint(self) -> str:
        """Return the SHA-256 of that of the files, and of the number of frames."""
        return hashlib.sha256(f"{self._folder.fingerprint()} {self.fields['video']}".encode()).hexdigest()

    def _frames(self, index: int) -> list[np.ndarray] | Problem:
        path = self._folder.path(index)
        if isinstance(path, Problem):
            return path
        try:
            return decode_frames(path)
        except DataError as error:
            return Problem(str(path), str(error))


def _is_grey(frames: list[np.ndarray]) -> bool:
    """Say whether each pixel's red, green and blue are equal and nothing transparent: palettes may be of greys."""
    return all((frame[..., :3] == frame[..., :1]).all() and (frame[..., 3:] == 255).all() for frame in frames)
