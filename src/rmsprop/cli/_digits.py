"""Handwritten digits: what ``rmsprop train`` learns.

The data are the 1797 images of 8 by 8 pixels within scikit-learn (no download). A fifth, stratified, is for the test.
The training images are distorted a little, anew in every epoch: without that the network learns them by heart and stays
below 98 %.

All random numbers of an epoch are from a generator of (seed, epoch), so that an epoch can be repeated, or continued in
its middle, without the epochs before.
"""

from typing import Final, NamedTuple, final

import numpy
from numpy.typing import NDArray
from sklearn import datasets, model_selection

Array = NDArray[numpy.float32]

CLASSES: Final = 10
SIDE: Final = 8
PIXELS: Final = SIDE * SIDE

#: How far a training image is distorted: every entry of the 2 by 2 matrix by up to this, and pixels of shift.
_BEND, _SHIFT = 0.1, 0.5


@final
class Digits(NamedTuple):
    """Images as rows of 64 numbers from 0 to 1, labels as rows of ten with a single 1."""

    images: Array
    labels: Array
    test_images: Array
    test_labels: Array


def load_digits(seed: int) -> Digits:
    """Load the data set and split it; the seed decides which images are for the test."""
    images, digits = datasets.load_digits(return_X_y=True)
    images = (images / 16).astype(numpy.float32)
    labels = numpy.eye(CLASSES, dtype=numpy.float32)[digits]
    images, test_images, labels, test_labels = model_selection.train_test_split(
        images, labels, test_size=0.2, stratify=digits, random_state=seed
    )
    return Digits(images, labels, test_images, test_labels)


def shuffled_epoch(digits: Digits, seed: int, epoch: int) -> tuple[Array, Array]:
    """Return the training images of an epoch, counted from 1, in its order and with its distortions."""
    generator = numpy.random.default_rng([seed, epoch])
    order = generator.permutation(len(digits.images))
    return _distort(digits.images[order], generator), digits.labels[order]


def _distort(images: Array, generator: numpy.random.Generator) -> Array:
    """Turn, stretch, shear and shift each image by a little of its own, interpolating linearly."""
    count = len(images)
    bend = numpy.eye(2) + generator.uniform(-_BEND, _BEND, (count, 2, 2))
    shift = generator.uniform(-_SHIFT, _SHIFT, (count, 2, 1))
    # The origin of each pixel of the result, in an image with a frame of one empty pixel.
    grid = numpy.indices((SIDE, SIDE)).reshape(2, -1) - (SIDE - 1) / 2
    place = numpy.clip(bend @ grid + shift + (SIDE + 1) / 2, 0, SIDE + 0.999)
    row, column = place.astype(int).transpose(1, 0, 2)
    down, right = (place % 1).transpose(1, 0, 2)
    framed = numpy.pad(images.reshape(-1, SIDE, SIDE), ((0, 0), (1, 1), (1, 1)))
    image = numpy.arange(count)[:, None]
    upper = framed[image, row, column] * (1 - right) + framed[image, row, column + 1] * right
    lower = framed[image, row + 1, column] * (1 - right) + framed[image, row + 1, column + 1] * right
    distorted: NDArray[numpy.float64] = upper * (1 - down) + lower * down
    return distorted.astype(numpy.float32)
