"""Small synthetic data sets in the official formats, an empty cache, and a mirror on this host."""

import http.server
import threading

import numpy as np
import pytest

from reproduce.data import freyface, mnist, registry, sources
from reproduce.data.images import sha256
from synthetic_files import TEST_NAME, TRAIN_NAME, idx


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, no downloads and nothing remembered from another test."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(sources, "cache_folder", lambda: folder)
    monkeypatch.setenv("AEVB_OFFLINE", "1")
    registry._load.cache_clear()
    yield folder
    registry._load.cache_clear()


@pytest.fixture
def data_dir(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def small_mnist(monkeypatch):
    """MNIST with 60 + 10 images, of which 50 train: the two plain IDX files, by official name."""
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (60, 28, 28), dtype=np.uint8)
    test = rng.integers(0, 256, (10, 28, 28), dtype=np.uint8)
    monkeypatch.setattr(mnist, "TRAIN_SHAPE", train.shape)
    monkeypatch.setattr(mnist, "TEST_SHAPE", test.shape)
    monkeypatch.setattr(mnist, "N_TRAIN", 50)
    monkeypatch.setattr(mnist, "TRAIN_SHA256", sha256(idx(train)))
    monkeypatch.setattr(mnist, "TEST_SHA256", sha256(idx(test)))
    return {TRAIN_NAME: idx(train), TEST_NAME: idx(test)}


@pytest.fixture
def small_frey(monkeypatch):
    """Frey Face with 30 images, of which 20 train: (560, 30)."""
    columns = np.random.default_rng(1).integers(0, 256, (560, 30), dtype=np.uint8)
    monkeypatch.setattr(freyface, "N_IMAGES", 30)
    monkeypatch.setattr(freyface, "N_TRAIN", 20)
    monkeypatch.setattr(freyface, "SHA256", sha256(columns.T))
    return columns


class Mirror(http.server.ThreadingHTTPServer):
    """Serves `answers`: bytes, a status code, or ("cut", bytes) for a connection that breaks."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = {}
        self.requested = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requested.append(self.path)
        answer = self.server.answers.get(self.path, 404)
        if isinstance(answer, int):
            self.send_error(answer)
            return
        cut = isinstance(answer, tuple)
        body = answer[1] if cut else answer
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + (1000 if cut else 0)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def mirror(monkeypatch):
    """A running `Mirror`, with downloads allowed."""
    monkeypatch.setenv("AEVB_OFFLINE", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Mirror() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
