"""The GPUs that kernels are compiled for, and how many warps of a kernel one of them holds."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Nvidia:
    """Limits of one multiprocessor (SM); shared in bytes."""

    capability: int
    warps: int
    blocks: int
    shared: int
    backend = "cuda"
    lanes = 32

    def resident(self, num_warps: int, registers: int, shared: int, scalars: int = 0) -> int:
        """Warps of an SM that run blocks of ``num_warps`` warps, ``registers`` a thread and ``shared`` bytes each.

        The rules of CUDA's occupancy calculator (``cuda_occupancy.h``; the limits are in the CUDA C++
        programming guide, "Technical Specifications per Compute Capability"): 65536 registers in four
        partitions, given to a warp in units of 256; shared memory in units of 128 bytes, of which each
        block gives 1024 to the system.
        """
        unit = 256
        of_a_warp = -(-registers * self.lanes // unit) * unit
        by_registers = 65536 // 4 // of_a_warp * 4 // num_warps
        by_shared = self.shared // (-(-shared // 128) * 128 + 1024)
        return min(self.warps // num_warps, self.blocks, by_registers, by_shared) * num_warps


@dataclasses.dataclass(frozen=True)
class Amd:
    """CDNA 2 and 3. warps: the most waves of a SIMD; a compute unit has four SIMDs."""

    capability: str
    warps: int = 8
    backend = "hip"
    lanes = 64

    def resident(self, num_warps: int, registers: int, shared: int, scalars: int = 0) -> int:
        """Waves of a SIMD, in whole blocks of a compute unit. By LLVM's ``GCNSubtarget``, from gfx90a on: a SIMD
        has 512 vector registers, given in units of 8, and 800 scalar ones (``scalars`` a wave); a compute unit
        64 KiB of shared memory and 16 blocks of more than one wave."""
        waves = min(self.warps, 512 // (-(-max(registers, 1) // 8) * 8), 800 // max(scalars, 1))
        blocks = min(4 * waves // num_warps, 16 if num_warps > 1 else 4 * waves, 65536 // max(shared, 1))
        return blocks * num_warps // 4


TARGETS: dict[str, Nvidia | Amd] = {
    "sm_80": Nvidia(80, warps=64, blocks=32, shared=164 << 10),
    "sm_86": Nvidia(86, warps=48, blocks=16, shared=100 << 10),
    "sm_89": Nvidia(89, warps=48, blocks=24, shared=100 << 10),
    "sm_90": Nvidia(90, warps=64, blocks=32, shared=228 << 10),
    "sm_100": Nvidia(100, warps=64, blocks=32, shared=228 << 10),
    "gfx90a": Amd("gfx90a"),
    "gfx942": Amd("gfx942"),
}
