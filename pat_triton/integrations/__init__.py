"""The losses where people already train: ``mmseg``, ``transformers`` and ``monai``, each imported on request.

Loops of torch, Lightning, accelerate and segmentation_models_pytorch call a loss as it is.
"""
