"""Checks of layers, cells and losses, also of your own: gradients, the contract, and GPU use without a GPU."""

from .contract import check_contract
from .gradients import check_gradients
from .mutants import Mutant, mutants
from .strict import StrictDevice

__all__ = ["Mutant", "StrictDevice", "check_contract", "check_gradients", "mutants"]
