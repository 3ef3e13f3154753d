"""Networks of well-kept libraries (the extra "models"), with their logits before the head enlarges them."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from torch import nn


def smp(name: str) -> Callable[[int, int, str, bool], nn.Module]:
    """A class of segmentation_models_pytorch."""

    def make(classes: int, width: int, encoder: str, pretrained: bool) -> nn.Module:
        library = imported("segmentation_models_pytorch")
        known = library.encoders.get_encoder_names()
        if encoder not in known and not encoder.startswith("tu-"):
            raise ValueError(f"--encoder: got {encoder!r}, known: {', '.join(known)} and tu-NAME of timm")
        weights = "imagenet" if pretrained else None
        try:
            model = getattr(library, name)(encoder, encoder_weights=weights, classes=classes)
        except (KeyError, RuntimeError, ValueError) as error:
            # Unknown to timm, without weights of that kind, or not for this decoder.
            raise ValueError(f"--encoder {encoder}: {name} cannot be made with it ({error})") from error
        # (convolution, enlargement, activation), of which enlargement is what the loss does.
        model.segmentation_head[1] = nn.Identity()
        return model

    return make


def attention_unet(classes: int, width: int, encoder: str, pretrained: bool) -> nn.Module:
    """Oktay et al. 2018 with their five scales; width: channels at the image's size, 64 there."""
    if width < 2:
        raise ValueError(f"--width: got {width}, expected at least 2 for --model attention-unet")
    channels = [width * 2**scale for scale in range(5)]
    return imported("monai.networks.nets").AttentionUnet(2, 3, classes, channels, [2] * 4)


def imported(module: str) -> ModuleType:
    library = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        raise ValueError(
            f"--model: needs {library}, which is not installed; "
            "pip install -c constraints.txt 'pat_triton[models]' brings it and keeps torch"
        ) from error
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        raise ValueError(
            f"--model: {library} imports torchvision, which was built for another torch than the one installed "
            f"({error}); install the torchvision of the same version and kind (CPU, CUDA)"
        ) from error
