"""Every model of transformers trains with the losses, and is judged with them."""

import inspect

import pytest
import torch
import torch.nn.functional as F
from transformers_models import NOT_BUILT, SMALL, by_hand, every_model, left_behind, predicted, scene, semantic

import pat_triton

pytestmark = pytest.mark.usefixtures("integration")


def test_every_model_that_transformers_has_is_here(integration):
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES

    assert set(SMALL) | set(NOT_BUILT) == set(MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES)
    assert not set(SMALL) & set(NOT_BUILT)


@every_model
def test_the_loss_of_a_model(kind, integration, monkeypatch):
    """That of its logits, auxiliary ones included; the model itself enlarges nothing and computes no loss."""
    model = semantic(kind)
    images, labels = scene()
    own, auxiliary = predicted(model, images, labels=labels)
    assert (auxiliary is not None) == hasattr(model.config, "auxiliary_loss_weight")
    keys = list(model.state_dict())
    integration.set_loss(model, pat_triton.CrossEntropyLoss())
    torch.testing.assert_close(model(images, labels=labels).loss, own.loss, rtol=1e-5, atol=0)

    criterion = pat_triton.PATLoss()
    assert integration.set_loss(model, criterion) is model  # replaces the first
    expected = by_hand(criterion, own.logits, auxiliary, labels)
    plain = pat_triton.CrossEntropyLoss()
    assert abs(expected / by_hand(plain, own.logits, auxiliary, labels) - 1) > 1  # another loss, plainly

    sizes, enlarge = [], F.interpolate
    monkeypatch.setattr(F, "interpolate", lambda x, *a, **k: sizes.append(x.shape) or enlarge(x, *a, **k))
    model(images)
    without, sizes = sizes.copy(), sizes.clear() or sizes
    monkeypatch.setattr(F, "cross_entropy", None)
    outputs = model(images, labels=labels)
    assert sizes == without
    assert list(outputs)[:2] == ["loss", "logits"] and torch.equal(outputs[0], outputs.loss)
    torch.testing.assert_close(outputs.loss, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(outputs.logits, own.logits)

    place = list(inspect.signature(type(model).forward).parameters).index("labels") - 1
    positional = [images, *[None] * (place - 1), labels]
    for outputs in (model(*positional).loss, model(images, labels=labels, return_dict=False)[0]):
        torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=0)
    assert model(images).loss is None
    torch.testing.assert_close(model(images, return_dict=False)[0], own.logits)
    assert list(model.state_dict()) == keys
    assert not left_behind(model)


@every_model
def test_the_gradient_of_a_model(kind, integration):
    """Of every weight, auxiliary head included, that of the criterion called by hand."""
    criterion = pat_triton.PATLoss()
    model = integration.set_loss(semantic(kind), criterion).train()
    images, labels = scene()
    outputs, auxiliary = predicted(model, images, labels=labels)
    weights = list(model.parameters())
    expected = by_hand(criterion, outputs.logits, auxiliary, labels)
    expected = torch.autograd.grad(expected, weights, retain_graph=True, allow_unused=True)
    outputs.loss.backward()
    assert [w.grad is None for w in weights] == [g is None for g in expected]
    for weight, gradient in zip(weights, expected, strict=True):
        if gradient is not None:
            noise = 1e-4 * float(gradient.abs().max()) + 1e-7
            torch.testing.assert_close(weight.grad, gradient, rtol=1e-3, atol=noise)
            assert gradient.ndim < 4 or gradient.count_nonzero()


@every_model
def test_training_of_a_model_has_noise(kind, integration):
    """Also where no gradients are recorded: the model's mode is what counts."""
    model = integration.set_loss(semantic(kind), pat_triton.BLVLoss(class_counts=[1, 2, 3, 4, 500])).train()
    images, labels = scene()
    for context in (torch.enable_grad(), torch.no_grad()):
        with context:
            outputs, auxiliary = predicted(model, images, labels=labels)
            plain = by_hand(pat_triton.CrossEntropyLoss(), outputs.logits, auxiliary, labels)
        assert abs(outputs.loss - plain) > 1e-3


@every_model
def test_evaluation_of_a_model_has_no_noise(kind, integration):
    criterion = pat_triton.BLVLoss(class_counts=[1, 2, 3, 4, 500])
    model = integration.set_loss(semantic(kind), criterion)
    images, labels = scene()
    losses = []
    for context in (torch.enable_grad(), torch.no_grad(), torch.no_grad()):
        with context:
            outputs, auxiliary = predicted(model, images, labels=labels)
            losses.append(outputs.loss.item())
    assert len(set(losses)) == 1
    plain = by_hand(pat_triton.CrossEntropyLoss(), outputs.logits, auxiliary, labels)
    torch.testing.assert_close(outputs.loss, plain, rtol=1e-5, atol=0)
    assert criterion.training


@every_model
def test_items_of_a_batch(kind, integration):
    """Each part of a batch counts by its labels, as Trainer counts them, those that are ignored included: the whole
    batch has the loss that the model's own would have."""
    model = integration.set_loss(semantic(kind), pat_triton.CrossEntropyLoss())
    images, labels = scene()
    labels[0, :30] = 255
    items = labels.ne(-100).sum()
    with torch.no_grad():
        whole = model(images, labels=labels, num_items_in_batch=items).loss
        parts = [model(images[i : i + 1], labels=labels[i : i + 1], num_items_in_batch=items).loss for i in (0, 1)]
        mean = model(images, labels=labels).loss
        each = [model(images[i : i + 1], labels=labels[i : i + 1]).loss for i in (0, 1)]
    torch.testing.assert_close(whole, mean, rtol=1e-5, atol=0)
    for part, alone in zip(parts, each, strict=True):
        torch.testing.assert_close(part, alone / 2, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", ["segformer", "upernet"])
def test_the_label_to_ignore(kind, integration):
    """The model's, unless the user of the criterion said one; UperNet has another name for it."""
    name = "loss_ignore_index" if kind == "upernet" else "semantic_loss_ignore_index"
    model = semantic(kind, **{name: 3})
    images, labels = scene()
    labels[labels == 255] = 3
    outputs, auxiliary = predicted(model, images, labels=labels)
    for said, expected in (None, 3), (2, 2), (255, 255), ([2, 3], [2, 3]):
        criterion = pat_triton.CrossEntropyLoss(**{} if said is None else {"ignore_index": said})
        ignoring = pat_triton.CrossEntropyLoss(ignore_index=expected)
        integration.set_loss(model, criterion)
        ours = model(images, labels=labels).loss
        theirs = by_hand(ignoring, outputs.logits, auxiliary, labels)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)
        ours = integration.loss_function(criterion)(outputs.logits, labels, ignore_index=3)
        torch.testing.assert_close(ours, ignoring(outputs.logits, labels))
    integration.set_loss(model, pat_triton.CrossEntropyLoss())
    torch.testing.assert_close(model(images, labels=labels).loss, outputs.loss, rtol=1e-5, atol=0)
