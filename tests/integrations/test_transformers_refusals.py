"""What transformers' models are refused, what an error leaves behind, and which changes of a model are seen."""

import copy

import pytest
import torch
from transformers_models import READING, every_model, left_behind, scene, segformer, semantic

import pat_triton

pytestmark = pytest.mark.usefixtures("integration")


@pytest.mark.parametrize("of", ["forward", "loss"])
def test_an_error_leaves_nothing_behind(of, integration):
    model = integration.set_loss(semantic("upernet"), pat_triton.PATLoss())
    images, labels = scene()
    given = (images[:, :1], labels) if of == "forward" else (images, labels + 1000)
    with pytest.raises(ValueError, match="channel" if of == "forward" else "target"):
        model(given[0], labels=given[1])
    assert not left_behind(model)
    assert model(images).loss is None
    copy.deepcopy(model)


def test_a_head_that_is_replaced_says_so(integration):
    model = integration.set_loss(semantic("upernet"), pat_triton.PATLoss())
    images, labels = scene()
    model.auxiliary_head = copy.deepcopy(model.auxiliary_head)
    expected = model(images, labels=labels).loss
    model.auxiliary_head = semantic("upernet").auxiliary_head
    with pytest.raises(RuntimeError, match=r"auxiliary_head: expected logits.*Call set_loss\(model, criterion\) again"):
        model(images, labels=labels)
    integration.set_loss(model, pat_triton.PATLoss())
    torch.testing.assert_close(model(images, labels=labels).loss, expected)
    model.auxiliary_head = None  # as transformers has it for a model without one
    assert model(images, labels=labels).loss < expected


def test_a_model_without_its_auxiliary_head(integration):
    """transformers' own DPT cannot compute a loss then."""
    model = integration.set_loss(semantic("dpt", use_auxiliary_head=False), pat_triton.PATLoss())
    images, labels = scene()
    outputs = model(images, labels=labels)
    torch.testing.assert_close(outputs.loss, pat_triton.PATLoss()(outputs.logits, labels))


def test_other_hooks_see_the_labels_and_the_loss(integration):
    model, seen = semantic("segformer"), []
    model.register_forward_pre_hook(lambda model, args, named: seen.append(sorted(named)), with_kwargs=True)
    model.register_forward_hook(lambda model, args, outputs: seen.append(list(outputs)))
    integration.set_loss(model, pat_triton.PATLoss())
    images, labels = scene()
    model(images, labels=labels)
    assert seen == [["labels"], ["loss", "logits"]]
    integration.set_loss(model, pat_triton.PATLoss())
    assert len(model._forward_pre_hooks) == 2 and len(model._forward_hooks_always_called) == 1


INSTEAD = (
    "for another model whose outputs have logits (B, L, h, w) write Trainer(compute_loss_func=compute_loss_func("
    "criterion)), or criterion(outputs.logits, labels) in a loop of yours"
)


def test_other_models_are_refused(integration):
    """Every model that segments otherwise, with the line to write instead."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES

    others = [getattr(transformers, name) for name in MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES.values()]
    assert len(others) >= 5
    others = [kind.__new__(kind) for kind in others]  # what they are is enough
    for other in (
        *others,
        transformers.SegformerForImageClassification(segformer().config),
        torch.nn.Conv2d(1, 1, 1),
        None,
    ):
        with pytest.raises(TypeError) as error:
            integration.set_loss(other, pat_triton.PATLoss())
        name = type(other).__name__
        expected = f"model: expected a ...ForSemanticSegmentation of transformers, got {name}; {INSTEAD}"
        assert str(error.value) == expected


def test_a_model_without_labels_is_refused(integration):
    """Code from a hub may have the name and not the arguments."""
    from transformers import SegformerForSemanticSegmentation

    class Other(SegformerForSemanticSegmentation):
        def forward(self, pixel_values, masks=None):
            return super().forward(pixel_values, labels=masks)

    with pytest.raises(TypeError) as error:
        integration.set_loss(Other(segformer().config), pat_triton.PATLoss())
    assert str(error.value) == f"model: expected one whose forward has an argument labels, got Other; {INSTEAD}"


def test_wrapped_models_are_refused(integration):
    model = segformer()
    for wrapper, inner in (
        (torch.nn.DataParallel(model), "module"),
        (torch.compile(model, backend="eager"), "_orig_mod"),
    ):
        with pytest.raises(TypeError, match=rf"it wraps one: write set_loss\(model\.{inner}, criterion\)"):
            integration.set_loss(wrapper, pat_triton.PATLoss())
    with pytest.raises(TypeError, match="got the class SegformerForSemanticSegmentation;"):
        integration.set_loss(type(model), pat_triton.PATLoss())


def test_one_class_is_refused(integration):
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    with pytest.raises(ValueError, match=r"got config\.num_labels = 1, .* are num_labels=2"):
        integration.set_loss(SegformerForSemanticSegmentation(SegformerConfig(num_labels=1)), pat_triton.PATLoss())


def test_a_class_of_the_users_own(integration):
    from transformers import SegformerForSemanticSegmentation

    class Mine(SegformerForSemanticSegmentation):
        pass

    model = integration.set_loss(Mine(segformer().config).eval(), pat_triton.PATLoss())
    images, labels = scene()
    outputs = model(images, labels=labels)
    torch.testing.assert_close(outputs.loss, pat_triton.PATLoss()(outputs.logits, labels))


@pytest.mark.parametrize("way", ["compute_loss_func", "loss_function", "set_loss"])
def test_other_losses_are_refused(way, integration):
    given = [segformer()] if way == "set_loss" else []
    function = getattr(integration, way)
    with pytest.raises(
        TypeError, match=r"criterion: expected a loss of pat_triton, .* got PATLoss; write PATLoss\(\)$"
    ):
        function(*given, pat_triton.PATLoss)
    with pytest.raises(TypeError, match=r"criterion: expected a loss of pat_triton, .* got CrossEntropyLoss$"):
        function(*given, torch.nn.CrossEntropyLoss())
    assert not given or not given[0]._forward_hooks


@every_model
def test_a_loss_function_that_is_never_read(kind, integration):
    """Refused where the model is said; and a model that is not refused reads it."""
    model, criterion = semantic(kind), pat_triton.PATLoss()
    if kind not in READING:
        with pytest.raises(TypeError, match=r"model: expected one that reads its loss_function.* write set_loss\("):
            integration.loss_function(criterion, model)
    images, labels = scene()
    expected = model(images, labels=labels).loss
    model.loss_function = integration.loss_function(criterion, *[model] * (kind in READING))
    assert (model(images, labels=labels).loss != expected) == (kind in READING)
