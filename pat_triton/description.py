"""A loss's weights and adjustment as data: what tables a call needs, apart from any number."""

from typing import NamedTuple


class Description(NamedTuple):
    """numerator: of the weights, "one", "effective_number" or "mask_size". divisor: of the mean, "labelled" pixels,
    their "weighted" sum, "images" or "elements", None where nothing is divided by. rows: the tables of the adjustment.
    """

    numerator: str
    divisor: str | None
    rows: tuple[str, ...]

    def row(self, name: str) -> int | None:
        return self.rows.index(name) if name in self.rows else None

    @property
    def counted_divisor(self) -> str | None:
        """The divisor, where labels have to be counted for it."""
        return self.divisor if self.divisor in ("labelled", "weighted") else None

    def counts_batch(self, given: bool) -> bool:
        """Whether the classes of the whole batch have to be counted; ``given``: the data set's counts are known."""
        by_class = self.numerator == "effective_number" or set(self.rows) - {"scale"}
        return self.counted_divisor is not None or bool(by_class and not given)

    def counts_labels(self, given: bool) -> bool:
        """Whether labels have to be counted at all."""
        return self.numerator == "mask_size" or self.counts_batch(given)

    def number_to_divide_by(self, images: int, pixels: int, classes: int) -> int:
        """The divisor where it is known without counting: of a batch of so many images, of so many pixels each."""
        return {"images": images, "elements": images * pixels * classes}.get(self.divisor or "", 1) or 1
