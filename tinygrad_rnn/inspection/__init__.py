"""What a model computes at each step: `record`, every state and gate and its gradient; `credit_map`, how far back."""
