"""The text of Triton's GPU IR (MLIR, one operation a line) as a tree of operations."""

import dataclasses
import json
import re
from collections.abc import Iterator

NAME = r"%[\w.$-]+(?:#\d+)?"
ITEMSIZE = {"i1": 1, "i8": 1, "i16": 2, "f16": 2, "bf16": 2, "i32": 4, "f32": 4, "i64": 8, "f64": 8}


@dataclasses.dataclass
class Operation:
    """``rest`` is what follows the name: operands, attributes, types. ``place`` names its source location."""

    results: list[str]
    name: str
    rest: str
    place: str
    regions: list[list["Operation"]]

    @property
    def operands(self) -> list[str]:
        return re.findall(NAME, self.rest.split(" : ")[0])

    @property
    def type(self) -> str:
        """The last one, which is the result's."""
        return re.split(r"->| : ", self.rest)[-1].strip()

    @property
    def shape(self) -> list[int]:
        """Of ``type``; [] of a scalar."""
        tensor = re.match(r"tensor<((?:\d+x)+)", self.type)
        return [int(n) for n in tensor[1].split("x") if n] if tensor else []

    @property
    def itemsize(self) -> int:
        """Of what its pointer points to, in bytes."""
        return ITEMSIZE[re.findall(r"!tt\.ptr<(\w+)", self.rest)[0]]


def parse(ir: str) -> tuple[list[str], list[Operation]]:
    """The names of the kernel's arguments, and its body."""
    lines = iter(ir.splitlines())
    signature = next(line for line in lines if "tt.func public" in line)
    return re.findall(r"(%[\w.]+): ", signature), _region(lines)[0]


def places(ir: str) -> dict[str, tuple[str, int]]:
    """Source locations by name: the file's name and the line, innermost of those inlined."""
    given = dict(re.findall(r"^(#loc\d*) = loc\((.*)\)$", ir, re.M))

    def innermost(text: str) -> tuple[str, int]:
        if written := re.match(r'"([^"]*)":(\d+):', text):
            return written[1].rpartition("/")[2], int(written[2])
        inner = re.search(r"#loc\d*", text)
        return innermost(given[inner[0]]) if inner else ("", 0)

    return {name: innermost(text) for name, text in given.items()}


def _region(lines: Iterator[str]) -> tuple[list[Operation], str]:
    """Operations up to the brace that closes the region, and the line of that brace."""
    made: list[Operation] = []
    for line in map(str.strip, lines):
        if line.startswith("}"):
            return made, line
        if line.startswith("^"):  # the names of a region's arguments; only reductions have them on a line
            continue
        operation = _operation(line)
        made.append(operation)
        opens = line.endswith("{")
        while opens:
            body, closing = _region(lines)
            operation.regions.append(body)
            opens = closing.endswith("{")  # } else {
    raise ValueError("ir: expected a closing brace, got the end")


def _operation(line: str) -> Operation:
    found = re.fullmatch(r"(?:(%[^=]+) = )?\"?([\w.]+)\"?(.*?)(?: loc\((#loc\d*)\))?", line)
    assert found is not None, line
    given, name, rest, place = found.groups()
    results: list[str] = []
    for result in given.split(", ") if given else ():
        first, _, number = result.partition(":")
        results += [f"{first}#{i}" for i in range(int(number))] if number else [first]
    return Operation(results, name, rest, place or "", [])


def column_threads(ir: str) -> int | None:
    """Threads that share a column of classes where it is reduced, and so repeat each other's work on its pixel;
    None where no column is."""
    found = re.search(r"\}\) : \(tensor<\d+x(\d+)x[a-z]\w*, (#\w+)>", ir)
    if found is None:
        return None
    pixels, layout = int(found[1]), re.search(rf"^{found[2]} = #ttg\.(\w+)<{{(.*)}}>$", ir, re.M)
    assert layout is not None
    parts = {key: json.loads(value) for key, value in re.findall(r"(\w+) = (\[[\[\]\d, ]*\])", layout[2])}
    if layout[1] == "blocked":
        (_, each), (across, along), (over, on) = (parts[k] for k in ("sizePerThread", "threadsPerWarp", "warpsPerCTA"))
        return across * over * max(1, each * along * on // pixels)
    return 2 ** sum(pixel == 0 for _, pixel in parts["lane"] + parts["warp"])
