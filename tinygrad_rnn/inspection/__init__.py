"""What a model computes at each step, and its gradients."""
