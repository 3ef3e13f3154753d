"""A class that occurs although its given count is 0: what each loss makes of it, and that it is said, once."""

import warnings

import pytest
import torch
from cases import CPU, GPU, PATHS

import pat_triton as pt
from pat_triton.adjustment import LogPrior, Tables
from pat_triton.checks import absent
from pat_triton.weights import EffectiveNumber

COUNTS = [0, 1_000_000_000, 5]
LOGITS = torch.zeros(1, 3, 1, 4)
TARGET = torch.tensor([[[0, 0, 1, 255]]])
SAYS = (
    "class_counts: got 0 for classes that have pixels in the target (class 0: 2 pixels), expected the counts of the "
    "training data; are these counts of other data, or of a part? Count again: pat_triton.class_counts(data, "
    "num_classes=3). {}. This warning is given once"
)
NO_LOSS = "With these counts such pixels have no loss, as the class-balanced weight of a count of 0 is 0"
RAREST = "A count of 0 is taken as 1, so the logits are adjusted as if the class were extremely rare"
OWN = "What happens to such pixels depends on the adjustment and the weights of this loss"
EFFECTS = {
    "ClassBalancedLoss": NO_LOSS,
    "ClassBalancedFocalLoss": NO_LOSS,
    "BalancedSoftmaxLoss": RAREST,
    "LDAMLoss": RAREST,
    "BLVLoss": RAREST,
}


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(absent, "said", set())


def told(act):
    """The warnings of ``act()``, and what it gave."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        made = act()
    return [str(warning.message) for warning in seen], made


def called(loss, path, **options):
    def act():
        criterion = loss(class_counts=COUNTS, backend=path[0], validate=True, **options).to(path[1])
        values = [criterion(LOGITS.to(path[1]), TARGET.to(path[1])).item() for _ in range(2)]
        return values[0]

    return act


@pytest.mark.parametrize("name", EFFECTS)
@pytest.mark.parametrize("path", PATHS)
def test_it_is_said_once(name, path):
    act = called(getattr(pt, name), path)
    assert told(act)[0] == [SAYS.format(EFFECTS[name])]
    assert told(act)[0] == []  # of another criterion with these counts


@pytest.mark.parametrize("path", PATHS)
def test_what_losses_make_of_it(path):
    """Of three pixels two are of class 0; log(1 + 1e9 + 5) is 20.7."""
    class_balanced, balanced_softmax = (
        told(called(loss, path))[1] for loss in (pt.ClassBalancedLoss, pt.BalancedSoftmaxLoss)
    )
    assert class_balanced < 1e-6
    assert balanced_softmax == pytest.approx(2 * 20.7233 / 3, rel=1e-4)


@pytest.mark.parametrize("path", PATHS)
def test_of_several_parts(path):
    def own(counts):
        return Tables(offset=counts.clamp(min=1).log())

    both = called(pt.SegmentationLoss, path, adjustment=LogPrior(), weights=EffectiveNumber())
    assert told(both)[0] == [SAYS.format(f"{NO_LOSS}. {RAREST}")]
    assert told(called(pt.SegmentationLoss, path, adjustment=own))[0] == [SAYS.format(OWN)]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("loss", "options"),
    [
        (pt.PATLoss, {}),  # has no use for counts
        (pt.BalancedSoftmaxLoss, {"ignore_index": (0, 255)}),  # an ignored class has no pixels
    ],
)
def test_nothing_to_say(loss, options, path):
    assert told(called(loss, path, **options))[0] == []


def test_nothing_to_say_of_a_class_that_does_not_occur():
    criterion = pt.LDAMLoss([3, 5, 0])
    assert told(lambda: criterion(LOGITS, TARGET))[0] == []


def test_the_line_that_is_shown_is_the_users():
    with pytest.warns(UserWarning, match=r"^class_counts: got 0") as seen:
        torch.nn.Sequential(pt.LDAMLoss(COUNTS))[0](LOGITS, TARGET)
    assert [warning.filename for warning in seen] == [__file__]


def test_a_graph_says_it_when_it_runs():
    criterion = pt.ClassBalancedLoss(COUNTS)
    torch._dynamo.reset()
    compiled = torch.compile(criterion, fullgraph=True, backend="aot_eager")
    assert told(lambda: [compiled(LOGITS, TARGET) for _ in range(2)])[0] == [SAYS.format(NO_LOSS)]
    torch._dynamo.reset()


@pytest.mark.skipif(GPU == CPU, reason="needs a GPU")
def test_a_gpu_is_not_waited_for(no_host_sync):
    criterion, logits, target = pt.LDAMLoss(COUNTS).to(GPU), LOGITS.to(GPU), TARGET.to(GPU)
    criterion(logits, target)
    with no_host_sync():
        assert told(lambda: criterion(logits, target))[0] == []
