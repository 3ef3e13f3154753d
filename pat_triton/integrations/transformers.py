"""Hugging Face transformers: ``set_loss`` for a model, ``compute_loss_func`` for ``Trainer``.

The logits stay as small as the model returns them; the loss resizes them to the labels. A criterion is never written
to: its mode, the label it ignores and the device of its tables are those of each call.
"""

import copy
from collections.abc import Callable, Mapping
from functools import cache, reduce
from inspect import signature, unwrap
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .. import checks
from ..base import Criterion
from . import loss_of_ours

Model = TypeVar("Model", bound=nn.Module)

NOT_AN_ITEM = -100  # what Trainer leaves out as it counts the items of a batch
IGNORED = 255  # the default of every model
# In a model's configuration; UperNet has the second.
IGNORED_NAMES = ("semantic_loss_ignore_index", "loss_ignore_index")
KIND = "ForSemanticSegmentation"
LABELS, LOGITS = "_pat_triton_labels", "_pat_triton_logits"  # of a model and its auxiliary head, during a forward
LINES = (
    "for another model whose outputs have logits (B, L, h, w) write "
    "Trainer(compute_loss_func=compute_loss_func(criterion)), or criterion(outputs.logits, labels) in a loop of yours"
)
WRAPPED = ("module", "_orig_mod")  # where torch's own wrappers have their model


def set_loss(model: Model, criterion: Criterion) -> Model:
    """The loss of a ``...ForSemanticSegmentation``: ``model(pixel_values, labels=labels).loss`` is the criterion's
    from now on, also in ``Trainer``. Returns the model; a second call replaces the first.

    The model is called without its labels, so that it upsamples nothing and computes no loss. The loss is that of
    ``outputs.logits``, and of the auxiliary head, where the model has one, times ``config.auxiliary_loss_weight``. The
    mode is the model's, whatever the criterion's. The label to ignore is that of ``config``, unless the criterion was
    given one. ``num_items_in_batch`` counts as for ``loss_function``.

    Two hooks of the model do this, and one of its auxiliary head; they hold the criterion. So its options may be
    assigned between steps, ``state_dict`` is the model's own, and a copy of the model has a copy of the criterion; but
    ``from_pretrained`` knows no loss. Call it before ``torch.compile``. ``model.forward(...)`` runs no hooks.

    Raises:
        TypeError: for any other model; it says the line to write instead.
        ValueError: for a model of one class, whose softmax is 1 whatever it learns.
    """
    _check(model)
    loss = Hooks(criterion)
    _remove(model)
    loss.attach(model)
    return model


def compute_loss_func(criterion: Criterion) -> Callable[..., Tensor]:
    """For ``Trainer(compute_loss_func=...)``: any model whose outputs have ``logits`` (B, L, h, w).

    Without gradient accumulation the value is ``criterion(outputs.logits, labels)``. With it, Trainer expects that
    the losses of its parts add up to that of the whole: each is multiplied by its share of ``num_items_in_batch``.
    Where gradients are recorded the criterion is in training mode, else, as in ``Trainer.evaluate``, in evaluation
    mode, whatever its own.
    """
    loss = Loss(criterion)

    def compute(outputs: Any, labels: Tensor | None, num_items_in_batch: Tensor | float | None = None) -> Tensor:
        if labels is None:
            raise ValueError("labels: got None, expected (B, H, W); does the data set give 'labels'?")
        value = loss(_logits(outputs), labels, training=_recording(), ignore_index=loss.criterion.ignore_index)
        return _shared(value, labels, NOT_AN_ITEM, num_items_in_batch)

    return compute


def loss_function(criterion: Criterion, model: nn.Module | None = None) -> Callable[..., Tensor]:
    """For ``model.loss_function = loss_function(criterion, model)``, with the arguments of transformers'
    ``ForSemanticSegmentationLoss``. Most models never read their ``loss_function``; ``set_loss`` works for all.

    BEiT, Sapiens2 and TIPSv2-DPT read it. SegFormer, UperNet, DPT, MobileViT, MobileNetV2 and Data2VecVision have
    cross-entropy written into their forward, and keep it without a word: given the model, this refuses those.

    With ``num_items_in_batch`` the mean over labelled pixels is multiplied by labelled pixels / items, which for
    cross-entropy is transformers' own sum / items.
    """
    loss = Loss(criterion)
    kind: Any = type(model)
    if model is not None and not _reads_loss_function(kind):
        raise TypeError(
            f"model: expected one that reads its loss_function, got {type(model).__name__}, which has a loss of its "
            f"own written into its forward; for a ...{KIND} write set_loss(model, criterion), {LINES}"
        )

    def compute(
        logits: Tensor,
        labels: Tensor,
        ignore_index: int = IGNORED,
        num_items_in_batch: Tensor | float | None = None,
        auxiliary_logits: Tensor | None = None,
        auxiliary_loss_weight: float = 0.4,
        **_: Any,
    ) -> Tensor:
        auxiliary = None if auxiliary_logits is None else (auxiliary_logits, auxiliary_loss_weight)
        ignored = loss.ignored(ignore_index)
        value = loss(logits, labels, training=_recording(), ignore_index=ignored, auxiliary=auxiliary)
        return _shared(value, labels, ignored, num_items_in_batch)

    return compute


