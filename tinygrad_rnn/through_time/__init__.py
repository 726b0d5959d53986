"""Methods that can replace plain back-propagation through time, and what each costs.

A method is called in place of forward, loss and backward: `loss, ys, carry = method(model, criterion, batch, carry)`.
`fit` takes it as `method=`; `bias_report` compares methods.
"""

from .bias import Agreement, BiasReport, bias_report
from .bptt import BPTT
from .checkpointed import Checkpointed
from .eprop import EProp
from .method import Method
from .rtrl import RTRL
from .snap1 import SnAp1
from .traces import Traces
from .truncated import TruncatedBPTT
from .uoro import UORO

__all__ = [
    "Agreement",
    "BPTT",
    "BiasReport",
    "Checkpointed",
    "EProp",
    "Method",
    "RTRL",
    "SnAp1",
    "Traces",
    "TruncatedBPTT",
    "UORO",
    "bias_report",
]
