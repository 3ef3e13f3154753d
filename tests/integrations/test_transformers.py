"""transformers' Trainer and models train with the losses, on logits as small as the model predicts them."""

import copy
import inspect
import io
import pickle
import threading

import pytest
import torch
import torch.nn.functional as F
from libraries import needed
from torch.utils.data import Dataset

import pat_triton

CLASSES, SIZE = 5, 32


@pytest.fixture(scope="module", autouse=True)
def integration():
    needed("transformers", "accelerate")
    from pat_triton.integrations import transformers

    return transformers


@pytest.fixture(autouse=True)
def poison():
    """The models are not ours to poison."""


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


def segformer():
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    torch.manual_seed(0)
    return SegformerForSemanticSegmentation(
        SegformerConfig(
            num_labels=CLASSES, hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 2, 2], depths=[1, 1, 1, 1],
            decoder_hidden_size=16, hidden_dropout_prob=0.0, classifier_dropout_prob=0.0, drop_path_rate=0.0,
        )
    )  # fmt: skip


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


def test_pat_learns(integration, tmp_path):
    losses, _ = trained(tmp_path, integration.compute_loss_func(pat_triton.PATLoss()))
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
def test_evaluation_has_no_noise(way, integration, tmp_path):
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


# transformers' models for semantic segmentation, small: the arguments of each configuration but num_labels.
SCENE = 64


def transformer(**more):
    """What vision transformers are made of."""
    return {
        "image_size": SCENE, "patch_size": 16, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2,
        "intermediate_size": 16, **more,
    }  # fmt: skip


def small_resnet():
    from transformers import ResNetConfig

    stages = [f"stage{number}" for number in (1, 2, 3, 4)]
    return ResNetConfig(embedding_size=8, hidden_sizes=[8] * 4, depths=[1] * 4, layer_type="basic", out_features=stages)


def small_tips():
    from transformers import Tipsv2VisionConfig

    return Tipsv2VisionConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=SCENE, patch_size=16,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False,
    )  # fmt: skip


PYRAMID = {"out_indices": [1, 2, 3, 4], "pool_scales": [1, 2], "auxiliary_channels": 8}
SMALL = {
    "beit": lambda: transformer(**PYRAMID),
    "data2vec-vision": lambda: transformer(**PYRAMID),
    "dpt": lambda: transformer(
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8] * 4, fusion_hidden_size=8
    ),
    "mobilenet_v2": lambda: {
        "image_size": SCENE, "depth_multiplier": 0.125, "min_depth": 4, "finegrained_output": False,
    },
    "mobilevit": lambda: {
        "image_size": SCENE, "hidden_sizes": [8] * 3, "neck_hidden_sizes": [4, 4, 8, 8, 8, 8, 8],
        "num_attention_heads": 2, "aspp_out_channels": 8, "atrous_rates": [1, 2, 3],
    },
    "mobilevitv2": lambda: {
        "image_size": SCENE, "width_multiplier": 0.125, "aspp_out_channels": 8, "n_attn_blocks": [1] * 3,
        "base_attn_unit_dims": [16] * 3,
    },
    "sapiens2": lambda: transformer(
        num_key_value_attention_heads=2, head_config={"upsample_out_channels": [8], "conv_out_channels": [8]}
    ),
    "segformer": lambda: {
        "hidden_sizes": [8] * 4, "num_attention_heads": [1] * 4, "depths": [1] * 4, "decoder_hidden_size": 8,
    },
    "tipsv2_dpt": lambda: {
        "neck_hidden_sizes": [8] * 4, "fusion_hidden_size": 8, "backbone_config": small_tips(),
    },
    "upernet": lambda: {
        "hidden_size": 8, "pool_scales": [1, 2], "auxiliary_channels": 8, "backbone_config": small_resnet(),
    },
}  # fmt: skip
NOT_BUILT: dict[str, str] = {}  # type of model: why none can be built here
NOT_PICKLED = {"tipsv2_dpt": "its backbone is built with hooks that are local functions"}
READING = {"beit", "sapiens2", "tipsv2_dpt"}  # their loss_function
every_model = pytest.mark.parametrize("kind", sorted(SMALL))


def semantic(kind, **more):
    """A new model, with another auxiliary weight than all have by default."""
    from transformers import AutoConfig, AutoModelForSemanticSegmentation

    config = AutoConfig.for_model(kind, num_labels=CLASSES, **SMALL[kind](), **more)
    if hasattr(config, "auxiliary_loss_weight"):
        config.auxiliary_loss_weight = 0.3
    torch.manual_seed(0)
    return AutoModelForSemanticSegmentation.from_config(config).eval()


def scene(seed=0):
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (2, SCENE, SCENE), generator=g)
    labels[:, :8] = 255
    return torch.randn(2, 3, SCENE, SCENE, generator=g), labels


def predicted(model, *given, **named):
    """(outputs, what the auxiliary head predicted or None): caught here by a hook of the test's own."""
    caught = []
    head = getattr(model, "auxiliary_head", None)
    handle = head and head.register_forward_hook(lambda head, args, logits: caught.append(logits))
    outputs = model(*given, **named)
    if handle:
        handle.remove()
    return outputs, caught[0] if caught else None


def by_hand(criterion, logits, auxiliary, labels):
    loss = criterion(logits, labels)
    return loss if auxiliary is None else loss + 0.3 * criterion(auxiliary, labels)


def left_behind(model):
    return [name for module in model.modules() for name in vars(module) if name.startswith("_pat_triton")]


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


def test_items_of_several_gpus(integration):
    """Beside DataParallel Trainer gives the number once for each."""
    logits, _, labels = logits_and_labels()
    compute = integration.compute_loss_func(pat_triton.CrossEntropyLoss())
    expected = compute({"logits": logits}, labels, num_items_in_batch=torch.tensor(3000))
    assert compute({"logits": logits}, labels, num_items_in_batch=torch.full((2, 1), 3000)) == expected


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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", [True, False])
def test_compiled(mode, integration):
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