class Loss:
    """A criterion for calls that each have a mode, a label to ignore and a device of their own."""

    def __init__(self, criterion: Criterion) -> None:
        self.criterion = loss_of_ours(criterion)
        self.moved: dict[torch.device, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        """For copies and files: those on other devices are made again."""
        return {**self.__dict__, "moved": {}}

    def __call__(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        training: bool,
        ignore_index: int | tuple[int, ...],
        auxiliary: tuple[Tensor, float] | None = None,
    ) -> Tensor:
        """auxiliary: the logits of another head, of any size, and the weight of their loss."""
        criterion = self.on(logits.device).but(training=training, ignore_index=ignore_index)
        if auxiliary is None:
            return criterion(logits, labels)  # type: ignore[no-any-return]
        others, weight = auxiliary
        return criterion([logits, others], labels, weights=[1.0, weight])  # type: ignore[no-any-return]

    def ignored(self, models: int) -> int | tuple[int, ...]:
        """The label to ignore: what the user of the criterion said goes before what the model's configuration has."""
        own = self.criterion.ignore_index
        return models if isinstance(own, checks.Default) and own != models else own

    def on(self, device: torch.device) -> Criterion:
        """The criterion, or a copy of it with its tables on the device: no framework moves what is outside its model.
        A copy serves until an option is assigned, which makes new ``parts``."""
        if all(table.device == device for table in self.criterion.buffers()):
            return self.criterion
        parts, moved = self.moved.get(device, (None, None))
        if parts is not self.criterion.parts:
            moved = copy.deepcopy(self.criterion).to(device)
            self.moved[device] = self.criterion.parts, moved
        return moved  # type: ignore[no-any-return]


class Hooks:
    """A loss in the place of a model's own. What a call leaves for its end is on the module that the hook was given,
    not here: copies and replicas of a model may share this object, or the hooks that are bound to it."""

    def __init__(self, criterion: Criterion) -> None:
        self.loss = Loss(criterion)
        # They go into files with the model: a process that reads one then numbers its hooks from there on.
        self.handles: list[Any] = []

    def attach(self, model: nn.Module) -> None:
        head = _auxiliary_head(model)
        # First after the forward, so that other hooks see the loss; always called, so that no labels stay behind.
        self.handles = [
            model.register_forward_pre_hook(self.before, with_kwargs=True),
            model.register_forward_hook(self.after, with_kwargs=True, always_call=True, prepend=True),
            *([] if head is None else [head.register_forward_hook(self.keep)]),
        ]

    def before(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Takes the labels out of a call, so that the model computes no loss."""
        kind: Any = type(model)
        place = _place_of_labels(kind)
        labels = kwargs.get("labels", args[place] if len(args) > place else None)
        if labels is None:
            return None
        setattr(model, LABELS, labels)
        if (head := _auxiliary_head(model)) is not None:
            setattr(head, LOGITS, None)
        others = {name: value for name, value in kwargs.items() if name != "labels"}
        return tuple(None if number == place else value for number, value in enumerate(args)), others

    def keep(self, head: nn.Module, args: Any, logits: Tensor) -> None:
        """What the auxiliary head predicts is in no outputs."""
        if hasattr(head, LOGITS):
            setattr(head, LOGITS, logits)

    def after(self, model: nn.Module, args: Any, kwargs: dict[str, Any], outputs: Any) -> Any:
        """Puts the loss first among the outputs. They are None after an error, which torch raises next."""
        labels, head = _taken(model, LABELS), _auxiliary_head(model)
        others = None if head is None else _taken(head, LOGITS)
        if labels is None or outputs is None:
            return None
        if head is not None and others is None:
            raise RuntimeError(
                "auxiliary_head: expected logits, as the model has had one since set_loss, got none; "
                "was it replaced, or wrapped? Call set_loss(model, criterion) again, after that"
            )
        config: Any = model.config
        auxiliary = None if others is None else (others, config.auxiliary_loss_weight)
        models = next((getattr(config, name) for name in IGNORED_NAMES if hasattr(config, name)), IGNORED)
        ignored = self.loss.ignored(models)
        value = self.loss(_logits(outputs), labels, training=model.training, ignore_index=ignored, auxiliary=auxiliary)
        # As Trainer counts: none of these models passes the number on to a loss of its own.
        value = _shared(value, labels, NOT_AN_ITEM, kwargs.get("num_items_in_batch"))
        if isinstance(outputs, tuple):
            return value, *outputs
        # Made anew: a loss that is assigned would be the last of the fields, and outputs[0] the logits.
        return type(outputs)(**{**outputs, "loss": value})


def _check(model: Any) -> None:
    """Errors for a model that has no labels, no logits, or one class."""
    from transformers import PreTrainedModel

    if not (isinstance(model, PreTrainedModel) and _is_semantic(model)):
        inner = next((name for name in WRAPPED if _is_semantic(getattr(model, name, None))), None)
        instead = LINES if inner is None else f"it wraps one: write set_loss(model.{inner}, criterion)"
        raise TypeError(f"model: expected a ...{KIND} of transformers, got {_name(model)}; {instead}")
    if "labels" not in signature(type(model).forward).parameters:
        raise TypeError(f"model: expected one whose forward has an argument labels, got {_name(model)}; {LINES}")
    if (classes := model.config.num_labels or 0) < 2:
        raise ValueError(
            f"model: expected two or more classes, got config.num_labels = {classes}, where the softmax is 1 and the "
            "loss 0; foreground and background are num_labels=2"
        )


def _name(model: Any) -> str:
    return f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__


def _is_semantic(model: Any) -> bool:
    """Also a class of the user's own that derives from one."""
    return any(kind.__name__.endswith(KIND) for kind in type(model).__mro__)


def _remove(model: nn.Module) -> None:
    """The hooks of an earlier ``set_loss``."""
    for hook in list(model._forward_pre_hooks.values()):
        earlier = getattr(hook, "__self__", None)
        if isinstance(earlier, Hooks):
            for handle in earlier.handles:
                handle.remove()


def _auxiliary_head(model: nn.Module) -> nn.Module | None:
    return getattr(model, "auxiliary_head", None)


def _taken(module: nn.Module, name: str) -> Any:
    """What a hook left on the module, which has it no longer."""
    value = getattr(module, name, None)
    if hasattr(module, name):
        delattr(module, name)
    return value


@cache
def _place_of_labels(kind: type[Any]) -> int:
    """Which positional argument the labels are: the second of most models, the fourth of UperNet."""
    return list(signature(kind.forward).parameters).index("labels") - 1


@cache
def _reads_loss_function(kind: type[Any]) -> bool:
    """Whether a function of the class, or of those between it and ``PreTrainedModel``, names ``loss_function``."""
    from transformers import PreTrainedModel

    own = [base for base in kind.__mro__ if base not in PreTrainedModel.__mro__]
    functions = [unwrap(member) for base in own for member in vars(base).values() if callable(member)]
    return any("loss_function" in function.__code__.co_names for function in functions if hasattr(function, "__code__"))


def _logits(outputs: Any) -> Tensor:
    """Of outputs without a loss, of any kind."""
    if isinstance(outputs, tuple):
        return outputs[0]  # type: ignore[no-any-return]
    logits = outputs.get("logits") if isinstance(outputs, Mapping) else getattr(outputs, "logits", None)
    if logits is None:
        raise TypeError(f"outputs: expected outputs of a model with logits among them, got {type(outputs).__name__}")
    return logits  # type: ignore[no-any-return]


def _recording() -> bool:
    """Whether this is training. Trainer says nothing of it to a loss, nor does a model to its ``loss_function``; but
    Trainer evaluates and predicts under ``torch.no_grad`` (``prediction_step``) and trains without, as loops do.
    ``logits.requires_grad`` says the same but for a model whose weights are all frozen."""
    return torch.is_grad_enabled()


def _shared(loss: Tensor, labels: Tensor, left_out: int | tuple[int, ...], items: Tensor | float | None) -> Tensor:
    """The loss times the labels' share of all items; nothing waits for the device."""
    if items is None:
        return loss
    own = reduce(torch.logical_and, map(labels.ne, checks.labels_of(left_out))).sum()
    # Beside DataParallel Trainer gives the number once for each GPU.
    return loss * (own / torch.as_tensor(items, device=own.device).flatten()[0]).to(loss.dtype)
