"""Recurrent cells, each written as one step; `base` unrolls it over time. `Zoneout` and `DropConnect` wrap a cell."""
