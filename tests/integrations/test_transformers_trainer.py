"""transformers' Trainer trains with the losses, on logits as small as the model predicts them."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset
from transformers_models import CLASSES, SIZE, segformer

import pat_triton

pytestmark = pytest.mark.usefixtures("integration")


class Scenes(Dataset):
    def __init__(self, count=8):
        g = torch.Generator().manual_seed(0)
        self.images = torch.randn(count, 3, SIZE, SIZE, generator=g)
        self.labels = torch.randint(0, CLASSES, (count, SIZE, SIZE), generator=g)
        self.labels[:, : SIZE // 8] = 255

    def __len__(self):
        return len(self.images)

    def __getitem__(self, number):
        return {"pixel_values": self.images[number], "labels": self.labels[number]}


def trained(tmp_path, loss, accumulation=1, batch=4, model=None):
    """(the losses that Trainer logs, the model): six steps of the real Trainer."""
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(
        str(tmp_path), max_steps=6, per_device_train_batch_size=batch, gradient_accumulation_steps=accumulation,
        learning_rate=1e-2, logging_steps=1, report_to=[], save_strategy="no", use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True, seed=0, max_grad_norm=0.0, optim="sgd", lr_scheduler_type="constant",
    )  # fmt: skip
    trainer = Trainer(model or segformer(), arguments, train_dataset=Scenes(), compute_loss_func=loss)
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row], trainer.model


def weights(model):
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_trainer_trains_as_with_its_own_loss(integration, tmp_path):
    """SegFormer's own is cross-entropy of resized logits."""
    own, model = trained(tmp_path, None)
    ours, other = trained(tmp_path, integration.compute_loss_func(pat_triton.CrossEntropyLoss()))
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(own), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(weights(other), weights(model), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("loss", [pat_triton.PATLoss(), pat_triton.PATLoss() + 0.1 * pat_triton.DiceLoss()])
def test_it_learns(loss, integration, tmp_path):
    losses, _ = trained(tmp_path, integration.compute_loss_func(loss))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("way", ["compute_loss_func", "set_loss"])
@pytest.mark.parametrize("loss", ["CrossEntropyLoss", "PATLoss"])
def test_accumulated_parts_are_the_whole(loss, way, integration, tmp_path):
    """Two batches of two images step as one of four: Trainer divides nothing, neither where there is a
    compute_loss_func nor where a model takes keywords."""

    def model_and_loss():
        criterion = getattr(pat_triton, loss)()
        if way == "set_loss":
            return {"model": integration.set_loss(segformer(), criterion), "loss": None}
        return {"loss": integration.compute_loss_func(criterion)}

    _, whole = trained(tmp_path, **model_and_loss())
    _, parts = trained(tmp_path, **model_and_loss(), accumulation=2, batch=2)
    # Batch normalisation in the decoder sees two images, not four, and the gradients are alike, not the same.
    a, b = (weights(model) - weights(segformer()) for model in (whole, parts))
    assert 0.8 < b.norm() / a.norm() < 1.25


def logits_and_labels():
    g = torch.Generator().manual_seed(0)
    logits, auxiliary = (torch.randn(2, CLASSES, n, n, generator=g) for n in (8, 4))
    labels = torch.randint(0, CLASSES, (2, SIZE, SIZE), generator=g)
    labels[:, :5] = 255
    return logits, auxiliary, labels


@pytest.mark.parametrize("items", [None, 3000, torch.tensor(3000)])
@pytest.mark.parametrize("auxiliary", [False, True])
def test_the_loss_function_is_transformers_own(auxiliary, items, integration):
    from transformers.loss.loss_utils import ForSemanticSegmentationLoss

    logits, smaller, labels = logits_and_labels()
    given = {"num_items_in_batch": items}
    if auxiliary:
        given |= {"auxiliary_logits": smaller, "auxiliary_loss_weight": 0.3}
    ours = integration.loss_function(pat_triton.CrossEntropyLoss())
    torch.testing.assert_close(ours(logits, labels, **given), ForSemanticSegmentationLoss(logits, labels, **given))
    ignoring = {"ignore_index": 3, **given}
    labels[labels == 255] = 3
    criterion = integration.loss_function(pat_triton.CrossEntropyLoss())
    torch.testing.assert_close(
        criterion(logits[:, :3], labels.clamp(max=3), **given | {"ignore_index": 3, "auxiliary_logits": None}),
        ForSemanticSegmentationLoss(logits[:, :3], labels.clamp(max=3), **ignoring | {"auxiliary_logits": None}),
    )


def test_a_model_asks_for_its_loss_function(integration):
    """BEiT's forward calls it, with the logits of its auxiliary head."""
    from transformers import BeitConfig, BeitForSemanticSegmentation

    torch.manual_seed(0)
    config = BeitConfig(
        image_size=SIZE, patch_size=8, hidden_size=16, num_hidden_layers=4, num_attention_heads=2,
        intermediate_size=16, num_labels=CLASSES, out_indices=[1, 2, 3, 4], pool_scales=[1, 2], auxiliary_channels=8,
    )  # fmt: skip
    model = BeitForSemanticSegmentation(config).eval()
    scenes = Scenes(2)
    expected = model(scenes.images, labels=scenes.labels).loss
    model.loss_function = integration.loss_function(pat_triton.CrossEntropyLoss())
    torch.testing.assert_close(model(scenes.images, labels=scenes.labels).loss, expected, rtol=1e-5, atol=0)


def test_without_labels(integration):
    with pytest.raises(ValueError, match="labels: got None"):
        integration.compute_loss_func(pat_triton.PATLoss())({"logits": torch.zeros(1, 2, 4, 4)}, None)


@pytest.mark.parametrize("outputs", [{"loss": torch.zeros(1)}, torch.zeros(1, 2, 4, 4)])
def test_outputs_without_logits(outputs, integration):
    got = type(outputs).__name__
    with pytest.raises(TypeError, match=f"^outputs: expected outputs of a model with logits among them, got {got}$"):
        integration.compute_loss_func(pat_triton.PATLoss())(outputs, torch.zeros(1, 4, 4, dtype=torch.int64))


def test_outputs_of_either_kind(integration):
    from transformers.modeling_outputs import SemanticSegmenterOutput

    logits, _, labels = logits_and_labels()
    full = F.interpolate(logits, (SIZE, SIZE), mode="bilinear")
    expected = F.cross_entropy(full, labels, ignore_index=255)
    compute = integration.compute_loss_func(pat_triton.CrossEntropyLoss())
    for outputs in ({"logits": logits}, SemanticSegmenterOutput(logits=logits)):
        torch.testing.assert_close(compute(outputs, labels), expected)


def evaluated(tmp_path, model, loss=None):
    """eval_loss, twice."""
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(str(tmp_path), report_to=[], use_cpu=not torch.cuda.is_available(), disable_tqdm=True)
    trainer = Trainer(model, arguments, eval_dataset=Scenes(), compute_loss_func=loss)
    return [trainer.evaluate()["eval_loss"] for _ in range(2)]


@pytest.mark.parametrize("way", ["compute_loss_func", "set_loss"])
def test_trainers_evaluation_has_no_noise(way, integration, tmp_path):
    """Trainer says eval() to the model and evaluates without gradients; a criterion outside the model hears neither."""

    def losses(criterion):
        if way == "set_loss":
            return evaluated(tmp_path, integration.set_loss(segformer(), criterion))
        return evaluated(tmp_path, segformer(), integration.compute_loss_func(criterion))

    blv = pat_triton.BLVLoss(class_counts=[1, 2, 3, 4, 500])
    before = repr(blv)
    first, second = losses(blv)
    assert first == second == losses(pat_triton.CrossEntropyLoss())[0]
    assert blv.training and repr(blv) == before


@pytest.mark.parametrize("way", ["compute_loss_func", "loss_function"])
def test_the_mode_is_training_where_gradients_are_recorded(way, integration):
    """Whatever the criterion's own, which is not written to."""
    logits, _, labels = logits_and_labels()
    criterion, counts = pat_triton.BLVLoss(class_counts=[1, 2, 3, 4, 500]), [1, 2, 3, 4, 500]
    function = getattr(integration, way)(criterion)

    def loss():
        torch.manual_seed(0)
        return function({"logits": logits} if way == "compute_loss_func" else logits, labels)

    torch.manual_seed(0)
    noisy = pat_triton.BLVLoss(class_counts=counts)(logits, labels)
    plain = pat_triton.CrossEntropyLoss()(logits, labels)
    for mode in (True, False):
        criterion.train(mode)
        torch.testing.assert_close(loss(), noisy)
        with torch.no_grad():
            torch.testing.assert_close(loss(), plain)
        assert criterion.training is mode


def test_items_of_several_gpus(integration):
    """Beside DataParallel Trainer gives the number once for each."""
    logits, _, labels = logits_and_labels()
    compute = integration.compute_loss_func(pat_triton.CrossEntropyLoss())
    expected = compute({"logits": logits}, labels, num_items_in_batch=torch.tensor(3000))
    assert compute({"logits": logits}, labels, num_items_in_batch=torch.full((2, 1), 3000)) == expected
