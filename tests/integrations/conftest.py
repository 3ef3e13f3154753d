"""The libraries that the tests of this folder need, where they are installed."""

import pytest
from libraries import needed


@pytest.fixture(autouse=True)
def poison():
    """The models are not ours to poison."""


@pytest.fixture(scope="session")
def mmseg():
    needed("mmseg", "mmseg.models")
    from pat_triton.integrations import mmseg

    return mmseg


@pytest.fixture(scope="session")
def integration():
    needed("transformers", "accelerate")
    from pat_triton.integrations import transformers

    return transformers
