"""Where the data sets of this folder's tests lie."""

import pytest


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"
