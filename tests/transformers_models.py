"""transformers' models for semantic segmentation, all that there are, as small as they can be."""

import pytest
import torch

CLASSES, SIZE = 5, 32


def segformer():
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    torch.manual_seed(0)
    return SegformerForSemanticSegmentation(
        SegformerConfig(
            num_labels=CLASSES, hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 2, 2], depths=[1, 1, 1, 1],
            decoder_hidden_size=16, hidden_dropout_prob=0.0, classifier_dropout_prob=0.0, drop_path_rate=0.0,
        )
    )  # fmt: skip


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
