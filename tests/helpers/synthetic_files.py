"""The official file formats, written from arrays."""

import io
import struct

import scipy.io

TRAIN_NAME = "train-images-idx3-ubyte.gz"
TEST_NAME = "t10k-images-idx3-ubyte.gz"
FREY_NAME = "frey_rawface.mat"


def idx(images):
    return struct.pack(">4i", 0x00000803, *images.shape) + images.tobytes()


def mat(**variables):
    stream = io.BytesIO()
    scipy.io.savemat(stream, variables)
    return stream.getvalue()
