"""Checks of layers, cells and losses, your own too: gradients, the contract, a device that refuses to convert."""

from .contract import check_contract
from .gradients import check_gradients
from .mutants import Mutant, mutants
from .strict import StrictDevice

__all__ = ["Mutant", "StrictDevice", "check_contract", "check_gradients", "mutants"]
