"""See `tests/common/keras_sparse.py`."""

import keras_sparse
import numpy
import tensorflow as tf


class TestSparse(keras_sparse.Sparse):
    """`tf.IndexedSlices`."""

    def make(self, rows, values, shape):
        return tf.IndexedSlices(tf.constant(values), tf.constant(numpy.array(rows, "int32")), tf.constant(shape))
