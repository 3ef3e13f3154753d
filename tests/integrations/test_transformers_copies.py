"""Copies and replicas of transformers' models have the loss too, each its own, and so have compiled ones."""

import copy
import io
import pickle
import threading

import pytest
import torch
from transformers_models import NOT_PICKLED, every_model, scene, semantic

import pat_triton

pytestmark = pytest.mark.usefixtures("integration")


@every_model
def test_copies_of_a_model(kind, integration):
    """A copy, one from a file and an average of weights have the loss, each its own; what is loaded, the weights."""
    from torch.optim.swa_utils import AveragedModel

    criterion = pat_triton.PATLoss()
    model = integration.set_loss(semantic(kind), criterion)
    copies = []
    if kind in NOT_PICKLED:
        with pytest.raises(AttributeError, match="local object"):
            pickle.dumps(semantic(kind))
    else:
        copies += [pickle.loads(pickle.dumps(model))]
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        copies += [torch.load(file, weights_only=False)]
    images, labels = scene()
    with torch.no_grad():
        expected = model(images, labels=labels).loss
        average = AveragedModel(model)  # after a forward too, when transformers has hooks of its own
        average.update_parameters(model)
        copies += [copy.deepcopy(model), average]
        criterion.loss_weight = 2.0
        torch.testing.assert_close(model(images, labels=labels).loss, 2 * expected)
        for made in copies:
            torch.testing.assert_close(made(images, labels=labels).loss, expected)
        # Another loss of one leaves the others theirs.
        made = integration.set_loss(copies[-2], pat_triton.CrossEntropyLoss())
        assert made(images, labels=labels).loss < expected / 2
        torch.testing.assert_close(model(images, labels=labels).loss, 2 * expected)
        model.load_state_dict({name: torch.zeros_like(value) for name, value in model.state_dict().items()})
        torch.testing.assert_close(average(images, labels=labels).loss, expected)


def replica(model):
    """As DataParallel makes them: modules anew, what they hold shared."""
    made = {module: module._replicate_for_data_parallel() for module in model.modules()}
    for module, other in made.items():
        for name, child in module._modules.items():
            other._modules[name] = made.get(child)
        for name, weight in module._parameters.items():
            setattr(other, name, weight)
    return made[model]


class Meets(torch.nn.Module):
    """A head that waits for that of another replica."""

    def __init__(self, head, meeting):
        super().__init__()
        self.head, self.meeting = head, meeting

    def forward(self, features):
        self.meeting.wait()
        return self.head(features)


@pytest.mark.parametrize("kind", ["upernet", "segformer"])
def test_replicas_run_at_once(kind, integration):
    """Each in its thread, and both are between their hooks at the same time."""
    criterion = pat_triton.CrossEntropyLoss()
    model = integration.set_loss(semantic(kind), criterion)
    scenes = [scene(0), scene(1)]
    with torch.no_grad():
        expected = [model(images, labels=labels).loss for images, labels in scenes]
    meeting = threading.Barrier(2, timeout=20)
    losses = {}

    def work(number, copied):
        images, labels = scenes[number]
        with torch.no_grad():
            losses[number] = copied(images, labels=labels).loss

    copies = [replica(model) for _ in scenes]
    for copied in copies:
        copied.decode_head = Meets(copied.decode_head, meeting)
    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(copies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.testing.assert_close([losses[0], losses[1]], expected)
    assert expected[0] != expected[1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", [True, False])
def test_a_compiled_model(mode, integration):
    model = integration.set_loss(semantic("segformer"), pat_triton.PATLoss()).train(mode)
    images, labels = scene()
    torch.manual_seed(0)
    expected = model(images, labels=labels).loss
    torch._dynamo.reset()
    torch.manual_seed(0)
    compiled = torch.compile(model, backend="eager")
    torch.testing.assert_close(compiled(images, labels=labels).loss, expected)


def test_the_tables_follow_the_logits(integration):
    """A criterion that is in no model stays where it was made; a copy goes where the logits are."""
    criterion = pat_triton.BLVLoss(class_counts=[1, 2, 3, 4, 500])
    loss, there = integration.Loss(criterion), torch.device("meta")
    assert loss.on(torch.device("cpu")) is criterion
    moved = loss.on(there)
    assert moved.class_counts.device == there and criterion.class_counts.device.type == "cpu"
    assert loss.on(there) is moved
    criterion.loss_weight = 3.0
    assert loss.on(there).loss_weight == 3.0 and loss.on(there) is not moved
    assert copy.deepcopy(loss).moved == {}
