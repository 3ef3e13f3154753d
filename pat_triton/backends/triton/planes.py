"""Labels as bit planes: word k of a lane holds bit k of 32 labels, so that one instruction looks at all of them."""

import triton
import triton.language as tl

from .pixel import HIDDEN


@triton.jit
def packed_planes(at, left, ignored_labels, L: tl.constexpr, LANES: tl.constexpr):
    """(planes, kept) of the ``left`` bytes from pointer ``at`` on, [LANES] words each; bits of ``kept`` are 0 where
    labels are ignored. Wrong ones are L. ``at`` and ``left`` are divisible by 4.

    Which labels are ignored and which are wrong is asked of the planes, of 32 labels at once.
    """
    lane = tl.max_contiguous(tl.arange(0, LANES), 1)
    words = tl.minimum(tl.maximum((left // 4 - lane + (LANES - 1)) // LANES, 0), 8)
    memory, read = at.to(tl.pointer_type(tl.uint32), bitcast=True) + lane, ()
    for i in tl.static_range(8):
        read += (tl.load(memory + i * LANES, mask=i < words, other=0),)
    planes = transposed(read)
    kept = (((1 << words) - 1) * 0x01010101).to(tl.uint32)
    for i in tl.static_range(len(ignored_labels)):
        ignored = (ignored_labels[i] ^ HIDDEN).to(tl.int32)
        differs = tl.zeros([LANES], tl.uint32)
        for k in tl.static_range(8):
            differs |= planes[k] ^ -((ignored >> k) & 1).to(tl.uint32)
        kept &= differs
    is_class = tl.zeros([LANES], tl.uint32)
    for k in tl.static_range(8):  # y < L, from the lowest bit on: a higher one that differs decides anew
        is_class = is_class | ~planes[k] if L >> k & 1 else is_class & ~planes[k]
    checked = ()
    for k in tl.static_range(8):
        checked += (planes[k] | ~is_class if L >> k & 1 else planes[k] & is_class,)
    return checked, kept


@triton.jit
def planes_of_labels(at, stride, left, ignored_labels, L: tl.constexpr, LANES: tl.constexpr):
    """The same of ``left`` labels of any dtype that lie ``stride`` elements apart. Ignored ones are L + 1.

    A 64-bit label must not wrap into a class. A lane's labels are no neighbours, those of a warp are.
    """
    lane, read = tl.max_contiguous(tl.arange(0, LANES), 1), ()
    for i in tl.static_range(8):
        word = tl.zeros([LANES], tl.uint32)
        for part in tl.static_range(4):
            pixel = (8 * part + i) * LANES + lane
            y = tl.load(at + pixel.to(tl.int64) * stride, mask=pixel < left, other=0)
            if y.dtype.primitive_bitwidth == 64:
                checked = tl.where((y >= 0) & (y < L), y, L).to(tl.uint32)
            else:
                y = y.to(tl.int32)
                checked = tl.minimum(y.to(tl.uint32), L)
            for j in tl.static_range(len(ignored_labels)):
                checked = tl.where(y == (ignored_labels[j] ^ HIDDEN).to(y.dtype), L + 1, checked)
            word |= checked << 8 * part
        read += (word,)
    labels = tl.minimum(tl.maximum((left - lane + (LANES - 1)) // LANES, 0), 32)
    return transposed(read), ((tl.full([LANES], 1, tl.int64) << labels) - 1).to(tl.uint32)


@triton.jit
def transposed(words):
    """Of eight words with a label in each byte: word k has bit k of the labels of word i as bit i of each byte."""
    a, b, c, d, e, f, g, h = words
    a, e = exchanged(a, e, 4, 0x0F0F0F0F)
    b, f = exchanged(b, f, 4, 0x0F0F0F0F)
    c, g = exchanged(c, g, 4, 0x0F0F0F0F)
    d, h = exchanged(d, h, 4, 0x0F0F0F0F)
    a, c = exchanged(a, c, 2, 0x33333333)
    b, d = exchanged(b, d, 2, 0x33333333)
    e, g = exchanged(e, g, 2, 0x33333333)
    f, h = exchanged(f, h, 2, 0x33333333)
    a, b = exchanged(a, b, 1, 0x55555555)
    c, d = exchanged(c, d, 1, 0x55555555)
    e, f = exchanged(e, f, 1, 0x55555555)
    g, h = exchanged(g, h, 1, 0x55555555)
    return a, b, c, d, e, f, g, h


@triton.jit
def exchanged(low, high, BITS: tl.constexpr, MASK: tl.constexpr):
    """The two words, with the bits of ``low`` that lie BITS above MASK in the place of those of ``high`` in MASK, and
    the other way round."""
    differs = ((low >> BITS) ^ high) & MASK
    return low ^ (differs << BITS), high ^ differs


@triton.jit
def labelled(planes, kept, labels, BITS: tl.constexpr):
    """[labels, LANES] words: the bits of those that are ``labels``, of which ``BITS`` bits are looked at.

    From the highest bit on: labels that begin alike share instructions.
    """
    same = kept[None, :]
    for k in tl.static_range(BITS - 1, -1, -1):
        same &= planes[k][None, :] ^ (((labels >> k) & 1).to(tl.uint32) - 1)[:, None]
    return same


@triton.jit
def ones(words):
    """How many bits are set, int32. Written so that the compiler knows it for a population count."""
    words -= (words >> 1) & 0x55555555
    words = (words & 0x33333333) + ((words >> 2) & 0x33333333)
    words = (words + (words >> 4)) & 0x0F0F0F0F
    return ((words * 0x01010101) >> 24).to(tl.int32)
