"""All mutants, in the order of the protocol."""

from __future__ import annotations

from typing import Final

from simulation import mutants_claims, mutants_effects, mutants_ends
from simulation.mutants import Mutant

MUTANTS: Final = tuple(
    one
    for module in (mutants_claims, mutants_effects, mutants_ends)
    for one in vars(module).values()
    if isinstance(one, Mutant)
)
